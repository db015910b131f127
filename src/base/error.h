/* Error handling: every fallible function returns nrw_status and takes a caller-owned nrw_error
 * *err (NULL allowed). Three macros carry it:
 *
 *   NRW_FAIL(err, NRW_ERR_SHAPE, "pads: expected 4 values, got %d", n);   records and returns
 *   NRW_TRY(expr);                                                        passes a failure on
 *   NRW_TRY_CTX(err, expr, "node '%s'", name);                            passes it on, prefixed
 * "node 'x': "
 *
 * NRW_OOM(err) is NRW_FAIL for a failed allocation. A function that must clean up on failure keeps
 * the status in a variable and uses `goto done`. */
#ifndef NRW_BASE_ERROR_H
#define NRW_BASE_ERROR_H

#include "narrow/status.h"

/* Records code and message in *err (if not NULL) and returns code. */
nrw_status nrw_error_set(nrw_error *err, nrw_status code, const char *fmt, ...) NRW_PRINTF(3, 4);

/* Puts "context: " before the message in *err. Returns code unchanged. */
nrw_status nrw_error_prefix(nrw_error *err, nrw_status code, const char *fmt, ...) NRW_PRINTF(3, 4);

/* A short English name of a status, for callers that have no message. Static storage. */
const char *nrw_status_name(nrw_status s);

#define NRW_FAIL(err, code, ...) return nrw_error_set((err), (code), __VA_ARGS__)
#define NRW_OOM(err)             NRW_FAIL((err), NRW_ERR_MEMORY, "out of memory")
#define NRW_TRY(expr)                                                                              \
    do {                                                                                           \
        nrw_status try_status_ = (expr);                                                           \
        if (try_status_ != NRW_OK) return try_status_;                                             \
    } while (0)
#define NRW_TRY_CTX(err, expr, ...)                                                                \
    do {                                                                                           \
        nrw_status try_status_ = (expr);                                                           \
        if (try_status_ != NRW_OK) return nrw_error_prefix((err), try_status_, __VA_ARGS__);       \
    } while (0)

#endif
