/* Status codes and the error record that every fallible call of Narrow fills.
 *
 * A function that can fail returns nrw_status and takes an nrw_error * owned by the caller. The
 * pointer may be NULL when only the code matters. The library never prints, exits or aborts. */
#ifndef NARROW_STATUS_H
#define NARROW_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define NRW_MUST_CHECK         __attribute__((warn_unused_result))
#define NRW_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define NRW_API                __attribute__((visibility("default")))
#else
#define NRW_MUST_CHECK
#define NRW_PRINTF(fmt, first)
#define NRW_API
#endif

typedef enum nrw_status {
    NRW_OK = 0,
    NRW_ERR_MEMORY,      /* an allocation failed, or a memory limit was reached */
    NRW_ERR_IO,          /* the operating system refused to open, read or write a file */
    NRW_ERR_FORMAT,      /* a file's bytes break the rules of its format */
    NRW_ERR_UNSUPPORTED, /* well-formed, but Narrow does not handle it */
    NRW_ERR_ARGUMENT,    /* the caller's arguments or options make no sense */
    NRW_ERR_SHAPE,       /* shapes or types of a graph do not fit together */
    NRW_ERR_DATA,        /* data (samples, labels, weights) unusable: wrong rank, NaN, empty, … */
    NRW_ERR_CANCELLED,   /* the progress callback asked to stop */
    NRW_ERR_INTERNAL     /* a bug in Narrow */
} nrw_status;

/* What went wrong, in one line, with the trail that leads there:
 * "model.onnx: node 'Conv_12': pads: expected 4 values, got 3". */
typedef struct nrw_error {
    nrw_status code;
    char message[1024];
} nrw_error;

#ifdef __cplusplus
}
#endif
#endif
