/* The unary functions that unsigned integers have in their own way. In: T, TN; undefined again. */

#define ROW     NRW_CAT(copy_, TN)
#define EXPR(x) (x)
#include "ops/row1_tmpl.h"

#define ROW     NRW_CAT(nonzero_, TN)
#define EXPR(x) (x) != 0
#include "ops/row1_tmpl.h"

#undef T
#undef TN
