/* Damaged ONNX files: onnx_mutate N SEED FILE.... Each file is damaged N times (bits flipped, bytes
 * replaced, pieces cut out, doubled or exchanged) and read; it must be refused with a message or
 * give a sound graph. Then it is read whole with each allocation failing in turn. Best run under
 * the sanitizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "base/rng.h"
#include "formats/onnx/onnx.h"

enum { max_size = 1 << 20 };

/* Fails the allocation number fail_at (from 1); 0: none. */
typedef struct failing {
    nrw_allocator allocator;
    size_t count, fail_at;
} failing;

static void *failing_alloc(void *user, size_t size) {
    failing *f = user;
    return ++f->count == f->fail_at ? NULL : nrw_mem_alloc(nrw_system_allocator(), size);
}

static void failing_free(void *user, void *p, size_t size) {
    nrw_mem_free(nrw_system_allocator(), p, size);
}

/* NULL, or what is wrong with how the bytes were taken. */
static const char *take(const nrw_context *c, const unsigned char *p, size_t n, nrw_error *err) {
    nrw_model *m;
    *err = (nrw_error){0};
    nrw_status st = nrw_onnx_load_bytes(c, p, n, &m, err);
    if (st == NRW_ERR_INTERNAL) return "an internal error";
    if (st != NRW_OK) return err->message[0] == 0 ? "no message" : NULL;
    st = nrw_graph_verify(m, err);
    nrw_model_destroy(m);
    return st != NRW_OK && st != NRW_ERR_MEMORY ? "an unsound graph" : NULL;
}

static size_t damage(nrw_rng *r, unsigned char *p, size_t n) {
    static const unsigned char edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x3a};
    size_t at = nrw_rng_below(r, n), span = 1 + nrw_rng_below(r, 64), to = nrw_rng_below(r, n);
    if (span > n - at) span = n - at;
    if (span > n - to) span = n - to;
    switch (nrw_rng_below(r, 7)) {
    case 0:
        p[at] ^= (unsigned char)(1 << nrw_rng_below(r, 8));
        break;
    case 1:
        p[at] = edges[nrw_rng_below(r, sizeof edges)];
        break;
    case 2:
        p[at] = (unsigned char)(p[at] + nrw_rng_below(r, 5) - 2);
        break; /* lengths, near */
    case 3:
        return at > 0 ? at : 1;
    case 4:
        memmove(p + at, p + at + span, n - at - span);
        return n - span > 0 ? n - span : 1;
    case 5:
        memmove(p + to, p + at, span);
        break;
    default:
        memset(p + at, (int)nrw_rng_below(r, 256), span);
        break;
    }
    return n;
}

static int mutate_file(const char *path, int times, nrw_rng *r) {
    static unsigned char whole[max_size], copy[max_size];
    nrw_context c;
    nrw_error err;
    nrw_context_options options = {.threads = 1, .max_memory = (size_t)1 << 30};
    FILE *f = fopen(path, "rb");
    size_t n = f != NULL ? fread(whole, 1, max_size, f) : 0;
    if (f != NULL) fclose(f);
    if (n == 0 || nrw_context_init(&c, &options, &err) != NRW_OK) return 1;
    const char *wrong = NULL;
    for (int i = 0; i < times && wrong == NULL; i++) {
        size_t size = n;
        memcpy(copy, whole, n);
        for (uint64_t k = 1 + nrw_rng_below(r, 4); k > 0; k--) size = damage(r, copy, size);
        wrong = take(&c, copy, size, &err);
        if (wrong != NULL) printf("%s: mutation %d: %s: %s\n", path, i, wrong, err.message);
    }
    nrw_context_destroy(&c);
    return wrong != NULL;
}

static int starve_file(const char *path) {
    failing a = {.allocator = {failing_alloc, failing_free, NULL}};
    nrw_error err;
    a.allocator.user = &a;
    nrw_context_options options = {.threads = 1, .allocator = &a.allocator};
    for (size_t k = 1;; k++) {
        nrw_context c;
        nrw_model *m = NULL;
        err = (nrw_error){0};
        a.count = a.fail_at = 0;
        if (nrw_context_init(&c, &options, &err) != NRW_OK) return 1;
        a.count = 0;
        a.fail_at = k;
        nrw_status st = nrw_onnx_load(&c, path, &m, &err);
        bool failed = a.count >= k;
        if (st == NRW_OK) nrw_model_destroy(m);
        nrw_context_destroy(&c);
        if (failed != (st == NRW_ERR_MEMORY)) {
            printf("%s: allocation %zu failed, and the reader said: %s\n", path, k, err.message);
            return 1;
        }
        if (!failed) return 0;
    }
}

int main(int argc, char **argv) {
    nrw_rng r;
    int bad = 0;
    if (argc < 4) return 2;
    nrw_rng_seed(&r, strtoull(argv[2], NULL, 10));
    for (int i = 3; i < argc; i++) {
        bad += mutate_file(argv[i], atoi(argv[1]), &r);
        bad += starve_file(argv[i]);
    }
    return bad != 0;
}
