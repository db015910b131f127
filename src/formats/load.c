#include "formats/load.h"

#include <string.h>

static nrw_status finish(nrw_model *m, nrw_status st, const char *path, nrw_model **out,
                         nrw_error *err) {
    if (st != NRW_OK) {
        nrw_model_destroy(m);
        return nrw_error_prefix(err, st, "%s", path);
    }
    *out = m;
    return NRW_OK;
}

nrw_status nrw_load_mapped(const nrw_context *c, const char *path, nrw_read_fn read,
                           nrw_model **out, nrw_error *err) {
    nrw_mapping bytes;
    NRW_TRY(nrw_map_file(path, &bytes, err));
    nrw_model *m = nrw_model_create(c);
    if (m == NULL) {
        nrw_unmap_file(&bytes);
        NRW_OOM(err);
    }
    nrw_status st = nrw_model_keep_file(m, bytes, err);
    if (st == NRW_OK) {
        m->source = nrw_arena_strdup(&m->arena, path);
        st = m->source != NULL ? read(m, path, bytes, err)
                               : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    }
    return finish(m, st, path, out, err);
}

nrw_status nrw_load_copied(const nrw_context *c, const void *bytes, size_t size, nrw_read_fn read,
                           nrw_model **out, nrw_error *err) {
    nrw_model *m = nrw_model_create(c);
    if (m == NULL) NRW_OOM(err);
    void *copy = nrw_arena_alloc(&m->arena, size > 0 ? size : 1);
    nrw_status st;
    if (copy == NULL) {
        st = nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    } else {
        if (size > 0) memcpy(copy, bytes, size);
        st = read(m, NULL, (nrw_mapping){copy, size}, err);
    }
    return finish(m, st, "<memory>", out, err);
}
