/* Custom operators that are worth knowing. Their options become attributes of the same name, and
 * stay for when they are written again. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "wire/flexbuffer.h"

/* lite/kernels/detection_postprocess.cc. */
static nrw_status raise_detection(rewriting *r, bool *done) {
    static const char *const wholes[] = {"max_detections", "max_classes_per_detection",
                                         "detections_per_class", "use_regular_nms", "num_classes"};
    static const char *const reals[] = {
        "nms_score_threshold", "nms_iou_threshold", "y_scale", "x_scale", "h_scale", "w_scale"};
    const nrw_attr *options = nrw_node_attr(r->node, "custom_options");
    if (options == NULL || r->node->n_inputs != 3) return NRW_OK;
    const nrw_flex map = nrw_flex_root(options->s.data, options->s.size);
    r->domain = "tflite";
    nrw_value *v = rule_emit(r, r->node->type, 3, r->node->inputs);
    r->domain = "";
    v = rule_set_int(r, v, "custom", 1);
    if (!r->failed && nrw_node_set_attr(v->producer, options, r->err) != NRW_OK) r->failed = true;
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        const nrw_flex x = nrw_flex_get(&map, wholes[i]);
        if (nrw_flex_exists(&x)) v = rule_set_int(r, v, wholes[i], nrw_flex_int(&x, 0));
    }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const nrw_flex x = nrw_flex_get(&map, reals[i]);
        v = rule_set_float(r, v, reals[i], (float)nrw_flex_real(&x, 0));
    }
    for (int i = 1; i < r->node->n_outputs && !r->failed; i++)
        rule_finish_output(r, i, rule_second(r, v, i));
    rule_finish(r, v);
    *done = true;
    return NRW_OK;
}

/* MediaPipe's pools that remember where the largest element was, and their inverse, which XNNPACK
 * runs. Options are the struct TfLitePoolParams of lite/core/c/builtin_op_data.h as it lies in
 * memory: padding, strides and sizes, widths first. Only windows side by side are known there. */
static bool read_windows(const rewriting *r, const nrw_value *large, int64_t *size) {
    const nrw_attr *options = nrw_node_attr(r->node, "custom_options");
    int32_t given[5];
    if (options == NULL || options->s.size < sizeof given || large == NULL || large->type.rank != 4)
        return false;
    memcpy(given, options->s.data, sizeof given);
    for (int k = 0; k < 2; k++) {
        const int64_t length = large->type.dims[1 + k];
        size[k] = given[4 - k];
        if (size[k] < 1 || given[2 - k] != size[k] || length < 0 || length % size[k] != 0)
            return false;
    }
    return true;
}

/* Places are ONNX's, for what undoes the pool; a node that nobody knows stands between them and
 * what else reads them. */
static nrw_status raise_argmax_pool(rewriting *r, bool *done) {
    int64_t size[2];
    nrw_value *x = rule_in(r, 0);
    if (r->node->n_outputs != 2 || r->node->outputs[1] == NULL || !read_windows(r, x, size))
        return NRW_OK;
    nrw_value *v = EMIT(r, "MaxPool", rule_to_first(r, x, 4));
    v = rule_set_ints(r, v, "kernel_shape", 2, size);
    v = rule_set_ints(r, v, "strides", 2, size);
    nrw_value *places = rule_second(r, v, 1);
    r->domain = "tflite";
    places = EMIT(r, "PLACES_OF_POOL", places);
    r->domain = "";
    rule_finish_output(r, 1, places);
    rule_finish(r, rule_to_last(r, v, 4));
    *done = true;
    return NRW_OK;
}

static nrw_status raise_unpool(rewriting *r, bool *done) {
    int64_t size[2];
    nrw_value *x = rule_in(r, 0), *places = rule_in(r, 1);
    const nrw_node *maker = places != NULL ? places->producer : NULL;
    if (x == NULL || x->type.rank != 4 || maker == NULL ||
        strcmp(maker->type, "PLACES_OF_POOL") != 0 || !read_windows(r, rule_out(r), size))
        return NRW_OK;
    nrw_value *v = EMIT(r, "MaxUnpool", rule_to_first(r, x, 4), maker->inputs[0]);
    v = rule_set_ints(r, v, "kernel_shape", 2, size);
    rule_finish(r, rule_to_last(r, rule_set_ints(r, v, "strides", 2, size), 4));
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_custom_rules[] = {
    {"TFLite_Detection_PostProcess", raise_detection},
    {"Convolution2DTransposeBias", nrw_tflite_raise_transpose_bias},
    {"MaxPoolingWithArgmax2D", raise_argmax_pool},
    {"MaxUnpooling2D", raise_unpool},
    {NULL, NULL},
};
