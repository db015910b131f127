/* Older meanings that have to be said with other nodes. */
#include <inttypes.h>
#include <string.h>

#include "formats/onnx/upgrade_steps.h"

#define STEP(name) nrw_status nrw_onnx_up_##name(nrw_onnx_upgrade_run *u, nrw_node *n)

/* The rank of input i, -1 if unknown. */
static int rank_of(const nrw_node *n, int i) {
    return i < n->n_inputs && n->inputs[i] != NULL ? n->inputs[i]->type.rank : NRW_RANK_UNKNOWN;
}

static nrw_status need_inputs(nrw_onnx_upgrade_run *u, const nrw_node *n, int count) {
    for (int i = 0; i < count; i++) {
        if (i >= n->n_inputs || n->inputs[i] == NULL) {
            NRW_FAIL(u->err, NRW_ERR_FORMAT, "input %d is missing", i);
        }
    }
    if (n->n_outputs < 1 || n->outputs[0] == NULL) {
        NRW_FAIL(u->err, NRW_ERR_FORMAT, "output 0 is missing");
    }
    return NRW_OK;
}

/* Gives input i `count` more axes of length 1 at its end. */
static nrw_status append_axes(nrw_onnx_upgrade_run *u, nrw_node *n, int i, int count) {
    int64_t axes[NRW_MAX_RANK];
    nrw_value *in[2] = {n->inputs[i], NULL}, *out = NULL;
    int rank = rank_of(n, i);
    if (count <= 0) return NRW_OK;
    if (rank + count > NRW_MAX_RANK) NRW_FAIL(u->err, NRW_ERR_FORMAT, "input %d: axis", i);
    for (int k = 0; k < count; k++) axes[k] = rank + k;
    NRW_TRY(nrw_onnx_up_ints(u, n->graph, 1, count, axes, &in[1]));
    NRW_TRY(nrw_onnx_up_node(u, n->graph, "Unsqueeze", 2, in, &out, n, NULL));
    return nrw_node_set_input(n, i, out, u->err);
}

/* Before numpy's rule: with broadcast = 1, B's axes stood at A's from `axis` on; without axis, at
 * A's last ones, which is numpy's rule. */
STEP(broadcast) {
    int64_t wanted = nrw_attr_int(n, "broadcast", 0);
    bool given = nrw_node_attr(n, "axis") != NULL;
    int64_t axis = nrw_attr_int(n, "axis", 0);
    nrw_node_remove_attr(n, "broadcast");
    nrw_node_remove_attr(n, "axis");
    if (wanted == 0 || !given) return NRW_OK;
    NRW_TRY(need_inputs(u, n, 2));
    int a = rank_of(n, 0), b = rank_of(n, 1);
    if (b == 0) return NRW_OK;
    if (a < 0 || b < 0) {
        NRW_FAIL(u->err, NRW_ERR_UNSUPPORTED, "attribute 'axis' of inputs of unknown rank");
    }
    if (axis < -a || axis > a - b) NRW_FAIL(u->err, NRW_ERR_FORMAT, "axis %" PRId64, axis);
    if (axis < 0) axis += a;
    return append_axes(u, n, 1, a - b - (int)axis);
}

/* A slope for each channel had one axis; now it must broadcast to the data. */
STEP(prelu) {
    NRW_TRY(need_inputs(u, n, 2));
    int x = rank_of(n, 0), slope = rank_of(n, 1);
    if (slope == 1 && n->inputs[1]->type.dims[0] == 1) return NRW_OK;
    if (x < 0 || slope < 0) {
        NRW_FAIL(u->err, NRW_ERR_UNSUPPORTED, "slopes for data of unknown rank");
    }
    return slope == 1 && x > 2 ? append_axes(u, n, 1, x - 2) : NRW_OK;
}

STEP(gemm) {
    nrw_node_remove_attr(n, "broadcast");
    return NRW_OK;
}

/* Tile repeated one axis: inputs data, tiles, axis. */
STEP(tile) {
    int64_t tiles, axis, repeats[NRW_MAX_RANK];
    int count, rank = rank_of(n, 0);
    nrw_value *v;
    if (n->n_inputs < 3) return NRW_OK;
    NRW_TRY(need_inputs(u, n, 3));
    if (rank < 0 || n->inputs[1]->data == NULL || n->inputs[2]->data == NULL) {
        NRW_FAIL(u->err, NRW_ERR_UNSUPPORTED, "tiles and axis must be constants, the rank known");
    }
    /* Both are tensors of the data's type, hence perhaps of floats. */
    const nrw_tensor *t = n->inputs[1]->data, *a = n->inputs[2]->data;
    if (nrw_tensor_count(t) != 1 || nrw_tensor_count(a) != 1) {
        NRW_FAIL(u->err, NRW_ERR_FORMAT, "tiles and axis must be scalars");
    }
    NRW_TRY(nrw_to_i64(t->dtype, t->data, &tiles, 1, u->err));
    NRW_TRY(nrw_to_i64(a->dtype, a->data, &axis, 1, u->err));
    if (!nrw_normalize_axis(&axis, rank)) NRW_FAIL(u->err, NRW_ERR_FORMAT, "axis %" PRId64, axis);
    for (count = 0; count < rank; count++) repeats[count] = count == axis ? tiles : 1;
    NRW_TRY(nrw_onnx_up_ints(u, n->graph, 1, rank, repeats, &v));
    NRW_TRY(nrw_node_set_input(n, 1, v, u->err));
    return nrw_node_resize_inputs(n, 2, u->err);
}

/* The one axis that softmax over all axes from `axis` on amounts to; -1 when there are several. */
static int only_long_axis(const nrw_type *t, int64_t axis) {
    int found = t->rank - 1;
    int n = 0;
    for (int i = (int)axis; i < t->rank; i++) {
        if (t->dims[i] == 1) continue;
        found = i;
        n++;
    }
    return n <= 1 || axis == t->rank - 1 ? found : -1;
}

/* Softmax, LogSoftmax, Hardmax before 13 saw their input as a matrix, whose rows are all axes from
 * `axis` (1 if absent) on. */
STEP(softmax) {
    int64_t axis = nrw_attr_int(n, "axis", 1);
    NRW_TRY(need_inputs(u, n, 1));
    nrw_value *x = n->inputs[0], *y = n->outputs[0], *flat = NULL, *shape = NULL;
    if (x->type.rank >= 0) {
        if (axis < -x->type.rank || axis > x->type.rank) {
            NRW_FAIL(u->err, NRW_ERR_FORMAT, "axis %" PRId64 " of rank %d", axis, x->type.rank);
        }
        if (axis < 0) axis += x->type.rank;
        int one = axis < x->type.rank ? only_long_axis(&x->type, axis) : -1;
        if (one >= 0) return nrw_node_set_int(n, "axis", one, u->err);
    } else if (axis == -1) {
        return nrw_node_set_int(n, "axis", -1, u->err);
    }
    nrw_node *flatten;
    NRW_TRY(nrw_onnx_up_node(u, n->graph, "Flatten", 1, &x, &flat, n, &flatten));
    NRW_TRY(nrw_node_set_int(flatten, "axis", axis, u->err));
    NRW_TRY(nrw_onnx_up_node(u, n->graph, "Shape", 1, &x, &shape, n, NULL));
    NRW_TRY(nrw_node_set_input(n, 0, flat, u->err));
    NRW_TRY(nrw_node_set_int(n, "axis", -1, u->err));
    nrw_value *rows = nrw_value_new(n->graph, NULL, NULL);
    if (rows == NULL) NRW_OOM(u->err);
    nrw_node_set_output(n, 0, rows);
    nrw_value *in[2] = {rows, shape};
    return nrw_onnx_up_node(u, n->graph, "Reshape", 2, in, &y, n->next, NULL);
}

STEP(batch_norm_test) {
    nrw_node_remove_attr(n, "is_test");
    return NRW_OK;
}

/* spatial = 0: parameters for each element of a sample, not for each channel. */
STEP(batch_norm_spatial) {
    float epsilon = nrw_attr_float(n, "epsilon", 1e-5F);
    int64_t spatial = nrw_attr_int(n, "spatial", 1);
    nrw_node_remove_attr(n, "spatial");
    if (spatial != 0 || rank_of(n, 0) == 2) return NRW_OK;
    NRW_TRY(need_inputs(u, n, 5));
    for (int i = 1; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL && n->outputs[i]->n_uses > 0) {
            NRW_FAIL(u->err, NRW_ERR_UNSUPPORTED, "training with spatial = 0");
        }
    }
    nrw_graph *g = n->graph;
    nrw_value *x = n->inputs[0], *scale = n->inputs[1], *shift = n->inputs[2];
    nrw_value *mean = n->inputs[3], *var = n->inputs[4], *y = n->outputs[0];
    nrw_value *centred = NULL, *wider = NULL, *deviation = NULL, *normal = NULL, *scaled = NULL;
    nrw_value *eps;
    nrw_node *after = n->next;
    NRW_TRY(nrw_onnx_up_scalar(u, x, g, epsilon, &eps));
    nrw_node_remove(n);
    u->removed = true;
#define BINARY(op, a, b, out)                                                                      \
    NRW_TRY(nrw_onnx_up_node(u, g, op, 2, (nrw_value *[]){a, b}, &(out), after, NULL))
    BINARY("Sub", x, mean, centred);
    BINARY("Add", var, eps, wider);
    NRW_TRY(nrw_onnx_up_node(u, g, "Sqrt", 1, &wider, &deviation, after, NULL));
    BINARY("Div", centred, deviation, normal);
    BINARY("Mul", normal, scale, scaled);
    BINARY("Add", scaled, shift, y);
#undef BINARY
    return NRW_OK;
}

/* Training was meant where the statistics' outputs were there. */
STEP(batch_norm_outputs) {
    int used = 1;
    for (int i = 1; i < n->n_outputs; i++) {
        if (n->outputs[i] != NULL && n->outputs[i]->n_uses > 0) used = i + 1;
    }
    if (used > 3) NRW_FAIL(u->err, NRW_ERR_UNSUPPORTED, "its saved statistics are used");
    nrw_onnx_up_cut_outputs(n, used > 1 && n->n_outputs > 3 ? 3 : used > 1 ? n->n_outputs : 1);
    return used > 1 ? nrw_node_set_int(n, "training_mode", 1, u->err) : NRW_OK;
}

/* Scale and bias were given for each group; now for each channel. Every entry is repeated. */
static nrw_status repeat_groups(nrw_onnx_upgrade_run *u, nrw_node *n, int i, nrw_value *each,
                                int64_t groups) {
    static const int64_t one = 1, flat = -1;
    nrw_graph *g = n->graph;
    nrw_value *axis, *group_count, *all, *column = NULL, *shape = NULL, *wide = NULL, *out = NULL;
    nrw_node *concat;
    NRW_TRY(nrw_onnx_up_ints(u, g, 1, 1, &one, &axis));
    NRW_TRY(nrw_onnx_up_ints(u, g, 1, 1, &groups, &group_count));
    NRW_TRY(nrw_onnx_up_ints(u, g, 1, 1, &flat, &all));
    nrw_value *unsqueeze[2] = {n->inputs[i], axis};
    NRW_TRY(nrw_onnx_up_node(u, g, "Unsqueeze", 2, unsqueeze, &column, n, NULL));
    nrw_value *parts[2] = {group_count, each};
    NRW_TRY(nrw_onnx_up_node(u, g, "Concat", 2, parts, &shape, n, &concat));
    NRW_TRY(nrw_node_set_int(concat, "axis", 0, u->err));
    nrw_value *expand[2] = {column, shape};
    NRW_TRY(nrw_onnx_up_node(u, g, "Expand", 2, expand, &wide, n, NULL));
    nrw_value *reshape[2] = {wide, all};
    NRW_TRY(nrw_onnx_up_node(u, g, "Reshape", 2, reshape, &out, n, NULL));
    return nrw_node_set_input(n, i, out, u->err);
}

STEP(group_norm) {
    int64_t groups = nrw_attr_int(n, "num_groups", 0);
    nrw_value *channels = NULL, *count, *each = NULL;
    nrw_node *shape;
    NRW_TRY(need_inputs(u, n, 3));
    if (groups < 1) NRW_FAIL(u->err, NRW_ERR_FORMAT, "num_groups is %" PRId64, groups);
    NRW_TRY(nrw_onnx_up_node(u, n->graph, "Shape", 1, &n->inputs[0], &channels, n, &shape));
    NRW_TRY(nrw_node_set_int(shape, "start", 1, u->err));
    NRW_TRY(nrw_node_set_int(shape, "end", 2, u->err));
    NRW_TRY(nrw_onnx_up_ints(u, n->graph, 1, 1, &groups, &count));
    nrw_value *in[2] = {channels, count};
    NRW_TRY(nrw_onnx_up_node(u, n->graph, "Div", 2, in, &each, n, NULL));
    NRW_TRY(repeat_groups(u, n, 1, each, groups));
    return repeat_groups(u, n, 2, each, groups);
}

/* Scan of opset 8 ran its body for each sample of a batch (axis 0) and along axis 1: a scan over
 * the batch, without state, whose body is the scan of now. */
STEP(scan) {
    nrw_graph *body = nrw_attr_graph(n, "body");
    int64_t n_scans = nrw_attr_int(n, "num_scan_inputs", 0), n_directions;
    const int64_t *directions = nrw_attr_ints(n, "directions", &n_directions);
    int n_in = n->n_inputs - 1;
    if (body == NULL || n_in < 1 || n_scans < 1 || n_scans > n_in) {
        NRW_FAIL(u->err, NRW_ERR_FORMAT, "its body or its number of scanned inputs is missing");
    }
    if (n->inputs[0] != NULL) {
        NRW_FAIL(u->err, NRW_ERR_UNSUPPORTED, "lengths of sequences (input 0)");
    }
    nrw_graph *sample = nrw_graph_new(n->graph->model, n->graph, body->name);
    if (sample == NULL) NRW_OOM(u->err);
    nrw_node *inner =
        nrw_node_new(sample, nrw_op_find("Scan", ""), "Scan", "", NULL, n_in, n->n_outputs, NULL);
    if (inner == NULL) NRW_OOM(u->err);
    for (int i = 0; i < n_in; i++) {
        nrw_value *v = nrw_value_new(sample, NULL, NULL);
        if (v == NULL) NRW_OOM(u->err);
        NRW_TRY(nrw_graph_add_input(sample, v, u->err));
        NRW_TRY(nrw_node_set_input(inner, i, v, u->err));
        NRW_TRY(nrw_node_set_input(n, i, n->inputs[i + 1], u->err));
    }
    NRW_TRY(nrw_node_resize_inputs(n, n_in, u->err));
    for (int i = 0; i < n->n_outputs; i++) {
        nrw_value *v = nrw_value_new(sample, NULL, NULL);
        if (v == NULL) NRW_OOM(u->err);
        nrw_node_set_output(inner, i, v);
        NRW_TRY(nrw_graph_add_output(sample, v, u->err));
    }
    body->parent = sample;
    nrw_attr inside = {.name = "body", .type = NRW_ATTR_GRAPH, .n = 1, .graph = body};
    nrw_attr outside = {.name = "body", .type = NRW_ATTR_GRAPH, .n = 1, .graph = sample};
    NRW_TRY(nrw_node_set_attr(inner, &inside, u->err));
    NRW_TRY(nrw_node_set_int(inner, "num_scan_inputs", n_scans, u->err));
    if (directions != NULL) {
        NRW_TRY(
            nrw_node_set_ints(inner, "scan_input_directions", n_directions, directions, u->err));
    }
    nrw_node_remove_attr(n, "directions");
    NRW_TRY(nrw_node_set_int(n, "num_scan_inputs", n_in, u->err));
    return nrw_node_set_attr(n, &outside, u->err);
}
