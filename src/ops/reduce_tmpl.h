/* Folding elements of one type into accumulators. In: T the element type, TN its short name, A the
 * accumulator type. All are undefined again. */

#define LANES 8

/* Integers wrap. EXP is there for reals only. */
#ifdef EXP
#define ADD(a, b) ((a) + (b))
#define MUL(a, b) ((a) * (b))
#define SIZE(x)   ((x) < 0 ? -(A)(x) : (A)(x))
#else
#define ADD(a, b) (A)((uint64_t)(a) + (uint64_t)(b))
#define MUL(a, b) (A)((uint64_t)(a) * (uint64_t)(b))
#define SIZE(x)   ((x) > 0 ? (A)(x) : (A)(0 - (uint64_t)(x)))
#endif

#define FOLD(acc, x, m) ADD(acc, (A)(x))
#define MERGE(a, b)     ADD(a, b)
#define START           0
#define NAME(part)      NRW_CAT(sum_##part##_, TN)
#include "ops/reduce_fold_tmpl.h"

#define FOLD(acc, x, m) ADD(acc, SIZE(x))
#define MERGE(a, b)     ADD(a, b)
#define START           0
#define NAME(part)      NRW_CAT(abs_##part##_, TN)
#include "ops/reduce_fold_tmpl.h"

#define FOLD(acc, x, m) ADD(acc, MUL((A)(x), (A)(x)))
#define MERGE(a, b)     ADD(a, b)
#define START           0
#define NAME(part)      NRW_CAT(square_##part##_, TN)
#include "ops/reduce_fold_tmpl.h"

#define FOLD(acc, x, m) MUL(acc, (A)(x))
#define MERGE(a, b)     MUL(a, b)
#define START           1
#define NAME(part)      NRW_CAT(prod_##part##_, TN)
#include "ops/reduce_fold_tmpl.h"

/* NaN wins. For integers the comparison with itself is false. */
#define FOLD(acc, x, m) (A)(x) > (acc) || (x) != (x) ? (A)(x) : (acc)
#define MERGE(a, b)     (b) > (a) || (b) != (b) ? (b) : (a)
#define START           acc[0]
#define NAME(part)      NRW_CAT(max_##part##_, TN)
#include "ops/reduce_fold_tmpl.h"

#define FOLD(acc, x, m) (A)(x) < (acc) || (x) != (x) ? (A)(x) : (acc)
#define MERGE(a, b)     (b) < (a) || (b) != (b) ? (b) : (a)
#define START           acc[0]
#define NAME(part)      NRW_CAT(min_##part##_, TN)
#include "ops/reduce_fold_tmpl.h"

#ifdef EXP
#define FOLD(acc, x, m) (acc) + (A)EXP((T)((A)(x) - (m)))
#define MERGE(a, b)     ADD(a, b)
#define START           0
#define NAME(part)      NRW_CAT(exp_##part##_, TN)
#include "ops/reduce_fold_tmpl.h"
#undef EXP
#endif

#undef LANES
#undef ADD
#undef MUL
#undef SIZE
#undef T
#undef TN
#undef A
