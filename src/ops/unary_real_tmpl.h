/* The unary functions for one real type. In: T the type, TN its short name, M(f) the C library's f
 * for it, V(f) the f of vmath.h for it. All are undefined again. */

static inline T V(clamp01)(T x) {
    x = x < 0 ? 0 : x;
    return x > 1 ? 1 : x;
}

static inline T V(gelu_tanh)(T x) {
    return (T)0.5 * x * (1 + V(tanh)((T)0.79788456080286535588 * (x + (T)0.044715 * x * x * x)));
}

/* x tanh(log(1 + e^x)) with tanh and log written out: t / (t + 2), t = e^x (e^x + 2). */
static inline T V(mish)(T x) {
    T e = V(exp)(x > 30 ? 30 : x);
    T t = e * (e + 2);
    return x * (t / (t + 2));
}

#define ROW     NRW_CAT(abs_, TN)
#define EXPR(x) M(fabs)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(acos_, TN)
#define EXPR(x) M(acos)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(acosh_, TN)
#define EXPR(x) M(acosh)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(asin_, TN)
#define EXPR(x) M(asin)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(asinh_, TN)
#define EXPR(x) M(asinh)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(atan_, TN)
#define EXPR(x) M(atan)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(atanh_, TN)
#define EXPR(x) M(atanh)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(ceil_, TN)
#define EXPR(x) M(ceil)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(cos_, TN)
#define EXPR(x) M(cos)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(cosh_, TN)
#define EXPR(x) M(cosh)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(celu_, TN)
#define EXPR(x) (x) > 0 ? (x) : a *M(expm1)((x) / a)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(elu_, TN)
#define EXPR(x) (x) < 0 ? a *M(expm1)(x) : (x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(erf_, TN)
#define EXPR(x) V(erf)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(exp_, TN)
#define EXPR(x) V(exp)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(floor_, TN)
#define EXPR(x) M(floor)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(gelu_, TN)
#define EXPR(x) (x) * V(normal_cdf)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(gelu_tanh_, TN)
#define EXPR(x) V(gelu_tanh)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(hard_sigmoid_, TN)
#define EXPR(x) V(clamp01)(a * (x) + b)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(hard_swish_, TN)
#define EXPR(x) (x) * V(clamp01)((x) / 6 + (T)0.5)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(leaky_relu_, TN)
#define EXPR(x) (x) < 0 ? a *(x) : (x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(log_, TN)
#define EXPR(x) M(log)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(mish_, TN)
#define EXPR(x) V(mish)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(neg_, TN)
#define EXPR(x) -(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(reciprocal_, TN)
#define EXPR(x) 1 / (x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(relu_, TN)
#define EXPR(x) (x) < 0 ? 0 : (x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(round_, TN)
#define EXPR(x) M(rint)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(selu_, TN)
#define EXPR(x) (x) > 0 ? b *(x) : b *(a * M(expm1)(x))
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(shrink_, TN)
#define EXPR(x) (x) < -a ? (x) + b : ((x) > a ? (x)-b : 0)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(sigmoid_, TN)
#define EXPR(x) V(sigmoid)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(sign_, TN)
#define EXPR(x) (x) != (x) ? (x) : (T)(((x) > 0) - ((x) < 0))
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(sin_, TN)
#define EXPR(x) M(sin)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(sinh_, TN)
#define EXPR(x) M(sinh)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(softplus_, TN)
#define EXPR(x) ((x) > 0 ? (x) : 0) + M(log1p)(V(exp)(-M(fabs)(x)))
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(softsign_, TN)
#define EXPR(x) (x) / (1 + M(fabs)(x))
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(sqrt_, TN)
#define EXPR(x) M(sqrt)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(swish_, TN)
#define EXPR(x) (x) * V(sigmoid)(a * (x))
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(tan_, TN)
#define EXPR(x) M(tan)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(tanh_, TN)
#define EXPR(x) V(tanh)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(thresholded_relu_, TN)
#define EXPR(x) (x) > a ? (x) : 0
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(isinf_, TN)
#define EXPR(x) ((x) == INFINITY && a != 0) || ((x) == -INFINITY && b != 0)
#define R       bool
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(isnan_, TN)
#define EXPR(x) (x) != (x)
#define R       bool
#include "ops/row1_tmpl.h"

#undef T
#undef TN
#undef M
#undef V
