#include "base/context.h"

#include <stdio.h>
#include <unistd.h>

/* What the machine, or the control group, has. Systems promise more than that, and end whoever
 * takes them at their word. 0: cannot be told. */
static size_t physical_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes;
    if (pages <= 0 || page <= 0 || !nrw_mul_size((size_t)pages, (size_t)page, &bytes)) bytes = 0;
#if defined(__linux__)
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");
    unsigned long long group;
    if (f) {
        /* "max" when unlimited */
        if (fscanf(f, "%llu", &group) == 1 && group > 0 && (!bytes || group < bytes)) bytes = group;
        fclose(f);
    }
#endif
    return bytes;
}

nrw_status nrw_context_init(nrw_context *c, const nrw_context_options *options, nrw_error *err) {
    static const nrw_context_options defaults = {0};
    if (!options) options = &defaults;
    *c = (nrw_context){.progress = options->progress, .progress_user = options->progress_user};
    nrw_limit_init(&c->memory, options->allocator ? options->allocator : nrw_system_allocator(),
                   options->max_memory ? options->max_memory : physical_memory());
    NRW_TRY(nrw_cpu_detect(&c->cpu, options->cpu, err));
    c->threads = options->threads ? options->threads : nrw_cpu_count();
    if (c->threads > NRW_MAX_THREADS && !options->threads) c->threads = NRW_MAX_THREADS;
    return nrw_pool_create(&c->memory.allocator, c->threads, &c->pool, err);
}

void nrw_context_destroy(nrw_context *c) {
    nrw_pool_destroy(c->pool);
    c->pool = NULL;
}

nrw_status nrw_progress(const nrw_context *c, const char *stage, int64_t done, int64_t total,
                        nrw_error *err) {
    if (c->progress && c->progress(c->progress_user, stage, done, total)) {
        NRW_FAIL(err, NRW_ERR_CANCELLED, "%s: cancelled", stage);
    }
    return NRW_OK;
}
