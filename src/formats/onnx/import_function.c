/* Calls of model-local functions, put in place of the call: FunctionProto in onnx.proto3. Values
 * and nodes of the body get the call's name before theirs. */
#include <string.h>

#include "formats/onnx/import.h"

enum { max_depth = 64, longest_prefix = 128 };

#define SHOWN(s) (int)((s).size < 200 ? (s).size : 200), (s).data

static char *make_key(nrw_arena *a, nrw_string domain, nrw_string name, nrw_string overload,
                      size_t *size) {
    if (nrw_onnx_is(domain, "ai.onnx")) domain.size = 0;
    *size = domain.size + name.size + overload.size + 2;
    char *key = nrw_arena_calloc(a, *size, 1);
    if (key == NULL) return NULL;
    if (domain.size > 0) memcpy(key, domain.data, domain.size);
    if (name.size > 0) memcpy(key + domain.size + 1, name.data, name.size);
    char *rest = key + domain.size + name.size + 2;
    if (overload.size > 0) memcpy(rest, overload.data, overload.size);
    return key;
}

nrw_status nrw_onnx_note_function(nrw_onnx_importer *im, const nrw_pb *r, const nrw_pb_field *f) {
    nrw_string name = {"", 0}, domain = name, overload = name;
    nrw_pb_field e;
    nrw_pb at;
    size_t size;
    nrw_onnx_function *function = nrw_arena_calloc(&im->scratch, 1, sizeof *function);
    if (function == NULL) NRW_OOM(im->err);
    NRW_TRY(nrw_pb_enter(r, f, "function", &function->message, im->err));
    at = function->message;
    for (;;) {
        NRW_TRY(nrw_pb_next(&at, &e, im->err));
        if (e.number == 0) break;
        if (e.number == FUNCTION_NAME) NRW_TRY(nrw_pb_string(&e, "name", &name, im->err));
        if (e.number == FUNCTION_DOMAIN) NRW_TRY(nrw_pb_string(&e, "domain", &domain, im->err));
        if (e.number == FUNCTION_OVERLOAD) {
            NRW_TRY(nrw_pb_string(&e, "overload", &overload, im->err));
        }
    }
    const char *key = make_key(&im->scratch, domain, name, overload, &size);
    if (key == NULL) NRW_OOM(im->err);
    if (nrw_map_get(&im->functions, key, size) != NULL) {
        NRW_FAIL(im->err, NRW_ERR_FORMAT, "function '%.*s' is defined twice", SHOWN(name));
    }
    if (!nrw_map_put(&im->functions, key, size, function)) NRW_OOM(im->err);
    return NRW_OK;
}

nrw_status nrw_onnx_find_function(nrw_onnx_importer *im, const nrw_onnx_raw_node *node,
                                  nrw_onnx_function **out) {
    size_t size;
    *out = NULL;
    if (im->functions.used == 0) return NRW_OK;
    const char *key = make_key(&im->scratch, node->domain, node->type, node->overload, &size);
    if (key == NULL) NRW_OOM(im->err);
    *out = nrw_map_get(&im->functions, key, size);
    return NRW_OK;
}

static nrw_status add_string(nrw_onnx_importer *im, const nrw_pb_field *f, nrw_string **list,
                             size_t *n, size_t *cap) {
    if (!nrw_arena_grow(&im->scratch, (void **)list, cap, *n + 1, sizeof **list)) NRW_OOM(im->err);
    return nrw_pb_string(f, "name", &(*list)[(*n)++], im->err);
}

/* Takes the function's text apart, once. */
static nrw_status parse(nrw_onnx_importer *im, nrw_onnx_function *fn) {
    nrw_pb_field f;
    nrw_pb r = fn->message;
    size_t cap_in = 0, cap_out = 0, cap_nodes = 0, cap_defaults = 0;
    nrw_onnx_opsets *opsets = nrw_arena_calloc(&im->scratch, 1, sizeof *opsets);
    if (opsets == NULL) NRW_OOM(im->err);
    fn->opsets = opsets;
    for (;;) {
        NRW_TRY(nrw_pb_next(&r, &f, im->err));
        switch (f.number) {
        case 0:
            fn->parsed = true;
            return NRW_OK;
        case FUNCTION_INPUT:
            NRW_TRY(add_string(im, &f, &fn->inputs, &fn->n_inputs, &cap_in));
            break;
        case FUNCTION_OUTPUT:
            NRW_TRY(add_string(im, &f, &fn->outputs, &fn->n_outputs, &cap_out));
            break;
        case FUNCTION_NODE:
            NRW_TRY(nrw_onnx_take_apart(im, &r, &f, &fn->nodes, &fn->n_nodes, &cap_nodes));
            break;
        case FUNCTION_OPSET_IMPORT:
            NRW_TRY(nrw_onnx_read_opset(&r, &f, &im->scratch, opsets, im->err));
            break;
        case FUNCTION_ATTRIBUTE_PROTO:
            if (!nrw_arena_grow(&im->scratch, (void **)&fn->defaults, &cap_defaults,
                                fn->n_defaults + 1, sizeof *fn->defaults)) {
                NRW_OOM(im->err);
            }
            NRW_TRY(
                nrw_pb_enter(&r, &f, "attribute_proto", &fn->defaults[fn->n_defaults++], im->err));
            break;
        default:
            break;
        }
    }
}

/* What the call gives, then the defaults for what it does not. */
static nrw_status give(nrw_onnx_importer *im, nrw_onnx_scope *where, nrw_pb message,
                       nrw_map *given) {
    nrw_string name;
    bool found;
    nrw_onnx_given *g = nrw_arena_alloc(&im->scratch, sizeof *g);
    if (g == NULL) NRW_OOM(im->err);
    NRW_TRY(nrw_onnx_resolve(im, where, message, &name, g, &found));
    if (!found || nrw_map_get(given, name.data, name.size) != NULL) return NRW_OK;
    if (!nrw_map_put(given, name.data, name.size, g)) NRW_OOM(im->err);
    return NRW_OK;
}

static nrw_status give_attributes(nrw_onnx_importer *im, nrw_onnx_scope *caller,
                                  nrw_onnx_scope *body, const nrw_onnx_raw_node *call,
                                  const nrw_onnx_function *fn) {
    nrw_pb r = call->message;
    nrw_pb_field f;
    nrw_map *given = nrw_arena_alloc(&im->scratch, sizeof *given);
    if (given == NULL) NRW_OOM(im->err);
    nrw_map_init(given, &im->scratch);
    for (;;) {
        nrw_pb message;
        NRW_TRY(nrw_pb_next(&r, &f, im->err));
        if (f.number == 0) break;
        if (f.number != NODE_ATTRIBUTE) continue;
        NRW_TRY(nrw_pb_enter(&r, &f, "attribute", &message, im->err));
        NRW_TRY(give(im, caller, message, given));
    }
    for (size_t i = 0; i < fn->n_defaults; i++) NRW_TRY(give(im, body, fn->defaults[i], given));
    body->given = given;
    return NRW_OK;
}

static nrw_status bind_inputs(nrw_onnx_importer *im, nrw_onnx_scope *caller, nrw_onnx_scope *body,
                              const nrw_onnx_raw_node *call, const nrw_onnx_function *fn) {
    if (call->n_inputs > fn->n_inputs || call->n_outputs > fn->n_outputs) {
        NRW_FAIL(im->err, NRW_ERR_FORMAT, "its function has %zu inputs and %zu outputs",
                 fn->n_inputs, fn->n_outputs);
    }
    for (size_t i = 0; i < fn->n_inputs; i++) {
        nrw_string formal = fn->inputs[i];
        const void *v = nrw_onnx_omitted;
        if (i < call->n_inputs && call->inputs[i].size > 0) {
            v = nrw_onnx_lookup(caller, call->inputs[i]);
            if (v == NULL) {
                NRW_FAIL(im->err, NRW_ERR_FORMAT,
                         "input '%.*s' is made by no node, input or initializer",
                         SHOWN(call->inputs[i]));
            }
        }
        if (nrw_map_get(&body->values, formal.data, formal.size) != NULL) {
            NRW_FAIL(im->err, NRW_ERR_FORMAT, "its function has two inputs '%.*s'", SHOWN(formal));
        }
        if (!nrw_map_put(&body->values, formal.data, formal.size, (void *)(uintptr_t)v)) {
            NRW_OOM(im->err);
        }
    }
    return NRW_OK;
}

/* The caller's value for output i; NULL when the call does not want it. */
static nrw_value *wanted(const nrw_onnx_scope *caller, const nrw_onnx_raw_node *call, size_t i) {
    if (i >= call->n_outputs || call->outputs[i].size == 0) return NULL;
    return nrw_map_get(&caller->values, call->outputs[i].data, call->outputs[i].size);
}

static nrw_status bind_outputs(nrw_onnx_importer *im, nrw_onnx_scope *caller, nrw_onnx_scope *body,
                               const nrw_onnx_raw_node *call, const nrw_onnx_function *fn) {
    for (size_t i = 0; i < fn->n_outputs; i++) {
        nrw_value *v = wanted(caller, call, i);
        nrw_string formal = fn->outputs[i];
        if (v == NULL || nrw_map_get(&body->values, formal.data, formal.size) != NULL) continue;
        if (!nrw_map_put(&body->outputs, formal.data, formal.size, v)) NRW_OOM(im->err);
    }
    return NRW_OK;
}

/* An output that is an input passed through, or that is listed twice, has had no node yet. */
static nrw_status pass_through(nrw_onnx_importer *im, nrw_onnx_scope *caller,
                               const nrw_onnx_scope *body, const nrw_onnx_raw_node *call,
                               const nrw_onnx_function *fn) {
    for (size_t i = 0; i < fn->n_outputs; i++) {
        nrw_value *v = wanted(caller, call, i);
        if (v == NULL || v->producer != NULL || v->data != NULL) continue;
        nrw_value *from = nrw_map_get(&body->values, fn->outputs[i].data, fn->outputs[i].size);
        if (from == NULL || (const char *)from == nrw_onnx_omitted || from == v) {
            NRW_FAIL(im->err, NRW_ERR_FORMAT, "its function does not make output '%.*s'",
                     SHOWN(fn->outputs[i]));
        }
        const char *name = nrw_arena_printf(&im->scratch, "%s/%s", body->prefix, "Identity");
        name = name != NULL ? nrw_onnx_fresh(im, &im->node_names, name) : NULL;
        if (name == NULL) NRW_OOM(im->err);
        nrw_node *n = nrw_node_new(caller->names->graph, nrw_op_find("Identity", ""), "Identity",
                                   "", name, 1, 1, NULL);
        if (n == NULL) NRW_OOM(im->err);
        NRW_TRY(nrw_node_set_input(n, 0, from, im->err));
        nrw_node_set_output(n, 0, v);
    }
    return NRW_OK;
}

/* The scope of the function's text for this call. */
static nrw_status open_call(nrw_onnx_importer *im, nrw_onnx_scope *caller,
                            const nrw_onnx_raw_node *call, nrw_onnx_function *fn,
                            nrw_onnx_scope **out) {
    uint64_t cost = (uint64_t)(fn->message.end - fn->message.at) + 1;
    nrw_onnx_scope *body = nrw_arena_alloc(&im->scratch, sizeof *body);
    if (body == NULL) NRW_OOM(im->err);
    if (fn->open) NRW_FAIL(im->err, NRW_ERR_FORMAT, "its function calls itself");
    if (im->depth == max_depth) {
        NRW_FAIL(im->err, NRW_ERR_UNSUPPORTED, "graphs and functions nest deeper than %d",
                 max_depth);
    }
    if (cost > im->budget) {
        NRW_FAIL(im->err, NRW_ERR_UNSUPPORTED,
                 "inlining its functions would make a graph far larger than the file");
    }
    im->budget -= cost;
    if (!fn->parsed) NRW_TRY(parse(im, fn));
    nrw_onnx_scope_init(im, body, NULL, caller->names);
    body->opsets = fn->opsets;
    /* Prefixes of calls within calls add up: long ones are replaced. */
    body->prefix = call->name.size <= longest_prefix
                       ? nrw_arena_strndup(&im->scratch, call->name.data, call->name.size)
                       : nrw_arena_printf(&im->scratch, "call.%d", im->made_up++);
    if (body->prefix == NULL) NRW_OOM(im->err);
    NRW_TRY(give_attributes(im, caller, body, call, fn));
    NRW_TRY(bind_inputs(im, caller, body, call, fn));
    *out = body;
    return bind_outputs(im, caller, body, call, fn);
}

nrw_status nrw_onnx_inline(nrw_onnx_importer *im, nrw_onnx_scope *s, const nrw_onnx_raw_node *node,
                           nrw_onnx_function *function) {
    nrw_onnx_scope *body = NULL;
    NRW_TRY_CTX(im->err, open_call(im, s, node, function, &body), "node '%.*s' (%.*s)",
                SHOWN(node->name), SHOWN(node->type));
    function->open = true;
    im->depth++;
    /* Names of inner nodes begin with the call's: they tell the way on their own. */
    nrw_status st = nrw_onnx_make_nodes(im, body, function->nodes, function->n_nodes);
    im->depth--;
    function->open = false;
    NRW_TRY(st);
    NRW_TRY_CTX(im->err, pass_through(im, s, body, node, function), "node '%.*s' (%.*s)",
                SHOWN(node->name), SHOWN(node->type));
    return NRW_OK;
}
