/* What C tests share: a context made by hand, and the comparison of values. */
#ifndef NRW_TESTS_TESTING_H
#define NRW_TESTS_TESTING_H

#include "base/context.h"
#include "ir/tensor.h"

/* cap: a tier's name or NULL. Ends the program when it cannot be made. Freed by
 * nrw_context_destroy. */
void testing_context(nrw_context *c, const char *cap, int threads);

/* numpy's assert_allclose on values of any kind: same kind, dtype and shape, elements within
 * atol + rtol * |want|, NaN equal to NaN; strings and integers of 64 bits exactly. Returns NULL
 * when they agree, else what differs, in a buffer of the caller. */
const char *testing_differ(const nrw_tensor *got, const nrw_tensor *want, double rtol, double atol,
                           char *why, size_t n);
/* The same bits. */
bool testing_identical(const nrw_tensor *a, const nrw_tensor *b);

#endif
