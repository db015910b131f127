/* The unary functions that only signed integers have, or have in their own way. In: T, TN;
 * undefined again. Wraps as two's complement does. */

#define ROW     NRW_CAT(abs_, TN)
#define EXPR(x) (x) < 0 ? (T)(0 - (uint64_t)(x)) : (x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(neg_, TN)
#define EXPR(x) 0 - (uint64_t)(x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(sign_, TN)
#define EXPR(x) ((x) > 0) - ((x) < 0)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(relu_, TN)
#define EXPR(x) (x) > 0 ? (x) : 0
#include "ops/row1_tmpl.h"

#undef T
#undef TN
