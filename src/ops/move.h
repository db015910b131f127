/* What the families that move elements share: strided copies over any element size, and the reading
 * of axes, indices and other small parameters. */
#ifndef NRW_OPS_MOVE_H
#define NRW_OPS_MOVE_H

#include "ops/op.h"

/* Views may have more axes than tensors: Tile and DepthToSpace split axes on the way. */
#define NRW_MOVE_RANK (2 * NRW_MAX_RANK)

/* dst[Σ i_k * dst_strides[k]] = src[Σ i_k * src_strides[k]] for every index i within dims. element:
 * 1, 2, 4, 8 or 16 bytes. Strides are in elements, may be negative, and those of src may be 0.
 * dst's elements are distinct and do not overlap src. */
void nrw_move(nrw_pool *pool, int element, int rank, const int64_t *dims, void *dst,
              const int64_t *dst_strides, const void *src, const int64_t *src_strides);
/* The same with a contiguous dst. */
void nrw_move_dense(nrw_pool *pool, int element, int rank, const int64_t *dims, void *dst,
                    const void *src, const int64_t *src_strides);
/* dst is contiguous; element i comes from src[Σ maps[k][i_k]], or is *value where any of these is
 * negative. */
void nrw_move_mapped(nrw_pool *pool, int element, int rank, const int64_t *dims, void *dst,
                     const void *src, const int64_t *const *maps, const void *value);
/* part is shaped as whole but for its length along axis. It is copied to, or taken from, position
 * `at` of that axis. */
void nrw_move_part(nrw_pool *pool, const nrw_tensor *whole, const nrw_tensor *part, int axis,
                   int64_t at, bool into_whole);
/* n copies of the element at value. */
void nrw_move_fill(int element, void *dst, int64_t n, const void *value);

/* The whole of input i as int64s: a view when it is of that type, else a copy in scratch. */
nrw_status nrw_read_indices(nrw_eval *e, int i, const int64_t **out) NRW_MUST_CHECK;
/* As above, with every index checked against [-length, length) and negative ones raised. A copy in
 * scratch. */
nrw_status nrw_read_indices_in(nrw_eval *e, int i, int64_t length, int64_t **out) NRW_MUST_CHECK;

/* True and the values of input i (at most max), if they are known. *n is -1 where not even their
 * number is; else the number. A rank above 1 is refused. */
nrw_status nrw_infer_ints(nrw_infer *c, int i, const char *what, int64_t *out, int max, int *n,
                          bool *known) NRW_MUST_CHECK;
/* Normalizes n axes against rank and refuses repeated ones. what: "axes" or "input 1 (axes)". */
nrw_status nrw_normalize_axes(int64_t *axes, int n, int rank, const char *what,
                              nrw_error *err) NRW_MUST_CHECK;
/* The attribute `axis`, normalized against rank. */
nrw_status nrw_axis_attr(const nrw_node *node, const char *name, int64_t absent, int rank,
                         int *axis, nrw_error *err) NRW_MUST_CHECK;
/* The single integer of input i, if known. */
nrw_status nrw_infer_int(nrw_infer *c, int i, const char *what, int64_t *out,
                         bool *known) NRW_MUST_CHECK;
/* One value of a tensor of one element as a double or an integer. */
nrw_status nrw_read_scalar(nrw_eval *e, int i, double *out) NRW_MUST_CHECK;
nrw_status nrw_read_int(nrw_eval *e, int i, const char *what, int64_t *out) NRW_MUST_CHECK;

/* Copies input 0's elements in order to output 0: what Reshape and its like do. */
nrw_status nrw_run_copy(nrw_eval *e) NRW_MUST_CHECK;
/* nrw_eval_alloc, unless the output has memory of this shape already. */
nrw_status nrw_eval_room(nrw_eval *e, int i, nrw_dtype dtype, int rank,
                         const int64_t *dims) NRW_MUST_CHECK;
/* Output i becomes a copy of src, whatever that holds. */
nrw_status nrw_eval_give(nrw_eval *e, int i, const nrw_tensor *src) NRW_MUST_CHECK;
/* What is true of both types: for values that may come from either of two places. */
nrw_type nrw_type_common(const nrw_type *a, const nrw_type *b);
/* Output 0 has input 0's element type; its rank is known, its dims are not yet. */
nrw_status nrw_infer_rank(nrw_infer *c, int rank) NRW_MUST_CHECK;
/* Product of dims[from..to): unknown where a factor is, but for a single symbol among ones.
 * NRW_ERR_SHAPE when it does not fit. */
nrw_status nrw_dims_product(const int64_t *dims, int from, int to, int64_t *out,
                            nrw_error *err) NRW_MUST_CHECK;

static inline bool nrw_has_input(const nrw_eval *e, int i) {
    return i < e->n_in && e->in[i] != NULL;
}
static inline bool nrw_infer_has(const nrw_infer *c, int i) {
    return i < c->n_in && c->in[i] != NULL;
}
/* Product of dims[from..to). */
static inline int64_t nrw_span(const int64_t *dims, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= dims[i];
    return n;
}

#endif
