/* Reading and writing models: which format, and what happens right after reading and before
 * writing. */
#include <string.h>

#include "base/file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/quantized.h"
#include "formats/tflite/tflite.h"
#include "ir/graph.h"
#include "narrow/narrow.h"
#include "ops/op.h"
#include "passes/match.h"
#include "passes/pass.h"

static bool looks_like_text(const unsigned char *bytes, size_t n) {
    return n >= 6 && memcmp(bytes, "graph ", 6) == 0;
}

static nrw_status after_reading(nrw_model *m, nrw_error *err) {
    nrw_model_names_are_given(m);
    NRW_TRY(nrw_onnx_fold_quantization(m, err));
    NRW_TRY(nrw_run_pipeline(m, NRW_PIPELINE_IMPORT, NULL, err));
    /* Images had their channels last there. */
    return strcmp(m->format, "tflite") == 0 ? nrw_run_pipeline(m, NRW_PIPELINE_TURN, NULL, err)
                                            : NRW_OK;
}

static nrw_status finish(nrw_status s, nrw_model *m, const char *source, nrw_model **out,
                         nrw_error *err) {
    if (s == NRW_OK) {
        s = after_reading(m, err);
        if (s != NRW_OK) {
            nrw_model_destroy(m);
            return nrw_error_prefix(err, s, "%s", source);
        }
        nrw_model_forget_pages(m);
        *out = m;
    }
    return s;
}

static nrw_status load_text(nrw_context *c, const char *source, const void *bytes, size_t n,
                            nrw_model **out, nrw_error *err) {
    NRW_TRY_CTX(err, nrw_model_parse(c, bytes, n, nrw_op_find, out, err), "%s", source);
    return NRW_OK;
}

nrw_status nrw_load(nrw_context *c, const char *path, nrw_model **out, nrw_error *err) {
    nrw_mapping file;
    nrw_model *m = NULL;
    NRW_TRY(nrw_map_file(path, &file, err));
    bool text = looks_like_text(file.data, file.size);
    nrw_status s = text ? load_text(c, path, file.data, file.size, &m, err) : NRW_OK;
    const bool tflite = nrw_tflite_is(file.data, file.size);
    nrw_unmap_file(&file);
    if (tflite)
        s = nrw_tflite_load(c, path, &m, err);
    else if (!text)
        s = nrw_onnx_load(c, path, &m, err);
    return finish(s, m, path, out, err);
}

nrw_status nrw_load_bytes(nrw_context *c, const void *bytes, size_t n, nrw_model **out,
                          nrw_error *err) {
    nrw_model *m = NULL;
    nrw_status s = looks_like_text(bytes, n) ? load_text(c, "<memory>", bytes, n, &m, err)
                   : nrw_tflite_is(bytes, n) ? nrw_tflite_load_bytes(c, bytes, n, &m, err)
                                             : nrw_onnx_load_bytes(c, bytes, n, &m, err);
    return finish(s, m, "<memory>", out, err);
}

nrw_status nrw_fix_input(nrw_model *m, int input, int rank, const int64_t *dims, nrw_error *err) {
    nrw_graph *g = m->graph;
    if (input < 0 || input >= g->n_inputs)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: input %d of %d", m->source, input, g->n_inputs);
    nrw_value *v = g->inputs[input];
    if (v->type.rank == NRW_RANK_UNKNOWN && rank >= 0 && rank <= NRW_MAX_RANK) {
        v->type.rank = rank;
        for (int i = 0; i < rank; i++) v->type.dims[i] = NRW_DIM_UNKNOWN;
    }
    if (rank != v->type.rank)
        NRW_FAIL(err, NRW_ERR_SHAPE, "%s: input '%s' has %d axes, not %d", m->source, v->name,
                 v->type.rank, rank);
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0) continue;
        if (v->type.dims[i] >= 0 && v->type.dims[i] != dims[i])
            NRW_FAIL(err, NRW_ERR_SHAPE, "%s: axis %d of input '%s' is %lld, not %lld", m->source,
                     i, v->name, (long long)v->type.dims[i], (long long)dims[i]);
        v->type.dims[i] = dims[i];
    }
    NRW_TRY_CTX(err, nrw_run_pass(m, &nrw_pass_infer_shapes, NULL, err), "%s", m->source);
    return NRW_OK;
}

void nrw_model_free(nrw_model *m) {
    nrw_model_destroy(m);
}

/* ONNX has no word for operators that only TensorFlow Lite knows. */
static nrw_status refuse_foreign(nrw_graph *g, void *user, nrw_error *err) {
    const char *path = user;
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        if (strcmp(n->domain, "tflite") != 0) continue;
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED,
                 "%s: node '%s' (%s): ONNX has no operator that does this; write .tflite instead",
                 path, n->name, n->type);
    }
    return NRW_OK;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n > k && strcmp(s + n - k, end) == 0;
}

nrw_status nrw_save(const nrw_model *m, const char *path, const nrw_save_options *options,
                    nrw_error *err) {
    static const nrw_save_options defaults = {0};
    if (options == NULL) options = &defaults;
    const bool onnx = ends_with(path, ".onnx"), tflite = ends_with(path, ".tflite");
    if (!onnx && !tflite)
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "%s: models are written as .onnx or .tflite", path);
    nrw_model *copy;
    NRW_TRY(nrw_model_clone(m, &copy, err));
    nrw_status s = nrw_run_pipeline(copy, NRW_PIPELINE_EXPORT, NULL, err);
    if (s == NRW_OK && tflite) s = nrw_tflite_save(copy, path, err);
    if (s == NRW_OK && onnx)
        s = nrw_each_graph(copy->graph, refuse_foreign, (void *)(uintptr_t)path, err);
    if (s == NRW_OK && onnx)
        s = nrw_onnx_lower_quantization(copy, options->onnx_style == NRW_ONNX_QOPERATOR, err);
    if (s == NRW_OK && onnx) s = nrw_onnx_save(copy, path, NULL, err);
    nrw_model_destroy(copy);
    return s;
}

/* nrw_print collects the text and hands it over at once: graphs are small without their constants.
 */
nrw_status nrw_print(const nrw_model *m, int64_t elide,
                     void (*write)(void *user, const char *s, size_t n), void *user,
                     nrw_error *err) {
    nrw_strbuf text;
    nrw_strbuf_init(&text, m->arena.allocator);
    nrw_status s = nrw_model_print(m, &text, elide, err);
    if (s == NRW_OK) write(user, text.data, text.size);
    nrw_strbuf_free(&text);
    return s;
}
