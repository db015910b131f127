/* The binary functions for one real type. In: T, TN, M(f) the C library's f for it, V(f) vmath.h's.
 * All are undefined again. */

/* x - floor(x / y) y with the sign of y, as ONNX's Mod lists the special cases. */
static inline T NRW_CAT(floor_mod_, TN)(T x, T y) {
    T r = M(fmod)(x, y);
    if (r == 0) return M(copysign)(r, y);
    return (r < 0) != (y < 0) ? r + y : r;
}

/* Squares and cubes are what models raise to most. */
static inline T NRW_CAT(power_, TN)(T x, T y) {
    if (y == 2) return x * x;
    if (y == 3) return x * x * x;
    return M(pow)(x, y);
}

#define ROW        NRW_CAT(add_, TN)
#define EXPR(x, y) (x) + (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(sub_, TN)
#define EXPR(x, y) (x) - (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(mul_, TN)
#define EXPR(x, y) (x) * (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(div_, TN)
#define EXPR(x, y) (x) / (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(prelu_, TN)
#define EXPR(x, y) (x) < 0 ? (x) * (y) : (x)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(swiglu_, TN)
#define EXPR(x, y) (x) * V(sigmoid)(a * (x)) * (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(fmod_, TN)
#define EXPR(x, y) M(fmod)((x), (y))
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(mod_, TN)
#define EXPR(x, y) NRW_CAT(floor_mod_, TN)((x), (y))
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(pow_, TN)
#define EXPR(x, y) NRW_CAT(power_, TN)((x), (y))
#include "ops/row2_tmpl.h"

#undef T
#undef TN
#undef M
#undef V
