/* Sample cases that many element-wise operators share; see nrw_case in op.h. Each macro gives a
 * whole list, with one small graph per line. */
#ifndef NRW_OPS_CASES_H
#define NRW_OPS_CASES_H

#include "ops/op.h"

#define NRW_CASES(...) ((const nrw_case[]){__VA_ARGS__, {0}})

/* One input of one type and its output of another. */
#define NRW_CASE_1(op, in, out, lo, hi)                                                            \
    { "graph main(%x: " in ") { %y: " out " = " op "(%x) return %y }", lo, hi }

#define NRW_REAL_CASES_1(op, lo, hi)                                                               \
    NRW_CASES(NRW_CASE_1(op, "f32[2,3,5]", "f32[2,3,5]", lo, hi),                                  \
              NRW_CASE_1(op, "f16[N]", "f16[N]", lo, hi),                                          \
              NRW_CASE_1(op, "f64[]", "f64[]", lo, hi))

/* With 8-bit input and output as well. */
#define NRW_QUANT_CASES_1(op, lo, hi)                                                              \
    NRW_CASES(NRW_CASE_1(op, "f32[2,3,5]", "f32[2,3,5]", lo, hi),                                  \
              NRW_CASE_1(op, "f16[N]", "f16[N]", lo, hi),                                          \
              {"graph main(%x: f32[4,33] q(u8, scale=0.03, zero=120)) {"                           \
               "  %y: f32[4,33] q(i8, scale=0.025, zero=-7) = " op "(%x)"                          \
               "  return %y }",                                                                    \
               lo, hi})

/* Two inputs, one broadcast to the other. */
#define NRW_CASE_2(op, a, b, out, lo, hi)                                                          \
    { "graph main(%a: " a ", %b: " b ") { %y: " out " = " op "(%a, %b) return %y }", lo, hi }

#define NRW_QUANT_CASE_2(op)                                                                       \
    {                                                                                              \
        "graph main(%a: f32[2,7,9] q(u8, scale=0.02, zero=99), %b: f32[7,1] q(i8, scale=0.01, "    \
        "zero=3)) {"                                                                               \
        "  %y: f32[2,7,9] q(u8, scale=0.04, zero=130) = " op "(%a, %b)"                            \
        "  return %y }",                                                                           \
            -2, 2                                                                                  \
    }

#endif
