/* Attributes that became inputs, and things that changed their names or defaults. */
#include <math.h>
#include <string.h>

#include "formats/onnx/upgrade_steps.h"

#define STEP(name) nrw_status nrw_onnx_up_##name(nrw_onnx_upgrade_run *u, nrw_node *n)

/* The attribute's integers become input i, a vector. Nothing happens when it is not there. */
static nrw_status ints_to_input(nrw_onnx_upgrade_run *u, nrw_node *n, const char *attr, int i) {
    int64_t count;
    nrw_value *v;
    if (nrw_node_attr(n, attr) == NULL) return NRW_OK;
    const int64_t *values = nrw_attr_ints(n, attr, &count);
    NRW_TRY(nrw_onnx_up_ints(u, n->graph, 1, count, values, &v));
    nrw_node_remove_attr(n, attr);
    return nrw_onnx_up_input(u, n, i, v);
}

/* Squeeze, Unsqueeze, Reduce*: axes became input 1. An empty list meant the same as none. */
STEP(axes) {
    int64_t count;
    nrw_attr_ints(n, "axes", &count);
    if (count == 0) nrw_node_remove_attr(n, "axes");
    return ints_to_input(u, n, "axes", 1);
}

STEP(split) {
    return ints_to_input(u, n, "split", 1);
}

/* Without lengths the number of parts has to be said from 18 on. */
STEP(split_count) {
    if (n->n_inputs > 1 && n->inputs[1] != NULL) return NRW_OK;
    return nrw_node_set_int(n, "num_outputs", n->n_outputs, u->err);
}

STEP(slice) {
    NRW_TRY(ints_to_input(u, n, "starts", 1));
    NRW_TRY(ints_to_input(u, n, "ends", 2));
    return ints_to_input(u, n, "axes", 3);
}

STEP(pad_name) {
    int64_t count;
    const int64_t *pads = nrw_attr_ints(n, "paddings", &count);
    if (pads != NULL) NRW_TRY(nrw_node_set_ints(n, "pads", count, pads, u->err));
    nrw_node_remove_attr(n, "paddings");
    return NRW_OK;
}

STEP(pad) {
    float value = nrw_attr_float(n, "value", 0);
    NRW_TRY(ints_to_input(u, n, "pads", 1));
    nrw_node_remove_attr(n, "value");
    if (value == 0 || n->n_inputs == 0) return NRW_OK;
    nrw_value *v;
    NRW_TRY(nrw_onnx_up_scalar(u, n->inputs[0], n->graph, value, &v));
    return nrw_onnx_up_input(u, n, 2, v);
}

STEP(top_k) {
    int64_t k = nrw_attr_int(n, "k", -1);
    nrw_value *v;
    if (k < 0) NRW_FAIL(u->err, NRW_ERR_FORMAT, "attribute 'k' is missing or negative");
    NRW_TRY(nrw_onnx_up_ints(u, n->graph, 1, 1, &k, &v));
    nrw_node_remove_attr(n, "k");
    return nrw_onnx_up_input(u, n, 1, v);
}

STEP(clip) {
    static const char *const bounds[] = {"min", "max"};
    for (int i = 0; i < 2; i++) {
        nrw_value *v;
        if (nrw_node_attr(n, bounds[i]) == NULL || n->n_inputs == 0) continue;
        float bound = nrw_attr_float(n, bounds[i], 0);
        nrw_node_remove_attr(n, bounds[i]);
        NRW_TRY(nrw_onnx_up_scalar(u, n->inputs[0], n->graph, bound, &v));
        NRW_TRY(nrw_onnx_up_input(u, n, 1 + i, v));
    }
    return NRW_OK;
}

STEP(dropout_test) {
    nrw_node_remove_attr(n, "is_test");
    return NRW_OK;
}

/* The mask had the type of the data; from 10 on it is of bools. */
STEP(dropout_mask) {
    if (n->n_outputs < 2 || n->outputs[1] == NULL) return NRW_OK;
    nrw_value *old = n->outputs[1];
    if (old->n_uses == 0) {
        old->type.dtype = NRW_BOOL;
        return NRW_OK;
    }
    nrw_value *mask = nrw_value_new(n->graph, NULL, NULL);
    nrw_node *cast;
    if (mask == NULL) NRW_OOM(u->err);
    nrw_dtype dtype = n->n_inputs > 0 && n->inputs[0] != NULL ? n->inputs[0]->type.dtype : NRW_NONE;
    if (dtype == NRW_NONE) dtype = NRW_F32;
    nrw_node_set_output(n, 1, mask);
    NRW_TRY(nrw_onnx_up_node(u, n->graph, "Cast", 1, &mask, &old, n->next, &cast));
    return nrw_node_set_int(cast, "to", nrw_dtype_get(dtype)->onnx, u->err);
}

STEP(dropout) {
    nrw_value *v;
    if (nrw_node_attr(n, "ratio") == NULL || n->n_inputs == 0) return NRW_OK;
    float ratio = nrw_attr_float(n, "ratio", 0.5F);
    nrw_node_remove_attr(n, "ratio");
    NRW_TRY(nrw_onnx_up_scalar(u, NULL, n->graph, ratio, &v));
    return nrw_onnx_up_input(u, n, 1, v);
}

STEP(upsample_scales) {
    float scales[4] = {1, 1, nrw_attr_float(n, "height_scale", 1),
                       nrw_attr_float(n, "width_scale", 1)};
    nrw_attr a = {.name = "scales", .type = NRW_ATTR_FLOATS, .n = 4, .floats = scales};
    if (nrw_node_attr(n, "height_scale") == NULL) return NRW_OK;
    nrw_node_remove_attr(n, "height_scale");
    nrw_node_remove_attr(n, "width_scale");
    if (strcmp(nrw_attr_str(n, "mode", "nearest"), "bilinear") == 0) {
        NRW_TRY(nrw_node_set_str(n, "mode", "linear", u->err));
    }
    return nrw_node_set_attr(n, &a, u->err);
}

STEP(upsample_input) {
    int64_t count;
    const float *scales = nrw_attr_floats(n, "scales", &count);
    if (scales == NULL) NRW_FAIL(u->err, NRW_ERR_FORMAT, "attribute 'scales' is missing");
    nrw_value *v = nrw_const_f32(n->graph, NULL, 1, count, scales);
    if (v == NULL) NRW_OOM(u->err);
    nrw_node_remove_attr(n, "scales");
    return nrw_onnx_up_input(u, n, 1, v);
}

STEP(upsample_resize) {
    nrw_onnx_up_rename(n, "Resize");
    return NRW_OK;
}

/* Resize of opset 10 maps output pixel x to x / scale and takes the pixel below it. */
STEP(resize) {
    nrw_value *scales = n->n_inputs > 1 ? n->inputs[1] : NULL;
    NRW_TRY(nrw_onnx_up_input(u, n, 2, scales));
    NRW_TRY(nrw_node_set_input(n, 1, NULL, u->err));
    NRW_TRY(nrw_node_set_str(n, "coordinate_transformation_mode", "asymmetric", u->err));
    if (strcmp(nrw_attr_str(n, "mode", "nearest"), "nearest") != 0) return NRW_OK;
    return nrw_node_set_str(n, "nearest_mode", "floor", u->err);
}

/* Inputs that had to be there, and were empty where they were not wanted, may be left out. */
STEP(resize_empty) {
    for (int i = 1; i < n->n_inputs && i < 3; i++) {
        const nrw_value *v = n->inputs[i];
        if (v != NULL && v->data != NULL && !v->is_input && nrw_tensor_count(v->data) == 0) {
            NRW_TRY(nrw_node_set_input(n, i, NULL, u->err));
        }
    }
    return NRW_OK;
}

/* The type was a name. */
STEP(cast) {
    static const char *const names[] = {
        "",       "FLOAT", "UINT8",   "INT8",   "UINT16", "INT16",  "INT32",     "INT64",
        "STRING", "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128"};
    const char *to = nrw_attr_str(n, "to", NULL);
    if (to == NULL) return NRW_OK;
    for (size_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], to) == 0) return nrw_node_set_int(n, "to", (int64_t)i, u->err);
    }
    NRW_FAIL(u->err, NRW_ERR_FORMAT, "attribute 'to': type '%.40s' is unknown", to);
}

STEP(dft) {
    int64_t axis = nrw_attr_int(n, "axis", 1);
    nrw_value *v;
    NRW_TRY(nrw_onnx_up_ints(u, n->graph, 0, 1, &axis, &v));
    nrw_node_remove_attr(n, "axis");
    return nrw_onnx_up_input(u, n, 2, v);
}

STEP(grid_sample) {
    const char *mode = nrw_attr_str(n, "mode", "bilinear");
    if (strcmp(mode, "bilinear") == 0) nrw_node_remove_attr(n, "mode"); /* linear, the default */
    if (strcmp(mode, "bicubic") == 0) return nrw_node_set_str(n, "mode", "cubic", u->err);
    return NRW_OK;
}

STEP(roi_align) {
    return nrw_node_set_str(n, "coordinate_transformation_mode", "output_half_pixel", u->err);
}

STEP(scatter) {
    nrw_onnx_up_rename(n, "ScatterElements");
    return NRW_OK;
}

STEP(reshape) {
    return ints_to_input(u, n, "shape", 1);
}

STEP(concat) {
    if (nrw_node_attr(n, "axis") != NULL) return NRW_OK;
    return nrw_node_set_int(n, "axis", 1, u->err);
}

/* The constants had fewer digits. */
STEP(selu) {
    if (nrw_node_attr(n, "alpha") == NULL) NRW_TRY(nrw_node_set_float(n, "alpha", 1.6732F, u->err));
    if (nrw_node_attr(n, "gamma") != NULL) return NRW_OK;
    return nrw_node_set_float(n, "gamma", 1.0507F, u->err);
}

/* The exponent was a float. */
STEP(lp_pool) {
    const nrw_attr *p = nrw_node_attr(n, "p");
    if (p == NULL || p->type != NRW_ATTR_FLOAT) return NRW_OK;
    if (!(p->f >= 1 && p->f < 1000) || p->f != floorf(p->f)) {
        NRW_FAIL(u->err, NRW_ERR_UNSUPPORTED, "attribute 'p' is %g, no whole number", (double)p->f);
    }
    return nrw_node_set_int(n, "p", (int64_t)p->f, u->err);
}

/* Whether the sequence of hidden states was an output at all; now leaving it out says so. */
STEP(recurrent) {
    nrw_node_remove_attr(n, "output_sequence");
    return NRW_OK;
}
