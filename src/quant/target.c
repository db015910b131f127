#include "quant/target.h"

#include <string.h>

#include "formats/tflite/tflite.h"
#include "ops/op.h"

static const char *const none[] = {NULL};

/* ONNX Runtime and OpenVINO: layers in integers, and what lies between them. */
static const nrw_fixed_result no_fixed[] = {{NULL, 0, 0}};
static const nrw_target_rules onnxruntime = {
    .name = "onnxruntime", .takes = none, .lacks = none, .shares = none, .fixed = no_fixed};

/* TensorFlow Lite (8-bit quantization specification): integers from end to end. */
static const char *const tflite_takes[] = {"Softmax", "LogSoftmax", "Sub", "Gelu", NULL};
static const char *const tflite_lacks[] = {"Neg",
                                           "Celu",
                                           "Selu",
                                           "Erf",
                                           "Softsign",
                                           "Mish",
                                           "HardSigmoid",
                                           "Swish",
                                           "ThresholdedRelu",
                                           "GlobalLpPool",
                                           "LpPool",
                                           "Mean",
                                           NULL};
static const char *const tflite_shares[] = {"AveragePool", "Concat", "Max", "Min", NULL};
static const nrw_fixed_result tflite_fixed[] = {
    {"Softmax", 1.0f / 256, 0},
    {"Sigmoid", 1.0f / 256, 0},
    {"Tanh", 1.0f / 128, 128},
    {"LogSoftmax", 1.0f / 16, 255},
    {NULL, 0, 0},
};
static const nrw_target_rules tflite = {.name = "tflite",
                                        .everything = true,
                                        .takes = tflite_takes,
                                        .lacks = tflite_lacks,
                                        .shares = tflite_shares,
                                        .fixed = tflite_fixed,
                                        .rounding = NRW_ROUND_LITERT,
                                        .prepare = nrw_tflite_prepare};

const nrw_target_rules *nrw_target_get(nrw_target t) {
    return t == NRW_TARGET_TFLITE ? &tflite : &onnxruntime;
}

bool nrw_target_lists(const char *const *list, const char *type) {
    for (; *list != NULL; list++) {
        if (strcmp(*list, type) == 0) return true;
    }
    return false;
}

const nrw_fixed_result *nrw_target_fixed(const nrw_target_rules *t, const nrw_value *v) {
    if (v->producer == NULL || v->producer->op == NULL) return NULL;
    for (const nrw_fixed_result *f = t->fixed; f->type != NULL; f++) {
        if (strcmp(f->type, v->producer->type) == 0) return f;
    }
    return NULL;
}
