#include "ops/quant_segments.h"

#include "kernels/kernels.h"
#include "ops/broadcast.h"

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
    job j = {kn->segments_u8 != NULL ? kn->segments_u8 : nrw_segments_u8, e->state, e->in[0]->data,
             e->out[0].data};
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
    nrw_segments_fit(s, f->f, f->lo, f->hi);
    s->times_x = f->times_x;
    s->per_step = 1 / y->quant->scale[0];
    s->zero = y->quant->zero_point[0];
    choice->run = run;
    choice->state = s;
    choice->takes_quantized = true;
    choice->kernel = "segments_u8";
    return NRW_OK;
}
