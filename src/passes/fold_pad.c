/* Zero padding before a convolution, or before an average that counts padding, becomes the
 * operator's own. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

static bool takes_pads(const nrw_node *n) {
    if (strcmp(nrw_attr_str(n, "auto_pad", "NOTSET"), "NOTSET") != 0) return false;
    if (nrw_is(n, "Conv")) return true;
    return nrw_is(n, "AveragePool") && nrw_attr_int(n, "count_include_pad", 0) == 1 &&
           nrw_attr_int(n, "ceil_mode", 0) == 0;
}

/* pads[]: begin and end of the spatial axes. */
static bool read_pad(const nrw_node *pad, int rank, int64_t *pads) {
    int64_t all[2 * NRW_MAX_RANK], axes[NRW_MAX_RANK], full[2 * NRW_MAX_RANK] = {0};
    int n, n_axes = rank;
    float fill;
    if (strcmp(nrw_attr_str(pad, "mode", "constant"), "constant") != 0) return false;
    if (nrw_input(pad, 2) != NULL && (!nrw_const_scalar(pad->inputs[2], &fill) || fill != 0))
        return false;
    if (!nrw_const_ints(nrw_input(pad, 1), all, 2 * NRW_MAX_RANK, &n)) return false;
    for (int i = 0; i < rank; i++) axes[i] = i;
    if (nrw_input(pad, 3) != NULL && !nrw_const_ints(pad->inputs[3], axes, NRW_MAX_RANK, &n_axes))
        return false;
    if (n != 2 * n_axes) return false;
    for (int i = 0; i < n_axes; i++) {
        if (!nrw_normalize_axis(&axes[i], rank) || all[i] < 0 || all[n_axes + i] < 0) return false;
        full[axes[i]] = all[i];
        full[rank + axes[i]] = all[n_axes + i];
    }
    if (full[0] != 0 || full[1] != 0 || full[rank] != 0 || full[rank + 1] != 0) return false;
    for (int i = 2; i < rank; i++) {
        pads[i - 2] = full[i];
        pads[rank - 2 + i - 2] = full[rank + i];
    }
    return true;
}

static nrw_status fold(nrw_node *n, bool *changed, nrw_error *err) {
    nrw_node *pad = nrw_made_by(n->inputs[0], "Pad");
    if (pad == NULL || pad->graph != n->graph || n->inputs[0]->quant != NULL) return NRW_OK;
    int rank = n->inputs[0]->type.rank;
    if (nrw_is(n, "Conv") && nrw_input(n, 1) != NULL) rank = n->inputs[1]->type.rank;
    int64_t pads[2 * NRW_MAX_RANK], count;
    if (rank < 3 || !read_pad(pad, rank, pads)) return NRW_OK;
    const int64_t *own = nrw_attr_ints(n, "pads", &count);
    if (own != NULL && count != 2 * (rank - 2)) return NRW_OK;
    for (int64_t i = 0; own != NULL && i < count; i++) pads[i] += own[i];
    /* A pool whose window can lie wholly in the padding is not valid everywhere. */
    const int64_t *kernel = nrw_attr_ints(n, "kernel_shape", &count);
    for (int i = 0; nrw_is(n, "AveragePool") && i < 2 * (rank - 2); i++) {
        if (kernel == NULL || pads[i] >= kernel[i % (rank - 2)]) return NRW_OK;
    }
    NRW_TRY(nrw_node_set_ints(n, "pads", 2 * (rank - 2), pads, err));
    NRW_TRY(nrw_node_set_input(n, 0, pad->inputs[0], err));
    nrw_node_remove(pad);
    *changed = true;
    return NRW_OK;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        if ((nrw_is(n, "Conv") || nrw_is(n, "AveragePool")) && takes_pads(n))
            NRW_TRY(fold(n, user, err));
    }
    return NRW_OK;
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    (void)scratch;
    return nrw_each_graph(m->graph, sweep, changed, err);
}

const nrw_pass nrw_pass_fold_pad = {"fold_pad", run};
