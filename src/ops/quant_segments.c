#include "ops/quant_segments.h"

#include <string.h>

#include "kernels/kernels.h"
#include "ops/broadcast.h"
#include "ops/vmath.h"

static double normal_cdf(double x) {
    return nrw_normal_cdf_f64(x);
}
static double gelu_tanh_factor(double x) {
    return 0.5 * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

nrw_smooth nrw_gelu(const char *approximate) {
    const bool by_tanh = strcmp(approximate, "tanh") == 0;
    return (nrw_smooth){by_tanh ? gelu_tanh_factor : normal_cdf, -5.6f, 5.6f, true};
}

void nrw_smooth_segments(const nrw_smooth *f, const nrw_quant *y, nrw_segments *out) {
    nrw_segments_fit(out, f->f, f->lo, f->hi, f->times_x, y->scale[0], y->zero_point[0]);
}

typedef struct job {
    void (*fn)(const nrw_segments *s, const float *x, uint8_t *y, int64_t n);
    const nrw_segments *s;
    const float *x;
    uint8_t *y;
} job;

static void part(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    j->fn(j->s, j->x + begin, j->y + begin, end - begin);
}

static nrw_status run(nrw_eval *e) {
    enum { GRAIN = 16384 };
    const nrw_kernels *kn = e->kernels;
    job j = {kn->segments_u8, e->state, e->in[0]->data, e->out[0].data};
    nrw_each_range(e->pool, nrw_tensor_count(&e->out[0]), GRAIN, part, &j);
    return NRW_OK;
}

nrw_status nrw_plan_segments(nrw_plan_node *p, const nrw_smooth *f, nrw_step_choice *choice) {
    const nrw_value *x = p->node->inputs[0], *y = p->node->outputs[0];
    if (!p->integers || x->quant != NULL || x->type.dtype != NRW_F32 ||
        !nrw_quant_is_u8(y->quant) || y->quant->dynamic || y->quant->count != 1)
        return NRW_OK;
    nrw_segments *s = nrw_arena_calloc(p->arena, 1, sizeof *s);
    if (s == NULL) NRW_OOM(p->err);
    nrw_smooth_segments(f, y->quant, s);
    choice->run = run;
    choice->state = s;
    choice->takes_quantized = true;
    choice->kernel = "segments_u8";
    return NRW_OK;
}
