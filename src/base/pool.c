#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/cpu.h"

/* How it works. A job is its tasks dealt to the threads in ranges, each with a count of what is
 * left of it, and the function. Whoever lowers a count from r to r - 1 owns the r-th task from the
 * range's end: first of a thread's own range, so that from job to job it finds in its caches what
 * it made itself, then of the others'. A job cannot end while a task is owned and not finished, so
 * an owner may read what belongs to the job, whichever it turns out to be; a worker that comes late
 * finds nothing left and owns nothing. The caller waits for finished tasks, never for workers.
 *
 * Idle workers spin for about a millisecond, which is what makes jobs cheap that follow one another
 * with a little serial work between, and sleep after that; they offer their processor to others
 * soon. Both sleeps follow the same pattern: the sleeper announces itself, then looks again; the
 * other side changes the state, then looks for sleepers. These accesses are sequentially
 * consistent, so one of the two always sees the other. */

enum { SPINS = 4000, FREE_SPINS = 1000, LINE = 64 };

typedef struct worker {
    nrw_pool *pool;
    pthread_t id;
    int index;
} worker;

typedef struct range {
    _Alignas(LINE) _Atomic int64_t left;
    int64_t end;
} range;

struct nrw_pool {
    const nrw_allocator *allocator;
    int threads;
    int started; /* workers that run */
    int spins;
    worker *workers; /* [threads - 1] */
    range *ranges;   /* [threads] */
    int64_t n;
    nrw_task_fn fn;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t wake, finish;
    _Alignas(LINE) atomic_bool busy; /* a job runs */
    atomic_bool stop;
    atomic_int sleepers;
    _Alignas(LINE) _Atomic uint64_t jobs; /* published so far */
    _Alignas(LINE) _Atomic int64_t done;
    atomic_bool caller_sleeps;
};

/* Round i of spinning. */
static void relax(int i) {
    if (i >= FREE_SPINS) {
        sched_yield();
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Takes over a task of range w. */
static bool claim(range *w, int64_t *task) {
    int64_t r = atomic_load_explicit(&w->left, memory_order_relaxed);
    while (r > 0 && !atomic_compare_exchange_weak_explicit(
                        &w->left, &r, r - 1, memory_order_acq_rel, memory_order_relaxed)) {}
    if (r > 0) *task = w->end - r;
    return r > 0;
}

static void work(nrw_pool *p, int index) {
    for (int k = 0; k < p->threads; k++) {
        range *w = &p->ranges[(index + k) % p->threads];
        for (int64_t task; claim(w, &task);) {
            int64_t n = p->n;
            p->fn(p->arg, task, index);
            if (atomic_fetch_add(&p->done, 1) == n - 1 && atomic_load(&p->caller_sleeps)) {
                pthread_mutex_lock(&p->lock);
                pthread_cond_signal(&p->finish);
                pthread_mutex_unlock(&p->lock);
            }
        }
    }
}

static bool has_news(nrw_pool *p, uint64_t seen) {
    return atomic_load(&p->jobs) != seen || atomic_load(&p->stop);
}

static void *worker_main(void *arg) {
    worker *w = arg;
    nrw_pool *p = w->pool;
    while (!atomic_load(&p->stop)) {
        const uint64_t seen = atomic_load(&p->jobs);
        work(p, w->index);
        for (int i = 0; i < p->spins && !has_news(p, seen); i++) relax(i);
        if (has_news(p, seen)) continue;
        pthread_mutex_lock(&p->lock);
        atomic_fetch_add(&p->sleepers, 1);
        while (!has_news(p, seen)) pthread_cond_wait(&p->wake, &p->lock);
        atomic_fetch_sub(&p->sleepers, 1);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

nrw_status nrw_pool_create(const nrw_allocator *a, int threads, nrw_pool **out, nrw_error *err) {
    *out = NULL;
    if (threads < 1 || threads > NRW_MAX_THREADS) {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "threads: expected 1 to %d, got %d", NRW_MAX_THREADS,
                 threads);
    }
    nrw_pool *p = nrw_mem_alloc(a, sizeof *p);
    if (!p) NRW_OOM(err);
    /* Spinning takes the processor from the one who is waited for when there are too few. */
    int processors = nrw_cpu_count();
    *p = (nrw_pool){.allocator = a, .threads = threads, .spins = threads > processors ? 0 : SPINS};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->finish, NULL);
    p->workers = nrw_mem_alloc(a, (size_t)threads * sizeof *p->workers);
    p->ranges = nrw_mem_alloc(a, (size_t)threads * sizeof *p->ranges);
    if (p->ranges) memset(p->ranges, 0, (size_t)threads * sizeof *p->ranges);
    if (!p->workers || !p->ranges) {
        nrw_pool_destroy(p);
        NRW_OOM(err);
    }
    for (; p->started < threads - 1; p->started++) {
        worker *w = &p->workers[p->started];
        *w = (worker){.pool = p, .index = p->started + 1};
        if (pthread_create(&w->id, NULL, worker_main, w) != 0) {
            nrw_pool_destroy(p);
            NRW_FAIL(err, NRW_ERR_MEMORY, "cannot start %d threads", threads);
        }
    }
    *out = p;
    return NRW_OK;
}

void nrw_pool_destroy(nrw_pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++) pthread_join(p->workers[i].id, NULL);
    pthread_cond_destroy(&p->finish);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    nrw_mem_free(p->allocator, p->workers, (size_t)p->threads * sizeof *p->workers);
    nrw_mem_free(p->allocator, p->ranges, (size_t)p->threads * sizeof *p->ranges);
    nrw_mem_free(p->allocator, p, sizeof *p);
}

int nrw_pool_threads(const nrw_pool *p) {
    return p ? p->threads : 1;
}

/* Which thread of the pool this is: a task that calls nrw_pool_run keeps its number. Threads of
 * others, which found the pool taken, are number 0 of their own run. */
static int own_index(const nrw_pool *p) {
    pthread_t self = pthread_self();
    for (int i = 0; i < p->threads - 1; i++) {
        if (pthread_equal(self, p->workers[i].id)) return p->workers[i].index;
    }
    return 0;
}

static void publish(nrw_pool *p, int64_t n, nrw_task_fn fn, void *arg) {
    p->n = n;
    p->fn = fn;
    p->arg = arg;
    atomic_store(&p->done, 0);
    atomic_store(&p->caller_sleeps, false);
    for (int i = 0; i < p->threads; i++) {
        const int64_t begin = n * i / p->threads, end = n * (i + 1) / p->threads;
        p->ranges[i].end = end;
        atomic_store_explicit(&p->ranges[i].left, end - begin, memory_order_release);
    }
    atomic_fetch_add(&p->jobs, 1);
    if (atomic_load(&p->sleepers) == 0) return;
    pthread_mutex_lock(&p->lock);
    if (n == 2) {
        pthread_cond_signal(&p->wake);
    } else {
        pthread_cond_broadcast(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
}

static void wait_until_done(nrw_pool *p, int64_t n) {
    for (int i = 0; i < p->spins; i++) {
        if (atomic_load(&p->done) == n) return;
        relax(i);
    }
    atomic_store(&p->caller_sleeps, true);
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->done) != n) pthread_cond_wait(&p->finish, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void nrw_pool_run(nrw_pool *p, int64_t n, nrw_task_fn fn, void *arg) {
    if (!p || p->threads == 1 || n <= 1) {
        for (int64_t i = 0; i < n; i++) fn(arg, i, 0);
        return;
    }
    if (atomic_exchange(&p->busy, true)) {
        int index = own_index(p);
        for (int64_t i = 0; i < n; i++) fn(arg, i, index);
        return;
    }
    publish(p, n, fn, arg);
    work(p, 0);
    wait_until_done(p, n);
    atomic_store(&p->busy, false);
}
