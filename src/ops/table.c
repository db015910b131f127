/* ai.narrow::Table: any function of one quantized tensor, as 256 results; y = table[x]. Plans put
 * it where functions of one tensor stand, alone or in a row (the pass fuse_tables). */
#include "ops/quant_table.h"

static nrw_status infer(nrw_infer *c) {
    const nrw_type *t = c->in[1];
    if (t->rank != NRW_RANK_UNKNOWN && (t->rank != 1 || (t->dims[0] >= 0 && t->dims[0] != 256)))
        NRW_FAIL_INPUT(c, 1, "table", "256 elements are needed");
    return nrw_infer_same(c);
}

/* Reals have no table: whoever asks gets what the nearest step of the input gives. */
static nrw_status reference(nrw_eval *e) {
    NRW_FAIL(e->err, NRW_ERR_UNSUPPORTED, "a table takes quantized values only");
}

static bool integer_ok(const nrw_node *n) {
    return nrw_quant_is_byte(n->inputs[0]->quant) && nrw_quant_is_byte(n->outputs[0]->quant);
}

static nrw_status integer(nrw_eval *e) {
    return nrw_look_up(e, e->in[1]->data);
}

static const nrw_op table = {
    .name = "Table",
    .domain = "ai.narrow",
    .min_in = 2,
    .max_in = 2,
    .min_out = 1,
    .max_out = 1,
    .infer = infer,
    .reference = reference,
    .integer = integer,
    .integer_ok = integer_ok,
};

NRW_OPS(table, &table);
