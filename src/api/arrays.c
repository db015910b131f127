/* Arrays in .npy and .npz files. */
#include <string.h>

#include "base/context.h"
#include "base/file.h"
#include "data/npy.h"
#include "ir/tensor.h"
#include "narrow/narrow.h"
#include "wire/zip.h"

struct nrw_array {
    const nrw_allocator *allocator;
    void *data;
    size_t bytes;
};

static nrw_status read_array(nrw_context *c, const nrw_mapping *file, nrw_array *a, nrw_tensor *tensor,
                             nrw_error *err) {
    nrw_npy npy;
    size_t head = file->size < NRW_NPY_MAX_HEADER ? file->size : NRW_NPY_MAX_HEADER;
    NRW_TRY(nrw_npy_parse(file->data, head, file->size, &npy, err));
    *tensor = nrw_tensor_make(npy.dtype, npy.rank, npy.dims, NULL);
    a->bytes = npy.bytes > 0 ? npy.bytes : 1;
    a->data = nrw_mem_alloc(&c->memory.allocator, a->bytes);
    if (a->data == NULL) NRW_OOM(err);
    if (npy.bytes > 0)
        nrw_npy_to_native(&npy, file->data + npy.offset, 0, npy.rank > 0 ? npy.dims[0] : 1, a->data);
    tensor->data = a->data;
    return NRW_OK;
}

nrw_status nrw_array_load(nrw_context *c, const char *path, nrw_array **out, nrw_tensor *tensor,
                          nrw_error *err) {
    nrw_mapping file;
    NRW_TRY(nrw_map_file(path, &file, err));
    nrw_array *a = nrw_mem_alloc(&c->memory.allocator, sizeof *a);
    nrw_status s = NRW_OK;
    if (a == NULL) {
        s = nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    } else {
        *a = (nrw_array){.allocator = &c->memory.allocator};
        s = read_array(c, &file, a, tensor, err);
        if (s != NRW_OK) s = nrw_error_prefix(err, s, "%s", path);
    }
    nrw_unmap_file(&file);
    if (s == NRW_OK) *out = a;
    else nrw_array_free(a);
    return s;
}

void nrw_array_free(nrw_array *a) {
    if (a == NULL) return;
    nrw_mem_free(a->allocator, a->data, a->bytes);
    nrw_mem_free(a->allocator, a, sizeof *a);
}

/* Text elements of one width, padded with zero bytes, as numpy stores them ("S"). */
static nrw_status flatten_text(nrw_arena *arena, const nrw_tensor *t, int64_t *width, void **out,
                               size_t *bytes, nrw_error *err) {
    const nrw_string *s = t->data;
    int64_t n = nrw_tensor_count(t);
    *width = 1;
    for (int64_t i = 0; i < n; i++) {
        if ((int64_t)s[i].size > *width) *width = (int64_t)s[i].size;
    }
    char *text = nrw_arena_calloc(arena, (size_t)n + 1, (size_t)*width);
    if (text == NULL) NRW_OOM(err);
    for (int64_t i = 0; i < n; i++) memcpy(text + i * *width, s[i].data, s[i].size);
    *out = text;
    *bytes = (size_t)(n * *width);
    return NRW_OK;
}

static nrw_status add_member(nrw_zip_writer *w, const char *name, const nrw_tensor *t, nrw_error *err) {
    nrw_arena scratch;
    nrw_arena_init(&scratch, w->arena.allocator);
    const char *file = nrw_arena_printf(&scratch, "%s.npy", name);
    nrw_zip_piece pieces[2] = {{0}, {t->data, nrw_tensor_bytes(t)}};
    const char *header = NULL;
    int64_t width = 0;
    void *text = NULL;
    nrw_status s = file != NULL ? NRW_OK : nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
    if (s == NRW_OK && t->kind != NRW_TENSOR)
        s = nrw_error_set(err, NRW_ERR_UNSUPPORTED, "a sequence has no .npy form");
    if (s == NRW_OK && t->dtype == NRW_STRING) {
        s = flatten_text(&scratch, t, &width, &text, &pieces[1].size, err);
        pieces[1].data = text;
    }
    if (s == NRW_OK)
        s = nrw_npy_header(&scratch, t->dtype, t->rank, t->dims, width, &header, &pieces[0].size, err);
    pieces[0].data = header;
    if (s == NRW_OK) s = nrw_zip_add(w, file, 64, 2, pieces, err);
    nrw_arena_free(&scratch);
    return s == NRW_OK ? s : nrw_error_prefix(err, s, "output '%s'", name);
}

nrw_status nrw_arrays_save(nrw_context *c, const char *path, int n, const char *const *names,
                           const nrw_tensor *tensors, nrw_error *err) {
    nrw_output *out;
    nrw_zip_writer w;
    NRW_TRY(nrw_output_open(&c->memory.allocator, path, &out, err));
    nrw_zip_writer_init(&w, &c->memory.allocator, out);
    nrw_status s = NRW_OK;
    for (int i = 0; i < n && s == NRW_OK; i++) s = add_member(&w, names[i], &tensors[i], err);
    if (s == NRW_OK) s = nrw_zip_finish(&w, err);
    nrw_zip_writer_free(&w);
    if (s == NRW_OK) return nrw_output_commit(out, err);
    nrw_output_abort(out);
    return s;
}
