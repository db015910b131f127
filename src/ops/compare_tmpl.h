/* Comparisons for one type. In: T, TN; undefined again. */

#define ROW        NRW_CAT(equal_, TN)
#define EXPR(x, y) (x) == (y)
#define R          bool
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(less_, TN)
#define EXPR(x, y) (x) < (y)
#define R          bool
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(less_equal_, TN)
#define EXPR(x, y) (x) <= (y)
#define R          bool
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(greater_, TN)
#define EXPR(x, y) (x) > (y)
#define R          bool
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(greater_equal_, TN)
#define EXPR(x, y) (x) >= (y)
#define R          bool
#include "ops/row2_tmpl.h"

#undef T
#undef TN
