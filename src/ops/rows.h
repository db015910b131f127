/* What the row templates (row1_tmpl.h, row2_tmpl.h) and the files that fill them share. */
#ifndef NRW_OPS_ROWS_H
#define NRW_OPS_ROWS_H

#include "ops/broadcast.h"
#include "ops/vmath.h"

#define NRW_CAT_(a, b) a##b
#define NRW_CAT(a, b)  NRW_CAT_(a, b)

/* Loops of these element types are compiled at several widths: models spend time in them. Those of
 * the other types, rare as they are, would be a quarter of the library. */
#define NRW_WIDE_f32 NRW_WIDE
#define NRW_WIDE_f64 NRW_WIDE
#define NRW_WIDE_i64 NRW_WIDE
#define NRW_WIDE_i32
#define NRW_WIDE_i16
#define NRW_WIDE_i8
#define NRW_WIDE_u64
#define NRW_WIDE_u32
#define NRW_WIDE_u16
#define NRW_WIDE_u8
#define NRW_WIDE_FOR(tn) NRW_CAT(NRW_WIDE_, tn)

/* Initializers of an nrw_rows from functions named after their type: abs_f32, abs_i8, … */
#define NRW_REAL_ROWS(f) .by[NRW_F32] = f##_f32, .by[NRW_F64] = f##_f64
#define NRW_SINT_ROWS(f)                                                                           \
    .by[NRW_I8] = f##_i8, .by[NRW_I16] = f##_i16, .by[NRW_I32] = f##_i32, .by[NRW_I64] = f##_i64
#define NRW_UINT_ROWS(f)                                                                           \
    .by[NRW_U8] = f##_u8, .by[NRW_U16] = f##_u16, .by[NRW_U32] = f##_u32, .by[NRW_U64] = f##_u64
#define NRW_INT_ROWS(f)     NRW_SINT_ROWS(f), NRW_UINT_ROWS(f)
#define NRW_NUMERIC_ROWS(f) NRW_REAL_ROWS(f), NRW_INT_ROWS(f)

#endif
