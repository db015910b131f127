/* The binary functions of signed integers. In: T, TN; undefined again. */

#include "ops/binary_int_tmpl.h"

/* Division by zero gives 0, and the one overflow wraps. */
static inline T NRW_CAT(quotient_, TN)(T x, T y) {
    if (y == 0) return 0;
    return y == -1 ? (T)(0 - (uint64_t)x) : (T)(x / y);
}

static inline T NRW_CAT(remainder_, TN)(T x, T y) {
    return y == 0 || y == -1 ? 0 : (T)(x % y);
}

static inline T NRW_CAT(floor_mod_, TN)(T x, T y) {
    T r = NRW_CAT(remainder_, TN)(x, y);
    return r != 0 && (r < 0) != (y < 0) ? (T)(r + y) : r;
}

static inline T NRW_CAT(left_, TN)(T x, T y) {
    return y < 0 || y >= (int)sizeof(T) * 8 ? 0 : (T)((uint64_t)x << y);
}

/* Arithmetic; a shift by all bits or more leaves the sign. */
static inline T NRW_CAT(right_, TN)(T x, T y) {
    return y < 0 || y >= (int)sizeof(T) * 8 ? (T)(x < 0 ? -1 : 0) : (T)(x >> y);
}

#define ROW        NRW_CAT(div_, TN)
#define EXPR(x, y) NRW_CAT(quotient_, TN)((x), (y))
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(fmod_, TN)
#define EXPR(x, y) NRW_CAT(remainder_, TN)((x), (y))
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(mod_, TN)
#define EXPR(x, y) NRW_CAT(floor_mod_, TN)((x), (y))
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(shift_left_, TN)
#define EXPR(x, y) NRW_CAT(left_, TN)((x), (y))
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(shift_right_, TN)
#define EXPR(x, y) NRW_CAT(right_, TN)((x), (y))
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(prelu_, TN)
#define EXPR(x, y) (x) < 0 ? (uint64_t)(x) * (uint64_t)(y) : (uint64_t)(x)
#include "ops/row2_tmpl.h"

#undef T
#undef TN
