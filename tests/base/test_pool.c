#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/context.h"
#include "base/pool.h"
#include "unit.h"

enum { TASKS = 1000 };

typedef struct job {
    nrw_pool *pool;
    atomic_int calls[TASKS];
    atomic_int running[64]; /* by worker */
    atomic_bool clash;
    double result[TASKS];
} job;

static void task(void *arg, int64_t i, int worker) {
    job *j = arg;
    if (atomic_fetch_add(&j->running[worker], 1) != 0) atomic_store(&j->clash, true);
    double sum = 0;
    for (int k = 1; k < 200; k++) sum += 1.0 / (double)(i + k);
    j->result[i] = sum;
    atomic_fetch_add(&j->calls[i], 1);
    atomic_fetch_sub(&j->running[worker], 1);
}

static nrw_pool *make_pool(int threads) {
    nrw_pool *p;
    nrw_error err;
    assert_ok(nrw_pool_create(nrw_system_allocator(), threads, &p, &err), &err);
    assert_int_equal(nrw_pool_threads(p), threads);
    return p;
}

static void every_task_once_and_equal_results(void **state) {
    static job first, j;
    memset(&first, 0, sizeof first);
    nrw_pool_run(NULL, TASKS, task, &first);
    for (int threads = 1; threads <= 4; threads *= 2) {
        nrw_pool *p = make_pool(threads);
        for (int round = 1; round <= 50; round++) {
            memset(&j, 0, sizeof j);
            int n = round % 5 == 0 ? 2 : TASKS;
            nrw_pool_run(p, n, task, &j);
            assert_false(atomic_load(&j.clash));
            for (int i = 0; i < n; i++) assert_int_equal(atomic_load(&j.calls[i]), 1);
            assert_memory_equal(j.result, first.result, (size_t)n * sizeof *j.result);
        }
        nrw_pool_run(p, 0, task, &j);
        nrw_pool_destroy(p);
    }
    nrw_pool_destroy(NULL);
    assert_int_equal(nrw_pool_threads(NULL), 1);
}

static void many_short_jobs(void **state) {
    static job j;
    nrw_pool *p = make_pool(3);
    for (int round = 0; round < 3000; round++) {
        memset(&j, 0, sizeof j);
        nrw_pool_run(p, 4, task, &j);
        for (int i = 0; i < 4; i++) assert_int_equal(atomic_load(&j.calls[i]), 1);
    }
    nrw_pool_destroy(p);
}

typedef struct nested_job {
    nrw_pool *pool;
    job inner[8];
    atomic_bool moved; /* an inner task ran under another number than its outer task */
} nested_job;

typedef struct nested_task {
    nested_job *all;
    job *inner;
    int worker;
} nested_task;

static void inner_task(void *arg, int64_t i, int worker) {
    nested_task *t = arg;
    if (worker != t->worker) atomic_store(&t->all->moved, true);
    task(t->inner, i, worker);
}

static void outer_task(void *arg, int64_t i, int worker) {
    nested_job *all = arg;
    nested_task t = {all, &all->inner[i], worker};
    usleep(2000); /* let the workers have some */
    nrw_pool_run(all->pool, 20, inner_task, &t);
}

static void nested_runs_are_serial(void **state) {
    static nested_job all;
    all.pool = make_pool(4);
    nrw_pool_run(all.pool, 8, outer_task, &all);
    for (int k = 0; k < 8; k++) {
        assert_false(atomic_load(&all.inner[k].clash));
        for (int i = 0; i < 20; i++) assert_int_equal(atomic_load(&all.inner[k].calls[i]), 1);
    }
    assert_false(atomic_load(&all.moved));
    nrw_pool_destroy(all.pool);
}

static void *other_caller(void *arg) {
    job *j = arg;
    for (int round = 0; round < 200; round++) {
        nrw_pool_run(j->pool, 50, task, j);
        for (int i = 0; i < 50; i++) {
            if (atomic_load(&j->calls[i]) != round + 1) atomic_store(&j->clash, true);
        }
    }
    return NULL;
}

static void callers_may_share_a_pool(void **state) {
    static job jobs[3];
    pthread_t threads[3];
    nrw_pool *p = make_pool(2);
    for (int t = 0; t < 3; t++) {
        jobs[t].pool = p;
        assert_int_equal(pthread_create(&threads[t], NULL, other_caller, &jobs[t]), 0);
    }
    for (int t = 0; t < 3; t++) {
        pthread_join(threads[t], NULL);
        assert_false(atomic_load(&jobs[t].clash));
    }
    nrw_pool_destroy(p);
}

static void refusals(void **state) {
    nrw_pool *p;
    nrw_error err;
    const nrw_allocator *heap = nrw_system_allocator();
    assert_fails(nrw_pool_create(heap, 0, &p, &err), NRW_ERR_ARGUMENT, &err, "threads");
    assert_fails(nrw_pool_create(heap, 1 << 20, &p, &err), NRW_ERR_ARGUMENT, &err, "threads");
    for (int64_t fail_at = 0; fail_at < 2; fail_at++) {
        failing_allocator failing;
        failing_init(&failing, fail_at);
        assert_int_equal(nrw_pool_create(&failing.allocator, 2, &p, &err), NRW_ERR_MEMORY);
        assert_null(p);
        assert_int_equal(failing.live, 0);
    }
}

static int stop_at_three(void *user, const char *stage, int64_t done, int64_t total) {
    ++*(int *)user;
    return done == 3;
}

static void context(void **state) {
    nrw_context c;
    nrw_error err;
    int calls = 0;
    assert_ok(nrw_context_init(&c, NULL, &err), &err);
    assert_true(c.threads >= 1 && c.threads == nrw_pool_threads(c.pool));
    assert_ok(nrw_progress(&c, "x", 3, 5, &err), &err);
    nrw_context_destroy(&c);
    assert_int_equal(c.memory.used, 0);

    nrw_context_options o = {
        .threads = 3, .cpu = "scalar", .progress = stop_at_three, .progress_user = &calls};
    assert_ok(nrw_context_init(&c, &o, &err), &err);
    assert_int_equal(c.threads, 3);
    assert_ok(nrw_progress(&c, "reading", 2, 5, &err), &err);
    assert_fails(nrw_progress(&c, "reading", 3, 5, &err), NRW_ERR_CANCELLED, &err, "reading");
    assert_int_equal(calls, 2);
    nrw_context_destroy(&c);

    o.max_memory = 100;
    assert_int_equal(nrw_context_init(&c, &o, &err), NRW_ERR_MEMORY);
    nrw_context_destroy(&c);
    o.cpu = "pentium";
    assert_fails(nrw_context_init(&c, &o, &err), NRW_ERR_ARGUMENT, &err, "scalar");
    nrw_context_destroy(&c);
}

static void processor(void **state) {
    nrw_cpu full, capped;
    nrw_error err;
    assert_ok(nrw_cpu_detect(&full, NULL, &err), &err);
    assert_true(full.l1d > 0 && full.l2 > 0 && full.l3 > 0 && full.model[0]);
    assert_true(nrw_cpu_count() >= 1);
    assert_ok(nrw_cpu_detect(&capped, nrw_tier_name(full.tier), &err), &err);
    assert_int_equal(capped.tier, full.tier);
    assert_ok(nrw_cpu_detect(&capped, "scalar", &err), &err);
    assert_int_equal(capped.tier, NRW_TIER_SCALAR);
    assert_false(capped.avx512vbmi || capped.avx512bf16 || capped.amxbf16);
#if defined(__x86_64__)
    assert_ok(nrw_cpu_detect(&capped, "avx2", &err), &err);
    assert_true(capped.tier <= NRW_TIER_AVX2);
    assert_fails(nrw_cpu_detect(&capped, "neon", &err), NRW_ERR_ARGUMENT, &err, "architecture");
    assert_fails(nrw_cpu_detect(&capped, "sse2", &err), NRW_ERR_ARGUMENT, &err, "avx512vnni, amx");
#elif defined(__aarch64__)
    assert_ok(nrw_cpu_detect(&capped, "neon", &err), &err);
    assert_int_equal(capped.tier, NRW_TIER_NEON);
    assert_ok(nrw_cpu_detect(&capped, "neon-dotprod", &err), &err);
    assert_true(capped.tier == NRW_TIER_NEON || capped.tier == NRW_TIER_DOTPROD);
    assert_fails(nrw_cpu_detect(&capped, "amx", &err), NRW_ERR_ARGUMENT, &err, "architecture");
    assert_fails(nrw_cpu_detect(&capped, "sve", &err), NRW_ERR_ARGUMENT, &err, "dotprod, i8mm");
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_once_and_equal_results),
        cmocka_unit_test(many_short_jobs),
        cmocka_unit_test(nested_runs_are_serial),
        cmocka_unit_test(callers_may_share_a_pool),
        cmocka_unit_test(refusals),
        cmocka_unit_test(context),
        cmocka_unit_test(processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
