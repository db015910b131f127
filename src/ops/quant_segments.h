/* Functions of one float tensor whose result is quantized to bytes, in one sweep
 * (kernels/segments.h). */
#ifndef NRW_OPS_QUANT_SEGMENTS_H
#define NRW_OPS_QUANT_SEGMENTS_H

#include "kernels/segments.h"
#include "ops/op.h"

/* f(x), or x f(x), where f is smooth within [lo, hi] and constant outside, to 1e-7 or so. */
typedef struct nrw_smooth {
    double (*f)(double);
    float lo, hi;
    bool times_x;
} nrw_smooth;

/* What Gelu multiplies x by; approximate: its attribute. */
nrw_smooth nrw_gelu(const char *approximate);
/* Segments for a result with these per-tensor parameters. */
void nrw_smooth_segments(const nrw_smooth *f, const nrw_quant *y, nrw_segments *out);

/* Chooses that kernel if it fits the node's annotations. */
nrw_status nrw_plan_segments(nrw_plan_node *p, const nrw_smooth *f,
                             nrw_step_choice *choice) NRW_MUST_CHECK;

#endif
