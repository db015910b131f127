/* The binary functions of unsigned integers. In: T, TN; undefined again. Division by zero gives 0.
 */

#include "ops/binary_int_tmpl.h"

#define ROW        NRW_CAT(div_, TN)
#define EXPR(x, y) (y) != 0 ? (x) / (y) : 0
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(mod_, TN)
#define EXPR(x, y) (y) != 0 ? (x) % (y) : 0
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(shift_left_, TN)
#define EXPR(x, y) (y) < sizeof(T) * 8 ? (uint64_t)(x) << (y) : 0
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(shift_right_, TN)
#define EXPR(x, y) (y) < sizeof(T) * 8 ? (x) >> (y) : 0
#include "ops/row2_tmpl.h"

#undef T
#undef TN
