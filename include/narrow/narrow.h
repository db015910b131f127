/* Narrow makes trained neural networks small and fast. This header is the library's whole surface.
 *
 *   nrw_context *c; nrw_model *m, *q; nrw_dataset *d; nrw_error e;
 *   nrw_open(NULL, &c, &e);
 *   nrw_load(c, "model.onnx", &m, &e);
 *   nrw_dataset_open(c, m, &(nrw_data_options){.path = "calibration.npy"}, &d, &e);
 *   nrw_quantize(m, &(nrw_quantize_options){.mode = NRW_MODE_STATIC}, d, &q, NULL, &e);
 *   nrw_save(q, "model.int8.onnx", NULL, &e);
 *
 * Every fallible function returns a status and fills *err (may be NULL) with one line that says
 * what is wrong and where. Objects are owned by the caller and freed by the function named beside
 * their making. A context and models may be shared between threads for reading; a dataset and a
 * session belong to one thread at a time. */
#ifndef NARROW_H
#define NARROW_H

#include "narrow/session.h"
#include "narrow/status.h"
#include "narrow/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

NRW_API const char *nrw_version(void);

/* Contexts.
 * -------------------------------------------------------------------------------------------- */

typedef struct nrw_context nrw_context;

/* Called now and then from the thread that called the library: `stage` names the work, `done` of
 * `total` items are finished (total < 0: unknown). Return nonzero to stop: the call then fails with
 * NRW_ERR_CANCELLED. */
typedef int (*nrw_progress_fn)(void *user, const char *stage, int64_t done, int64_t total);

typedef struct nrw_options {
    int threads;     /* 0: as many as the process may use */
    size_t max_ram;  /* bytes that the library may allocate; 0: as many as the machine has. Beyond
                        it calls fail with NRW_ERR_MEMORY */
    const char *cpu; /* caps the instruction set: scalar, avx2, avxvnni, avx512vnni, amx, or scalar,
                        neon, dotprod, i8mm; NULL: NRW_CPU of the environment, else none */
    nrw_progress_fn progress; /* NULL: none */
    void *progress_user;
} nrw_options;

/* options NULL: defaults. Freed by nrw_close, after everything made from it. */
NRW_API nrw_status nrw_open(const nrw_options *options, nrw_context **out,
                            nrw_error *err) NRW_MUST_CHECK;
NRW_API void nrw_close(nrw_context *c);            /* NULL allowed */
NRW_API const char *nrw_isa(const nrw_context *c); /* the tier in use: "avx512vnni" */
NRW_API int nrw_threads(const nrw_context *c);
NRW_API size_t
nrw_peak_bytes(const nrw_context *c); /* the most that the library had allocated at once */

/* Models.
 * ---------------------------------------------------------------------------------------------- */

/* Reads a model; the format is told by its content (.onnx, or the text form). The file must not
 * change while the model lives: its weights are read from the mapping. Freed by nrw_model_free. */
NRW_API nrw_status nrw_load(nrw_context *c, const char *path, nrw_model **out,
                            nrw_error *err) NRW_MUST_CHECK;
/* As nrw_load from memory; the bytes are copied. */
NRW_API nrw_status nrw_load_bytes(nrw_context *c, const void *bytes, size_t n, nrw_model **out,
                                  nrw_error *err) NRW_MUST_CHECK;
/* Fixes lengths of an input that are open: dims[i] for each axis, -1 where it stays as it is. What
 * follows from it is found out. A length that is fixed already and another: NRW_ERR_SHAPE. */
NRW_API nrw_status nrw_fix_input(nrw_model *m, int input, int rank, const int64_t *dims,
                                 nrw_error *err) NRW_MUST_CHECK;
NRW_API void nrw_model_free(nrw_model *m); /* NULL allowed */

typedef enum nrw_onnx_style { NRW_ONNX_QDQ = 0, NRW_ONNX_QOPERATOR } nrw_onnx_style;
typedef struct nrw_save_options {
    nrw_onnx_style onnx_style; /* how quantized values are written to .onnx */
} nrw_save_options;
/* Writes a model in the format of path's extension. The file appears whole or not at all. options
 * NULL: defaults. */
NRW_API nrw_status nrw_save(const nrw_model *m, const char *path, const nrw_save_options *options,
                            nrw_error *err) NRW_MUST_CHECK;

/* An input or output. scale > 0: integers that stand for scale * (integer - zero_point), dtype is
 * theirs. dims[i] < 0: not fixed; dim_names[i] then has its name, or NULL. rank < 0:
 * unknown. */
typedef struct nrw_port {
    const char *name;
    nrw_dtype dtype;
    int32_t rank;
    int64_t dims[NRW_MAX_RANK];
    const char *dim_names[NRW_MAX_RANK];
    float scale;
    int32_t zero_point;
} nrw_port;

typedef struct nrw_operator_count {
    const char *name; /* with its domain where that is not ONNX's: "com.microsoft::Foo" */
    int64_t count;
    bool supported;
} nrw_operator_count;

typedef struct nrw_summary {
    const char *format;
    int n_inputs, n_outputs, n_operators;
    const nrw_port *inputs, *outputs;
    const nrw_operator_count *operators; /* sorted by name; bodies of If, Loop, Scan included */
    int64_t parameters;                  /* elements of constants of real numbers */
    int64_t parameter_bytes;             /* as stored */
    int64_t
        macs; /* multiply-accumulates of one run at the input shapes known (unknown dims as 1) */
    int64_t quantized_values, quantized_nodes;
} nrw_summary;
/* What is in a model. *out lives as long as the model. Not for concurrent use on one model. */
NRW_API nrw_status nrw_inspect(nrw_model *m, const nrw_summary **out,
                               nrw_error *err) NRW_MUST_CHECK;

/* Hands text to write(user, …) piece by piece; constants of more than `elide` elements are left out
 * (< 0: none are). */
NRW_API nrw_status nrw_print(const nrw_model *m, int64_t elide,
                             void (*write)(void *user, const char *s, size_t n), void *user,
                             nrw_error *err) NRW_MUST_CHECK;

/* Element type as numpy spells it: "float32". Static storage. */
NRW_API const char *nrw_dtype_title(nrw_dtype t);
NRW_API size_t nrw_dtype_bytes(nrw_dtype t); /* of one element in memory */

/* Operators that Narrow runs, one call each: ONNX's in order of name, then those of TensorFlow
 * Lite, of the domain "tflite", which run as what they are read as. formats is a list such as "onnx
 * tflite". */
NRW_API nrw_status nrw_list_operators(nrw_context *c,
                                      void (*each)(void *user, const char *name, const char *domain,
                                                   const char *formats),
                                      void *user, nrw_error *err) NRW_MUST_CHECK;

/* Data.
 * ------------------------------------------------------------------------------------------------
 */

typedef struct nrw_dataset nrw_dataset;
typedef struct nrw_data_options {
    const char *path;       /* x.npy, x.npz, a folder of images, x.csv, or "random:N" */
    const char *labels;     /* x.npy or x.csv; NULL: those that the data have, if any */
    const char *preprocess; /* "scale=1/255 mean=… std=… layout=nchw|nhwc resize=256 crop=224";
                               NULL: none */
    int64_t limit;          /* use at most so many samples; 0: all */
    uint64_t seed;          /* of random data */
} nrw_data_options;
/* Opens data for the inputs of a model. Samples are read when they are used. Freed by
 * nrw_dataset_free. */
NRW_API nrw_status nrw_dataset_open(nrw_context *c, const nrw_model *m,
                                    const nrw_data_options *options, nrw_dataset **out,
                                    nrw_error *err) NRW_MUST_CHECK;
NRW_API void nrw_dataset_free(nrw_dataset *d);
NRW_API int64_t nrw_dataset_samples(const nrw_dataset *d);
NRW_API bool nrw_dataset_has_labels(const nrw_dataset *d);

/* Reads one .npy file whole; *out's data live until nrw_array_free. */
typedef struct nrw_array nrw_array;
NRW_API nrw_status nrw_array_load(nrw_context *c, const char *path, nrw_array **out,
                                  nrw_tensor *tensor, nrw_error *err) NRW_MUST_CHECK;
NRW_API void nrw_array_free(nrw_array *a);
/* Writes named tensors as .npz (stored). */
NRW_API nrw_status nrw_arrays_save(nrw_context *c, const char *path, int n,
                                   const char *const *names, const nrw_tensor *tensors,
                                   nrw_error *err) NRW_MUST_CHECK;

/* Evaluation.
 * ------------------------------------------------------------------------------------------ */

typedef enum nrw_metric {
    NRW_METRIC_DEFAULT =
        0, /* top1 with labels; agreement or sqnr without, by the look of the output */
    NRW_METRIC_TOP1,
    NRW_METRIC_TOP5,
    NRW_METRIC_AUC,
    NRW_METRIC_AGREEMENT, /* needs a reference: share of samples with the same largest output */
    NRW_METRIC_SQNR,      /* needs a reference: decibels */
    NRW_METRIC_COSINE     /* needs a reference: mean over samples */
} nrw_metric;
NRW_API const char *nrw_metric_name(nrw_metric m);

typedef struct nrw_evaluation {
    nrw_metric metric;
    double value, ci_low, ci_high; /* 95 % interval; NaN where there is none */
    double reference_value; /* the reference model's, on the same samples; NaN: no reference */
    double p_value; /* McNemar's mid-p of model against reference (top1, top5); NaN otherwise */
    double agreement, sqnr_db, cosine; /* against the reference; NaN without */
    int64_t samples;
} nrw_evaluation;
/* Runs the model (and the reference, if not NULL) on all samples. The first output counts. */
NRW_API nrw_status nrw_evaluate(const nrw_model *m, const nrw_model *reference, nrw_dataset *d,
                                nrw_metric metric, nrw_evaluation *out,
                                nrw_error *err) NRW_MUST_CHECK;

/* One row for each quantized layer, in order of the graph. */
typedef struct nrw_layer_error {
    const char *node, *op, *value; /* value: the layer's output */
    double sqnr_db;                /* of the value in the quantized model: all errors up to here */
    double own_sqnr_db; /* of the value when only this layer is quantized: its own error */
    double effect_db;   /* SQNR of the model's first output when only this layer is quantized */
    double float_min, float_max;
    double saturated; /* share of elements outside the value's range */
} nrw_layer_error;
typedef struct nrw_comparison nrw_comparison;
/* Where a quantized model differs from its float original. Freed by nrw_comparison_free; rows live
 * as long. */
NRW_API nrw_status nrw_compare(const nrw_model *reference, const nrw_model *quantized,
                               nrw_dataset *d, nrw_comparison **out, nrw_error *err) NRW_MUST_CHECK;
NRW_API void nrw_comparison_free(nrw_comparison *c);
NRW_API const nrw_layer_error *nrw_comparison_layers(const nrw_comparison *c, int *n);

/* Quantization.
 * ---------------------------------------------------------------------------------------- */

typedef enum nrw_mode {
    NRW_MODE_AUTO = 0, /* static with data, dynamic without */
    NRW_MODE_STATIC,   /* weights and activations in integers, ranges from calibration data */
    NRW_MODE_DYNAMIC,  /* weights in integers, activations measured at run time */
    NRW_MODE_WEIGHTS,  /* weights in integers, computing in float */
    NRW_MODE_FP16,
    NRW_MODE_BF16
} nrw_mode;

typedef enum nrw_calibrator {
    NRW_CALIBRATE_DEFAULT = 0,
    NRW_CALIBRATE_MINMAX,
    NRW_CALIBRATE_MOVING,
    NRW_CALIBRATE_PERCENTILE,
    NRW_CALIBRATE_ENTROPY,
    NRW_CALIBRATE_MSE
} nrw_calibrator;

typedef enum nrw_target {
    NRW_TARGET_DEFAULT = 0, /* as onnxruntime */
    NRW_TARGET_ONNXRUNTIME, /* also OpenVINO: layers in integers, and what lies between them */
    NRW_TARGET_TFLITE /* LiteRT, TensorFlow Lite for Microcontrollers: integers from end to end,
                         with scales where its kernels want them */
} nrw_target;

typedef struct nrw_quantize_options {
    nrw_mode mode;
    nrw_target target; /* the runtime that the result is made for */
    bool integer_io;   /* static mode: callers give and get integers where inputs and outputs are
                          quantized */
    int weight_bits, activation_bits; /* 0: 8 and 8 (16 and 32 for the float modes) */
    enum { NRW_PER_CHANNEL = 0, NRW_PER_TENSOR, NRW_PER_BLOCK } granularity;
    int64_t block; /* elements that share a scale, per block */
    nrw_calibrator calibrator;
    double percentile;  /* 0: 99.99 */
    const char *recipe; /* path of a recipe to follow; fields set here go before it. NULL: none */
    const char *save_recipe; /* path to write the recipe that was followed; NULL: none */
    const char *preprocess;  /* for the recipe only */
    bool clamp_weights; /* NaN weights become 0, infinite ones the largest finite; else refused */
    int64_t samples;    /* calibrate on at most so many; 0: all */
    int64_t measure;    /* compare with the float model on the first so many samples (result->loss);
                           -1: on all; 0: not at all */
    uint64_t seed;
} nrw_quantize_options;

typedef struct nrw_quantize_result {
    nrw_mode mode; /* the one that was used */
    int weight_bits, activation_bits;
    int64_t samples;
    double seconds;
    int64_t quantized_nodes, float_nodes;
    bool measured;       /* the loss was asked for and there are data */
    nrw_evaluation loss; /* of the quantized model beside the float one, in the default metric */
} nrw_quantize_result;
/* Makes a quantized copy of a float model. data: calibration samples, needed by the static mode
 * only, and to measure the loss. result may be NULL: nothing is measured. Freed by nrw_model_free.
 */
NRW_API nrw_status nrw_quantize(const nrw_model *m, const nrw_quantize_options *options,
                                nrw_dataset *data, nrw_model **out, nrw_quantize_result *result,
                                nrw_error *err) NRW_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
