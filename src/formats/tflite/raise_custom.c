/* Custom operators that are worth knowing. Their options become attributes of the same name, and
 * stay for when they are written again. */
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

const nrw_tflite_rule nrw_tflite_custom_rules[] = {
    {"TFLite_Detection_PostProcess", raise_detection},
    {"Convolution2DTransposeBias", nrw_tflite_raise_transpose_bias},
    {NULL, NULL},
};
