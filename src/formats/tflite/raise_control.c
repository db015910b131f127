/* Operators that run subgraphs: IF and WHILE become ONNX's If and Loop, calls are put in place.
 * Bodies see the values around them, so what IF hands to its branches needs no inputs. Variables
 * that live as long as the model are followed while reading, as far as no branch or loop assigns
 * them. */
#include <string.h>

#include "formats/tflite/rule.h"
#include "passes/match.h"

enum { most_states = 1 << 12 };

/* What emits at the end of another graph. */
static rewriting at_end_of(const rewriting *r, nrw_graph *g) {
    rewriting at = *r;
    at.graph = g;
    at.node = NULL;
    return at;
}

/* v with the annotation of `like`, by a Requantize; without one for NULL. */
static nrw_value *requantize(rewriting *r, nrw_value *v, const nrw_value *like) {
    const nrw_quant *quant = like != NULL ? like->quant : NULL;
    if (r->failed || (v->quant == NULL && quant == NULL)) return v;
    r->domain = "ai.narrow";
    nrw_value *out = EMIT(r, "Requantize", v);
    r->domain = "";
    if (out == NULL) return NULL;
    out->type = nrw_type_make(NRW_F32, v->type.rank, v->type.dims);
    out->quant = quant;
    return out;
}

/* The outputs of a body: real numbers, made by the body itself and each of them once. */
static nrw_status add_outputs(rewriting *r, nrw_graph *body, int n, nrw_value *const *out) {
    rewriting at = at_end_of(r, body);
    for (int i = 0; i < n; i++) {
        nrw_value *v = requantize(&at, out[i], NULL);
        const bool own = v != NULL && v->graph == body && v->producer != NULL;
        if (!own || nrw_value_is_graph_output(v)) v = EMIT(&at, "Identity", v);
        if (at.failed) NRW_OOM(r->err);
        NRW_TRY(nrw_graph_add_output(body, v, r->err));
    }
    return NRW_OK;
}

static nrw_value *set_graph(rewriting *r, nrw_value *v, const char *name, nrw_graph *g) {
    const nrw_attr a = {.name = name, .type = NRW_ATTR_GRAPH, .n = 1, .graph = g};
    if (r->failed || nrw_node_set_attr(v->producer, &a, r->err) != NRW_OK) r->failed = true;
    return r->failed ? NULL : v;
}

/* Subgraphs are read at the end of a graph; what uses them comes behind. */
static void move_to_end(rewriting *r) {
    nrw_node_move(r->node, NULL);
}

/* Output i of the node is v, which others may know as well, now or later. */
static void pass_on(rewriting *r, int i, nrw_value *v) {
    rule_finish_output(r, i, rule_quant_as(r, EMIT(r, "Identity", v), v));
}

/* Branches. */

static nrw_status read_branch(rewriting *r, int64_t index, int skip, nrw_graph **out) {
    nrw_tflite_reader *reader = r->scope->reader;
    int n;
    nrw_value **made;
    nrw_graph *g = *out = nrw_graph_new(r->graph->model, r->graph, NULL);
    if (g == NULL) NRW_OOM(r->err);
    reader->branching++;
    nrw_status st = nrw_tflite_read_subgraph(reader, index, g, r->node->n_inputs - skip,
                                             r->node->inputs + skip, &n, &made);
    reader->branching--;
    NRW_TRY(st);
    if (n != r->node->n_outputs)
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "a branch gives %d values instead of %d", n,
                 r->node->n_outputs);
    return add_outputs(r, g, n, made);
}

/* *out: the first output of an If. */
static nrw_value *emit_if(rewriting *r, nrw_value *condition, nrw_graph *yes, nrw_graph *no) {
    nrw_value *v = EMIT(r, "If", condition);
    v = set_graph(r, v, "then_branch", yes);
    return set_graph(r, v, "else_branch", no);
}

static void finish_all(rewriting *r, nrw_value *v) {
    const int n = r->node->n_outputs;
    for (int i = n - 1; i >= 0 && !r->failed; i--) {
        nrw_value *o = i == 0 ? v : rule_second(r, v, i);
        if (r->node->outputs[i] == NULL) continue;
        rule_finish_output(r, i, requantize(r, o, r->node->outputs[i]));
    }
}

static bool has_all_inputs(const rewriting *r, int from) {
    for (int i = from; i < r->node->n_inputs; i++) {
        if (r->node->inputs[i] == NULL) return false;
    }
    return r->node->n_inputs >= from;
}

static nrw_status raise_if(rewriting *r, bool *done) {
    nrw_graph *yes, *no;
    if (!has_all_inputs(r, 1) || rule_in(r, 0) == NULL) return NRW_OK;
    NRW_TRY(read_branch(r, rule_int(r, "then_subgraph_index", 0), 1, &yes));
    NRW_TRY(read_branch(r, rule_int(r, "else_subgraph_index", 0), 1, &no));
    finish_all(r, emit_if(r, rule_in(r, 0), yes, no));
    *done = true;
    return NRW_OK;
}

/* The branch of the number that is given, or the last one: a chain of If. */
static nrw_status raise_case(rewriting *r, bool *done) {
    enum { most = 64 };
    int64_t n;
    const int64_t *indices = nrw_attr_ints(r->node, "branch_subgraph_indices", &n);
    if (n < 1 || n > most || !has_all_inputs(r, 1) || rule_in(r, 0) == NULL) return NRW_OK;
    nrw_graph *rest, *branch;
    NRW_TRY(read_branch(r, indices[n - 1], 1, &rest));
    for (int64_t k = n - 2; k >= 0; k--) {
        NRW_TRY(read_branch(r, indices[k], 1, &branch));
        nrw_graph *whole = k > 0 ? nrw_graph_new(r->graph->model, r->graph, NULL) : r->graph;
        if (whole == NULL) NRW_OOM(r->err);
        branch->parent = rest->parent = whole;
        rewriting at = k > 0 ? at_end_of(r, whole) : *r;
        nrw_value *number = rule_like(&at, rule_in(r, 0), (double)k);
        nrw_value *condition = EMIT(&at, "Equal", rule_in(r, 0), number);
        nrw_value *v = emit_if(&at, condition, branch, rest);
        if (k == 0) {
            *r = at;
            finish_all(r, v);
            break;
        }
        for (int i = 0; i < r->node->n_outputs && !at.failed; i++)
            NRW_TRY(nrw_graph_add_output(whole, i == 0 ? v : rule_second(&at, v, i), r->err));
        if (at.failed) NRW_OOM(r->err);
        rest = whole;
    }
    if (n == 1) {
        int n_out;
        nrw_value **out;
        NRW_TRY(nrw_tflite_read_subgraph(r->scope->reader, indices[0], r->graph,
                                         r->node->n_inputs - 1, r->node->inputs + 1, &n_out, &out));
        move_to_end(r);
        for (int i = 0; i < n_out && i < r->node->n_outputs; i++) pass_on(r, i, out[i]);
    }
    *done = true;
    return NRW_OK;
}

/* Loops. */

/* Lengths that a body changes are not known inside, nor is anything that the file says of them. */
static bool keeps_lengths(nrw_tflite_scope *s, int64_t index) {
    const nrw_tflite_reader *r = s->reader;
    if (index < 0 || (uint64_t)index >= r->subgraphs.n) return true; /* which is an error later */
    const nrw_fb_table g = nrw_fb_table_at(&r->subgraphs, (size_t)index);
    const nrw_fb_vector in = nrw_fb_vec(&g, GRAPH_INPUTS, 4),
                        out = nrw_fb_vec(&g, GRAPH_OUTPUTS, 4);
    const nrw_fb_vector tensors = nrw_fb_vec(&g, GRAPH_TENSORS, 4);
    for (size_t i = 0; i < in.n && i < out.n; i++) {
        const int64_t a = nrw_fb_int_at(&in, NRW_FB_I32, i), b = nrw_fb_int_at(&out, NRW_FB_I32, i);
        if (a < 0 || b < 0 || (uint64_t)a >= tensors.n || (uint64_t)b >= tensors.n) return true;
        const nrw_fb_table x = nrw_fb_table_at(&tensors, (size_t)a);
        const nrw_fb_table y = nrw_fb_table_at(&tensors, (size_t)b);
        const nrw_fb_vector dx = nrw_fb_vec(&x, TENSOR_SHAPE, 4);
        const nrw_fb_vector dy = nrw_fb_vec(&y, TENSOR_SHAPE, 4);
        if (dx.n != dy.n || (dx.n > 0 && memcmp(dx.data, dy.data, 4 * dx.n) != 0)) return false;
    }
    return true;
}

/* A state of the loop inside its body, as the real numbers that the body is given and as what the
 * file's operators take. */
static nrw_value *add_state(rewriting *at, nrw_value *outer, bool fixed) {
    nrw_type type = outer->type;
    for (int k = 0; k < type.rank && !fixed; k++) type.dims[k] = NRW_DIM_UNKNOWN;
    nrw_value *v = at->failed ? NULL : nrw_value_new(at->graph, NULL, &type);
    if (v == NULL || nrw_graph_add_input(at->graph, v, at->err) != NRW_OK) {
        at->failed = true;
        return NULL;
    }
    return requantize(at, v, outer);
}

static nrw_value *scalar(rewriting *r, nrw_value *v) {
    return v != NULL && v->type.rank == 0 ? v : rule_reshape(r, v, 0, (int64_t[]){0});
}

/* One value of the condition, which is computed in g of these states. */
static nrw_status read_condition(rewriting *r, nrw_graph *g, nrw_value *const *states,
                                 nrw_value **out) {
    int n;
    nrw_value **made;
    NRW_TRY(nrw_tflite_read_subgraph(r->scope->reader, rule_int(r, "cond_subgraph_index", 0), g,
                                     r->node->n_inputs, states, &n, &made));
    if (n != 1) NRW_FAIL(r->err, NRW_ERR_FORMAT, "a condition of %d values", n);
    *out = made[0];
    return NRW_OK;
}

static nrw_status read_body(rewriting *r, nrw_graph *body, bool fixed) {
    const int n = r->node->n_inputs;
    nrw_value **states = nrw_arena_calloc(r->scratch, (size_t)n + 1, sizeof *states);
    nrw_value **last = nrw_arena_calloc(r->scratch, (size_t)n + 1, sizeof *last), **made;
    if (states == NULL || last == NULL) NRW_OOM(r->err);
    rewriting at = at_end_of(r, body);
    for (int i = 0; i < 2; i++) {
        const nrw_type type = nrw_type_make(i == 0 ? NRW_I64 : NRW_BOOL, 0, NULL);
        nrw_value *v = nrw_value_new(body, NULL, &type);
        if (v == NULL) NRW_OOM(r->err);
        NRW_TRY(nrw_graph_add_input(body, v, r->err));
    }
    for (int i = 0; i < n; i++) states[i] = add_state(&at, r->node->inputs[i], fixed);
    if (at.failed) NRW_OOM(r->err);
    int n_made;
    NRW_TRY(nrw_tflite_read_subgraph(r->scope->reader, rule_int(r, "body_subgraph_index", 0), body,
                                     n, states, &n_made, &made));
    if (n_made != n) NRW_FAIL(r->err, NRW_ERR_FORMAT, "a loop of %d values gives %d", n, n_made);
    memcpy(last + 1, made, (size_t)n * sizeof *last);
    NRW_TRY(read_condition(r, body, made, &last[0]));
    last[0] = scalar(&at, last[0]);
    if (at.failed) NRW_OOM(r->err);
    return add_outputs(r, body, n + 1, last);
}

/* The condition is computed before the first turn and at the end of each. */
static nrw_status raise_while(rewriting *r, bool *done) {
    nrw_tflite_reader *reader = r->scope->reader;
    const int n = r->node->n_inputs;
    if (n < 1 || n > most_states || n != r->node->n_outputs || !has_all_inputs(r, 0)) return NRW_OK;
    for (int i = 0; i < n; i++) {
        if (r->node->inputs[i]->type.dtype == NRW_NONE) return NRW_OK; /* handles of resources */
    }
    const bool fixed = keeps_lengths(r->scope, rule_int(r, "body_subgraph_index", 0));
    nrw_value **in = nrw_arena_calloc(r->scratch, (size_t)n + 2, sizeof *in);
    nrw_graph *body = nrw_graph_new(r->graph->model, r->graph, NULL);
    if (in == NULL || body == NULL) NRW_OOM(r->err);
    reader->looping++;
    reader->varying += !fixed;
    nrw_status st = read_condition(r, r->graph, r->node->inputs, &in[1]);
    move_to_end(r);
    if (st == NRW_OK) st = read_body(r, body, fixed);
    reader->varying -= !fixed;
    reader->looping--;
    NRW_TRY(st);
    in[1] = scalar(r, in[1]);
    for (int i = 0; i < n; i++) in[i + 2] = requantize(r, r->node->inputs[i], NULL);
    finish_all(r, set_graph(r, rule_emit(r, "Loop", n + 2, in), "body", body));
    *done = true;
    return NRW_OK;
}

/* Calls. */

static nrw_status put_in_place(rewriting *r, int64_t index, bool *done) {
    int n;
    nrw_value **out;
    if (!has_all_inputs(r, 0)) return NRW_OK;
    nrw_tflite_reader *reader = r->scope->reader;
    reader->looping++; /* it may be called again: what it remembers would go on */
    nrw_status st = nrw_tflite_read_subgraph(reader, index, r->graph, r->node->n_inputs,
                                             r->node->inputs, &n, &out);
    reader->looping--;
    NRW_TRY(st);
    if (n != r->node->n_outputs)
        NRW_FAIL(r->err, NRW_ERR_FORMAT, "a call gives %d values instead of %d", n,
                 r->node->n_outputs);
    move_to_end(r);
    for (int i = 0; i < n; i++) pass_on(r, i, out[i]);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_call(rewriting *r, bool *done) {
    return put_in_place(r, rule_int(r, "subgraph", 0), done);
}

static nrw_status raise_composite(rewriting *r, bool *done) {
    return put_in_place(r, rule_int(r, "decomposition_subgraph_index", 0), done);
}

/* Variables. */

/* What a variable holds at this point of the file; known by its name, and by each of its handles.
 */
typedef struct variable {
    nrw_value *value; /* NULL: nothing yet, or nothing that can be told */
} variable;

static variable *find_handle(const rewriting *r, const nrw_value *handle) {
    return handle != NULL ? nrw_map_get(&r->scope->reader->handles, (const char *)&handle->id,
                                        sizeof handle->id)
                          : NULL;
}

static nrw_status raise_handle(rewriting *r, bool *done) {
    nrw_tflite_reader *reader = r->scope->reader;
    const char *container = nrw_attr_str(r->node, "container", "");
    const char *shared = nrw_attr_str(r->node, "shared_name", "");
    const char *name = nrw_arena_printf(&reader->scratch, "%s|%s", container, shared);
    nrw_value *y = rule_out(r);
    if (name == NULL) NRW_OOM(r->err);
    variable *v = nrw_map_get(&reader->variables, name, strlen(name));
    if (v == NULL) {
        v = nrw_arena_calloc(&reader->scratch, 1, sizeof *v);
        if (v == NULL || !nrw_map_put(&reader->variables, name, strlen(name), v)) NRW_OOM(r->err);
    }
    const int32_t *key = nrw_arena_dup(&reader->scratch, &y->id, sizeof y->id);
    if (key == NULL || !nrw_map_put(&reader->handles, (const char *)key, sizeof *key, v))
        NRW_OOM(r->err);
    *done = false; /* nobody uses the handle in the end, unless something was not understood */
    return NRW_OK;
}

static nrw_status raise_read(rewriting *r, bool *done) {
    const variable *v = find_handle(r, rule_in(r, 0));
    /* What the loop's body assigns further down is not known yet. */
    if (v == NULL || v->value == NULL || r->scope->reader->looping > 0) return NRW_OK;
    pass_on(r, 0, v->value);
    *done = true;
    return NRW_OK;
}

static nrw_status raise_assign(rewriting *r, bool *done) {
    const nrw_tflite_reader *reader = r->scope->reader;
    variable *v = find_handle(r, rule_in(r, 0));
    if (v == NULL) return NRW_OK;
    v->value = reader->looping == 0 && reader->branching == 0 ? rule_in(r, 1) : NULL;
    *done = v->value != NULL;
    return NRW_OK;
}

/* What a run does only once in a model's life is done when a run begins, for runs know nothing of
 * each other. */
static nrw_status raise_call_once(rewriting *r, bool *done) {
    int n;
    nrw_value **out, *nothing[1] = {NULL};
    nrw_tflite_reader *reader = r->scope->reader;
    if (reader->looping > 0 || reader->branching > 0 || r->node->n_outputs > 0) return NRW_OK;
    NRW_TRY(nrw_tflite_read_subgraph(reader, rule_int(r, "init_subgraph_index", 0), r->graph, 0,
                                     nothing, &n, &out));
    *done = true;
    return NRW_OK;
}

const nrw_tflite_rule nrw_tflite_control_rules[] = {
    {"IF", raise_if},
    {"STABLEHLO_CASE", raise_case},
    {"WHILE", raise_while},
    {"STABLEHLO_WHILE", raise_while},
    {"CALL", raise_call},
    {"STABLEHLO_COMPOSITE", raise_composite},
    {"VAR_HANDLE", raise_handle},
    {"READ_VARIABLE", raise_read},
    {NULL, NULL},
};

const nrw_tflite_rule nrw_tflite_effect_rules[] = {
    {"CALL_ONCE", raise_call_once},
    {"ASSIGN_VARIABLE", raise_assign},
    {NULL, NULL},
};
