#include "formats/onnx/upgrade.h"

#include <inttypes.h>
#include <string.h>

#include "formats/onnx/upgrade_steps.h"

/* From the operators' changelog (https://onnx.ai/onnx/operators/, "Changelog"). Versions before 7
 * are upgraded as well, as far as files of that time have been seen. */
#define UP(name) nrw_onnx_up_##name
const nrw_onnx_step nrw_onnx_steps[] = {
    {"Add", 7, UP(broadcast)},
    {"And", 7, UP(broadcast)},
    {"BatchNormalization", 7, UP(batch_norm_test)},
    {"BatchNormalization", 9, UP(batch_norm_spatial)},
    {"BatchNormalization", 14, UP(batch_norm_outputs)},
    {"Cast", 6, UP(cast)},
    {"Clip", 11, UP(clip)},
    {"Concat", 4, UP(concat)},
    {"DFT", 20, UP(dft)},
    {"Div", 7, UP(broadcast)},
    {"Dropout", 7, UP(dropout_test)},
    {"Dropout", 10, UP(dropout_mask)},
    {"Dropout", 12, UP(dropout)},
    {"Equal", 7, UP(broadcast)},
    {"GRU", 7, UP(recurrent)},
    {"Gemm", 7, UP(gemm)},
    {"GlobalLpPool", 2, UP(lp_pool)},
    {"Greater", 7, UP(broadcast)},
    {"GridSample", 20, UP(grid_sample)},
    {"GroupNormalization", 21, UP(group_norm)},
    {"Hardmax", 13, UP(softmax)},
    {"LSTM", 7, UP(recurrent)},
    {"Less", 7, UP(broadcast)},
    {"LogSoftmax", 13, UP(softmax)},
    {"LpPool", 2, UP(lp_pool)},
    {"Mul", 7, UP(broadcast)},
    {"Or", 7, UP(broadcast)},
    {"PRelu", 7, UP(prelu)},
    {"Pad", 2, UP(pad_name)},
    {"Pad", 11, UP(pad)},
    {"Pow", 7, UP(broadcast)},
    {"RNN", 7, UP(recurrent)},
    {"ReduceL1", 18, UP(axes)},
    {"ReduceL2", 18, UP(axes)},
    {"ReduceLogSum", 18, UP(axes)},
    {"ReduceLogSumExp", 18, UP(axes)},
    {"ReduceMax", 18, UP(axes)},
    {"ReduceMean", 18, UP(axes)},
    {"ReduceMin", 18, UP(axes)},
    {"ReduceProd", 18, UP(axes)},
    {"ReduceSum", 13, UP(axes)},
    {"ReduceSumSquare", 18, UP(axes)},
    {"Reshape", 5, UP(reshape)},
    {"Resize", 11, UP(resize)},
    {"Resize", 13, UP(resize_empty)},
    {"RoiAlign", 16, UP(roi_align)},
    {"Scan", 9, UP(scan)},
    {"Scatter", 11, UP(scatter)},
    {"Selu", 6, UP(selu)},
    {"Slice", 10, UP(slice)},
    {"Softmax", 13, UP(softmax)},
    {"Split", 13, UP(split)},
    {"Split", 18, UP(split_count)},
    {"Squeeze", 13, UP(axes)},
    {"Sub", 7, UP(broadcast)},
    {"Tile", 6, UP(tile)},
    {"TopK", 10, UP(top_k)},
    {"Unsqueeze", 13, UP(axes)},
    {"Upsample", 7, UP(upsample_scales)},
    {"Upsample", 9, UP(upsample_input)},
    {"Upsample", 10, UP(upsample_resize)},
    {"Xor", 7, UP(broadcast)},
    {NULL, 0, NULL},
};

static const nrw_onnx_step *next_step(const char *op, int64_t after) {
    for (const nrw_onnx_step *s = nrw_onnx_steps; s->op != NULL; s++) {
        if (s->op[0] == op[0] && strcmp(s->op, op) == 0 && s->since > after) return s;
    }
    return NULL;
}

static int64_t version_of(const nrw_onnx_versions *v, const nrw_node *n) {
    const nrw_onnx_exception *e =
        v->exceptions.used > 0 ? nrw_map_get(&v->exceptions, (const char *)&n, sizeof n) : NULL;
    return e != NULL ? e->version : v->model;
}

static nrw_status upgrade_node(nrw_onnx_upgrade_run *u, nrw_node *n, int64_t version) {
    enum { first_without_consumed_inputs = 6 };
    const nrw_onnx_step *s;
    if (n->domain[0] != 0) return NRW_OK;
    if (version < first_without_consumed_inputs) nrw_node_remove_attr(n, "consumed_inputs");
    u->removed = false;
    while (!u->removed && (s = next_step(n->type, version)) != NULL) {
        NRW_TRY_CTX(u->err, s->apply(u, n), "node '%s' (%s, opset %" PRId64 ")", n->name, n->type,
                    version);
        version = s->since;
    }
    return NRW_OK;
}

/* Fills in types that are not known yet, as far as the shape rule can tell. */
static nrw_status infer_node(nrw_onnx_upgrade_run *u, const nrw_node *n) {
    size_t n_in = (size_t)n->n_inputs + 1, n_out = (size_t)n->n_outputs + 1;
    if (n->op == NULL || n->op->infer == NULL) return NRW_OK;
    const nrw_type **in = nrw_arena_calloc(&u->scratch, n_in, sizeof *in);
    const nrw_tensor **data = nrw_arena_calloc(&u->scratch, n_in, sizeof *data);
    nrw_type *out = nrw_arena_calloc(&u->scratch, n_out, sizeof *out);
    if (in == NULL || data == NULL || out == NULL) NRW_OOM(u->err);
    for (int i = 0; i < n->n_inputs; i++) {
        if (n->inputs[i] == NULL) continue;
        in[i] = &n->inputs[i]->type;
        data[i] = n->inputs[i]->is_input ? NULL : n->inputs[i]->data;
    }
    /* What is wrong with the graph will be told by those who need it to be right. */
    nrw_status st = nrw_op_infer(n, in, data, out, &u->scratch, NULL);
    if (st == NRW_ERR_MEMORY) NRW_OOM(u->err);
    if (st != NRW_OK) return NRW_OK;
    for (int i = 0; i < n->n_outputs; i++) {
        nrw_value *v = n->outputs[i];
        if (v == NULL || v->raw_type.size > 0) continue;
        if (v->type.dtype == NRW_NONE || v->type.rank == NRW_RANK_UNKNOWN) v->type = out[i];
    }
    return NRW_OK;
}

/* Is there anything to upgrade, here or within? */
static bool has_steps(const nrw_onnx_versions *versions, const nrw_graph *g) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        if (n->domain[0] == 0 && next_step(n->type, version_of(versions, n)) != NULL) return true;
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH && has_steps(versions, a->graph)) return true;
            for (int64_t k = 0; a->type == NRW_ATTR_GRAPHS && k < a->n; k++) {
                if (has_steps(versions, a->graphs[k])) return true;
            }
        }
    }
    return false;
}

static nrw_status upgrade_graph(nrw_onnx_upgrade_run *u, const nrw_onnx_versions *versions,
                                nrw_graph *g);

static nrw_status upgrade_bodies(nrw_onnx_upgrade_run *u, const nrw_onnx_versions *versions,
                                 nrw_node *n) {
    for (int i = 0; i < n->n_attrs; i++) {
        const nrw_attr *a = &n->attrs[i];
        if (a->type == NRW_ATTR_GRAPH) NRW_TRY(upgrade_graph(u, versions, a->graph));
        if (a->type != NRW_ATTR_GRAPHS) continue;
        for (int64_t k = 0; k < a->n; k++) NRW_TRY(upgrade_graph(u, versions, a->graphs[k]));
    }
    return NRW_OK;
}

static nrw_status upgrade_graph(nrw_onnx_upgrade_run *u, const nrw_onnx_versions *versions,
                                nrw_graph *g) {
    nrw_node *next;
    for (nrw_node *n = g->first; n != NULL; n = next) {
        nrw_node *before = n->prev;
        int64_t version = version_of(versions, n);
        next = n->next;
        NRW_TRY(upgrade_bodies(u, versions, n));
        NRW_TRY(upgrade_node(u, n, version));
        if (!u->infer) continue;
        /* The node and what the steps put around it. */
        for (nrw_node *made = before != NULL ? before->next : g->first; made != next;
             made = made->next) {
            NRW_TRY(infer_node(u, made));
        }
        nrw_arena_free(&u->scratch);
    }
    return NRW_OK;
}

/* What the operator's row says of its attributes. */
static nrw_status check_attrs(const nrw_node *n, nrw_error *err) {
    if (n->op == NULL || n->op->attrs == NULL) return NRW_OK;
    for (const nrw_attr_def *d = n->op->attrs; d->name != NULL; d++) {
        const nrw_attr *a = nrw_node_attr(n, d->name);
        if (a == NULL && d->required) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "attribute '%s' is missing", d->name);
        }
        if (a != NULL && a->type != d->type && a->type != NRW_ATTR_RAW) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "attribute '%s' has the wrong type", d->name);
        }
    }
    return NRW_OK;
}

static nrw_status check_graph(const nrw_graph *g, nrw_error *err) {
    for (const nrw_node *n = g->first; n != NULL; n = n->next) {
        NRW_TRY_CTX(err, check_attrs(n, err), "node '%s' (%s)", n->name, n->type);
        for (int i = 0; i < n->n_attrs; i++) {
            const nrw_attr *a = &n->attrs[i];
            if (a->type == NRW_ATTR_GRAPH) NRW_TRY(check_graph(a->graph, err));
            if (a->type != NRW_ATTR_GRAPHS) continue;
            for (int64_t k = 0; k < a->n; k++) NRW_TRY(check_graph(a->graphs[k], err));
        }
    }
    return NRW_OK;
}

nrw_status nrw_onnx_upgrade(nrw_model *m, const nrw_onnx_versions *versions, nrw_error *err) {
    nrw_onnx_upgrade_run u = {.err = err, .infer = has_steps(versions, m->graph)};
    nrw_arena_init(&u.scratch, m->arena.allocator);
    nrw_status st = upgrade_graph(&u, versions, m->graph);
    nrw_arena_free(&u.scratch);
    return st == NRW_OK ? check_graph(m->graph, err) : st;
}

/* Building blocks. */

nrw_status nrw_onnx_up_node(nrw_onnx_upgrade_run *u, nrw_graph *g, const char *type, int n_in,
                            nrw_value *const *in, nrw_value **out, nrw_node *before,
                            nrw_node **made) {
    nrw_node *n = nrw_node_new(g, nrw_op_find(type, ""), type, "", NULL, n_in, 1, before);
    if (n == NULL) NRW_OOM(u->err);
    for (int i = 0; i < n_in; i++) NRW_TRY(nrw_node_set_input(n, i, in[i], u->err));
    if (*out == NULL) *out = nrw_value_new(g, NULL, NULL);
    if (*out == NULL) NRW_OOM(u->err);
    nrw_node_set_output(n, 0, *out);
    if (made != NULL) *made = n;
    return NRW_OK;
}

nrw_status nrw_onnx_up_ints(nrw_onnx_upgrade_run *u, nrw_graph *g, int rank01, int64_t n,
                            const int64_t *values, nrw_value **out) {
    static const int64_t none[1];
    *out = nrw_const_i64(g, NULL, rank01, n, values != NULL ? values : none);
    if (*out == NULL) NRW_OOM(u->err);
    return NRW_OK;
}

nrw_status nrw_onnx_up_scalar(nrw_onnx_upgrade_run *u, const nrw_value *like, nrw_graph *g,
                              float value, nrw_value **out) {
    nrw_tensor t;
    nrw_dtype dtype = like != NULL && like->type.dtype != NRW_NONE ? like->type.dtype : NRW_F32;
    NRW_TRY(nrw_tensor_new(&g->model->arena, dtype, 0, NULL, &t, u->err));
    NRW_TRY(nrw_from_f32(dtype, &value, t.data, 1, u->err));
    *out = nrw_const_new(g, NULL, &t);
    if (*out == NULL) NRW_OOM(u->err);
    return NRW_OK;
}

nrw_status nrw_onnx_up_input(nrw_onnx_upgrade_run *u, nrw_node *n, int i, nrw_value *v) {
    if (i >= n->n_inputs) NRW_TRY(nrw_node_resize_inputs(n, i + 1, u->err));
    return nrw_node_set_input(n, i, v, u->err);
}

void nrw_onnx_up_cut_outputs(nrw_node *n, int count) {
    for (int i = count; i < n->n_outputs; i++) nrw_node_set_output(n, i, NULL);
    if (n->n_outputs > count) n->n_outputs = count;
}

void nrw_onnx_up_rename(nrw_node *n, const char *type) {
    n->type = type;
    n->op = nrw_op_find(type, "");
}
