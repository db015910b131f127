/* Contexts, and small facts that callers ask for. */
#include <stdlib.h>

#include "base/context.h"
#include "formats/tflite/tflite.h"
#include "ir/dtype.h"
#include "narrow/narrow.h"
#include "ops/op.h"

const char *nrw_version(void) {
    return NRW_VERSION;
}

nrw_status nrw_open(const nrw_options *options, nrw_context **out, nrw_error *err) {
    static const nrw_options defaults = {0};
    const nrw_options *o = options != NULL ? options : &defaults;
    nrw_context *c = nrw_mem_alloc(nrw_system_allocator(), sizeof *c);
    if (c == NULL) NRW_OOM(err);
    nrw_context_options inner = {.max_memory = o->max_ram,
                                 .threads = o->threads,
                                 .cpu = o->cpu,
                                 .progress = o->progress,
                                 .progress_user = o->progress_user};
    if (inner.cpu == NULL) inner.cpu = getenv("NRW_CPU");
    nrw_status s = nrw_context_init(c, &inner, err);
    if (s == NRW_OK)
        *out = c;
    else
        nrw_close(c);
    return s;
}

void nrw_close(nrw_context *c) {
    if (c == NULL) return;
    nrw_context_destroy(c);
    nrw_mem_free(nrw_system_allocator(), c, sizeof *c);
}

const char *nrw_isa(const nrw_context *c) {
    return nrw_tier_name(c->cpu.tier);
}

int nrw_threads(const nrw_context *c) {
    return c->threads;
}

size_t nrw_peak_bytes(const nrw_context *c) {
    return c->memory.peak;
}

const char *nrw_dtype_title(nrw_dtype t) {
    return nrw_dtype_get(t)->title;
}

size_t nrw_dtype_bytes(nrw_dtype t) {
    return (size_t)nrw_dtype_size(t);
}

typedef struct listing {
    void (*each)(void *user, const char *name, const char *domain, const char *formats);
    void *user;
} listing;

static void list_builtin(void *user, const char *name, bool reads, bool writes) {
    const listing *l = user;
    if (reads || writes) l->each(l->user, name, "tflite", "tflite");
}

nrw_status nrw_list_operators(nrw_context *c,
                              void (*each)(void *user, const char *name, const char *domain,
                                           const char *formats),
                              void *user, nrw_error *err) {
    nrw_arena scratch;
    size_t n = 0;
    nrw_arena_init(&scratch, &c->memory.allocator);
    const nrw_op **list = nrw_op_list(&scratch, &n);
    for (size_t i = 0; list != NULL && i < n; i++) {
        if (list[i]->onnx.name != NULL) each(user, list[i]->name, list[i]->domain, "onnx");
    }
    nrw_arena_free(&scratch);
    if (list == NULL) NRW_OOM(err);
    /* These run as the operators above that they are read as. */
    nrw_tflite_list(list_builtin, &(listing){each, user});
    return NRW_OK;
}
