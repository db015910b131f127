/* The binary functions that signed and unsigned integers share, modulo 2^bits. In: T, TN; both
 * stay.
 */

#define ROW        NRW_CAT(add_, TN)
#define EXPR(x, y) (uint64_t)(x) + (uint64_t)(y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(sub_, TN)
#define EXPR(x, y) (uint64_t)(x) - (uint64_t)(y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(mul_, TN)
#define EXPR(x, y) (uint64_t)(x) * (uint64_t)(y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(bitwise_and_, TN)
#define EXPR(x, y) (x) & (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(bitwise_or_, TN)
#define EXPR(x, y) (x) | (y)
#include "ops/row2_tmpl.h"

#define ROW        NRW_CAT(bitwise_xor_, TN)
#define EXPR(x, y) (x) ^ (y)
#include "ops/row2_tmpl.h"
