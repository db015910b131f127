/* Random tensors: RandomNormal, RandomUniform and their Like forms, Bernoulli, Multinomial,
 * Dropout. The attribute `seed` starts a generator of the node's own on every run; without it
 * numbers come from the session's. */
#include <math.h>
#include <string.h>

#include "ops/move.h"

static nrw_rng *generator(nrw_eval *e, nrw_rng *own) {
    if (nrw_node_attr(e->node, "seed") == NULL) return e->rng;
    float seed = nrw_attr_float(e->node, "seed", 0);
    uint32_t bits;
    memcpy(&bits, &seed, sizeof bits);
    nrw_rng_seed(own, bits);
    return own;
}

static nrw_status dtype_attr(nrw_infer *c, nrw_dtype absent, nrw_dtype *out) {
    int64_t code = nrw_attr_int(c->node, "dtype", 0);
    *out = code == 0 ? absent : nrw_dtype_from_onnx((int)code);
    if (code != 0 && *out == NRW_NONE)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "dtype: no type %lld", (long long)code);
    return NRW_OK;
}

static nrw_status random_infer(nrw_infer *c) {
    int64_t n;
    const int64_t *shape = nrw_attr_ints(c->node, "shape", &n);
    if (nrw_node_attr(c->node, "shape") == NULL || n > NRW_MAX_RANK)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "shape: expected 0 to %d lengths", NRW_MAX_RANK);
    for (int64_t i = 0; i < n; i++) {
        if (shape[i] < 0)
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "shape: %lld is no length", (long long)shape[i]);
    }
    nrw_dtype dtype;
    NRW_TRY(dtype_attr(c, NRW_F32, &dtype));
    c->out[0] = nrw_type_make(dtype, (int)n, shape);
    return NRW_OK;
}

static nrw_status like_infer(nrw_infer *c) {
    c->out[0] = *c->in[0];
    return dtype_attr(c, c->in[0]->dtype, &c->out[0].dtype);
}

enum { CHUNK = 256 };

static nrw_status fill_random(nrw_eval *e, bool normal) {
    nrw_tensor *out = &e->out[0];
    nrw_rng own, *rng = generator(e, &own);
    double base = nrw_attr_float(e->node, normal ? "mean" : "low", 0);
    double scale =
        normal ? nrw_attr_float(e->node, "scale", 1) : nrw_attr_float(e->node, "high", 1) - base;
    double x[CHUNK];
    int64_t n = nrw_tensor_count(out);
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        for (int64_t k = 0; k < count; k++) {
            x[k] = base + scale * (normal ? nrw_rng_normal(rng) : nrw_rng_uniform(rng));
        }
        char *to = (char *)out->data + i * nrw_dtype_size(out->dtype);
        NRW_TRY(nrw_from_f64(out->dtype, x, to, count, e->err));
    }
    return NRW_OK;
}

static nrw_status normal_run(nrw_eval *e) {
    return fill_random(e, true);
}
static nrw_status uniform_run(nrw_eval *e) {
    return fill_random(e, false);
}

static nrw_status bernoulli_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    nrw_tensor *out = &e->out[0];
    nrw_rng own, *rng = generator(e, &own);
    double p[CHUNK];
    int64_t drawn[CHUNK], n = nrw_tensor_count(in);
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        const char *from = (const char *)in->data + i * nrw_dtype_size(in->dtype);
        char *to = (char *)out->data + i * nrw_dtype_size(out->dtype);
        NRW_TRY(nrw_to_f64(in->dtype, from, p, count, e->err));
        for (int64_t k = 0; k < count; k++) drawn[k] = nrw_rng_uniform(rng) < p[k];
        NRW_TRY(nrw_from_i64(out->dtype, drawn, to, count, e->err));
    }
    return NRW_OK;
}

static nrw_status multinomial_infer(nrw_infer *c) {
    const nrw_type *in = c->in[0];
    if (in->rank >= 0 && in->rank != 2) NRW_FAIL_INPUT(c, 0, "input", "expected [batch, classes]");
    int64_t dims[2] = {in->rank < 0 ? NRW_DIM_UNKNOWN : in->dims[0],
                       nrw_attr_int(c->node, "sample_size", 1)};
    if (dims[1] < 0)
        NRW_FAIL(c->err, NRW_ERR_SHAPE, "sample_size: %lld is negative", (long long)dims[1]);
    nrw_dtype dtype;
    NRW_TRY(dtype_attr(c, NRW_I32, &dtype));
    c->out[0] = nrw_type_make(dtype, 2, dims);
    return NRW_OK;
}

/* By inversion: the first class whose cumulated weight exceeds a uniform number. */
static nrw_status multinomial_run(nrw_eval *e) {
    const nrw_tensor *in = e->in[0];
    nrw_tensor *out = &e->out[0];
    nrw_rng own, *rng = generator(e, &own);
    int64_t classes = in->dims[1], samples = out->dims[1];
    if (classes == 0 && nrw_tensor_count(out) > 0)
        NRW_FAIL(e->err, NRW_ERR_DATA, "input 0: no classes to draw from");
    double *sum = nrw_arena_alloc(e->scratch, (size_t)(classes + 1) * sizeof *sum);
    if (sum == NULL) NRW_OOM(e->err);
    for (int64_t b = 0; b < in->dims[0]; b++) {
        const char *row = (const char *)in->data + b * classes * nrw_dtype_size(in->dtype);
        NRW_TRY(nrw_to_f64(in->dtype, row, sum, classes, e->err));
        double top = -INFINITY, total = 0;
        for (int64_t k = 0; k < classes; k++) top = sum[k] > top ? sum[k] : top;
        for (int64_t k = 0; k < classes; k++) sum[k] = total += exp(sum[k] - top);
        for (int64_t s = 0; s < samples; s++) {
            double u = nrw_rng_uniform(rng) * total;
            int64_t k = 0;
            while (k < classes - 1 && !(u < sum[k])) k++;
            char *to = (char *)out->data + (b * samples + s) * nrw_dtype_size(out->dtype);
            NRW_TRY(nrw_from_i64(out->dtype, &k, to, 1, e->err));
        }
    }
    return NRW_OK;
}

/* MT19937 (Matsumoto and Nishimura 1998), which ONNX's reference of Dropout draws its mask from. */
typedef struct twister {
    uint32_t s[624];
    int at;
} twister;

static void twister_seed(twister *t, uint32_t seed) {
    t->s[0] = seed;
    for (uint32_t i = 1; i < 624; i++)
        t->s[i] = 1812433253U * (t->s[i - 1] ^ (t->s[i - 1] >> 30)) + i;
    t->at = 624;
}

static uint32_t twister_next(twister *t) {
    if (t->at == 624) {
        for (int i = 0; i < 624; i++) {
            uint32_t y = (t->s[i] & 0x80000000U) | (t->s[(i + 1) % 624] & 0x7fffffffU);
            t->s[i] = t->s[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfU : 0);
        }
        t->at = 0;
    }
    uint32_t y = t->s[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680U;
    y ^= (y << 15) & 0xefc60000U;
    return y ^ (y >> 18);
}

static double twister_uniform(twister *t) {
    uint32_t a = twister_next(t) >> 5, b = twister_next(t) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
}

static nrw_status dropout_infer(nrw_infer *c) {
    c->out[0] = *c->in[0];
    if (c->n_out > 1) {
        c->out[1] = *c->in[0];
        c->out[1].dtype = NRW_BOOL;
    }
    return NRW_OK;
}

static nrw_status dropout_train(nrw_eval *e, double ratio, bool *mask) {
    const nrw_tensor *in = e->in[0];
    twister *t = NULL;
    if (nrw_node_attr(e->node, "seed") != NULL) {
        t = nrw_arena_alloc(e->scratch, sizeof *t);
        if (t == NULL) NRW_OOM(e->err);
        twister_seed(t, (uint32_t)nrw_attr_int(e->node, "seed", 0));
    }
    double scale = 1 / (1 - ratio), x[CHUNK];
    int64_t n = nrw_tensor_count(in), size = nrw_dtype_size(in->dtype);
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        NRW_TRY(nrw_to_f64(in->dtype, (const char *)in->data + i * size, x, count, e->err));
        for (int64_t k = 0; k < count; k++) {
            double u = t != NULL ? twister_uniform(t) : nrw_rng_uniform(e->rng);
            bool keep = u >= ratio;
            if (mask != NULL) mask[i + k] = keep;
            x[k] = keep ? x[k] * scale : 0;
        }
        NRW_TRY(nrw_from_f64(in->dtype, x, (char *)e->out[0].data + i * size, count, e->err));
    }
    return NRW_OK;
}

static nrw_status dropout_run(nrw_eval *e) {
    double ratio = 0.5;
    bool training = false, *mask = e->n_out > 1 ? e->out[1].data : NULL;
    if (nrw_has_input(e, 1)) NRW_TRY(nrw_read_scalar(e, 1, &ratio));
    if (nrw_has_input(e, 2)) {
        double flag;
        NRW_TRY(nrw_read_scalar(e, 2, &flag));
        training = flag != 0;
    }
    if (!(ratio >= 0 && ratio < 1))
        NRW_FAIL(e->err, NRW_ERR_DATA, "input 1 (ratio): %g is outside of [0, 1)", ratio);
    if (training && ratio > 0) return dropout_train(e, ratio, mask);
    if (mask != NULL) memset(mask, 1, (size_t)nrw_tensor_count(e->in[0]));
    return nrw_run_copy(e);
}

/* Outside of training it moves what it gets, integers as well. */
static bool dropout_integer_ok(const nrw_node *n) {
    return n->n_inputs < 3 && n->inputs[0]->quant != NULL && !n->inputs[0]->quant->dynamic &&
           n->outputs[0] != NULL && nrw_quant_equal(n->inputs[0]->quant, n->outputs[0]->quant);
}

static const nrw_attr_def normal_attrs[] = {
    {"shape", NRW_ATTR_INTS, false}, {"dtype", NRW_ATTR_INT, false},
    {"mean", NRW_ATTR_FLOAT, false}, {"scale", NRW_ATTR_FLOAT, false},
    {"seed", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def uniform_attrs[] = {
    {"shape", NRW_ATTR_INTS, false}, {"dtype", NRW_ATTR_INT, false},
    {"low", NRW_ATTR_FLOAT, false},  {"high", NRW_ATTR_FLOAT, false},
    {"seed", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def bernoulli_attrs[] = {
    {"dtype", NRW_ATTR_INT, false}, {"seed", NRW_ATTR_FLOAT, false}, {0}};
static const nrw_attr_def multinomial_attrs[] = {{"dtype", NRW_ATTR_INT, false},
                                                 {"sample_size", NRW_ATTR_INT, false},
                                                 {"seed", NRW_ATTR_FLOAT, false},
                                                 {0}};
static const nrw_attr_def dropout_attrs[] = {{"seed", NRW_ATTR_INT, false}, {0}};

static const nrw_op normal_row = {
    .name = "RandomNormal",
    .domain = "",
    .min_in = 0,
    .max_in = 0,
    .min_out = 1,
    .max_out = 1,
    .attrs = normal_attrs,
    .infer = random_infer,
    .reference = normal_run,
    .onnx = {"RandomNormal", 1},
    .tflite = {"RANDOM_STANDARD_NORMAL", 146},
    .aten = "aten.normal.float_float",
    .random = true,
};
static const nrw_op normal_like_row = {
    .name = "RandomNormalLike",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = normal_attrs,
    .infer = like_infer,
    .reference = normal_run,
    .onnx = {"RandomNormalLike", 1},
    .aten = "aten.randn_like.default",
    .random = true,
};
static const nrw_op uniform_row = {
    .name = "RandomUniform",
    .domain = "",
    .min_in = 0,
    .max_in = 0,
    .min_out = 1,
    .max_out = 1,
    .attrs = uniform_attrs,
    .infer = random_infer,
    .reference = uniform_run,
    .onnx = {"RandomUniform", 1},
    .tflite = {"RANDOM_UNIFORM", 148},
    .aten = "aten.rand.default",
    .random = true,
};
static const nrw_op uniform_like_row = {
    .name = "RandomUniformLike",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = uniform_attrs,
    .infer = like_infer,
    .reference = uniform_run,
    .onnx = {"RandomUniformLike", 1},
    .aten = "aten.rand_like.default",
    .random = true,
};
static const nrw_op bernoulli_row = {
    .name = "Bernoulli",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = bernoulli_attrs,
    .infer = like_infer,
    .reference = bernoulli_run,
    .onnx = {"Bernoulli", 15},
    .aten = "aten.bernoulli.default",
    .random = true,
};
static const nrw_op multinomial_row = {
    .name = "Multinomial",
    .domain = "",
    .min_in = 1,
    .max_in = 1,
    .min_out = 1,
    .max_out = 1,
    .attrs = multinomial_attrs,
    .infer = multinomial_infer,
    .reference = multinomial_run,
    .onnx = {"Multinomial", 7},
    .tflite = {"MULTINOMIAL", 149},
    .aten = "aten.multinomial.default",
    .random = true,
};
static const nrw_case dropout_cases[] = {{"graph main(%x: f32[2,N]) { "
                                          "  %y: f32[2,N], %m: bool[2,N] = Dropout(%x) "
                                          "  return %y, %m } ",
                                          -1, 1},
                                         {0}};
static const nrw_op dropout_row = {
    .name = "Dropout",
    .domain = "",
    .min_in = 1,
    .max_in = 3,
    .min_out = 1,
    .max_out = 2,
    .attrs = dropout_attrs,
    .infer = dropout_infer,
    .reference = dropout_run,
    .integer = dropout_run,
    .integer_ok = dropout_integer_ok,
    .quant = {.rule = NRW_QUANT_SAME_SCALE},
    .onnx = {"Dropout", 1},
    .aten = "aten.dropout.default",
    .random = true,
    .cases = dropout_cases,
};

NRW_OPS(random, &normal_row, &normal_like_row, &uniform_row, &uniform_like_row, &bernoulli_row,
        &multinomial_row, &dropout_row);
