/* Made-up names become as short as they can be: "conv.weight.71" is "conv.weight" again when what
 * had that name is gone, else "conv.weight.1". What the file named, and inputs and outputs, keep
 * their names. */
#include <string.h>

#include "passes/match.h"
#include "passes/pass.h"

typedef struct naming {
    nrw_model *model;
    nrw_map taken; /* name -> naming.model, of everything that keeps its name */
    nrw_map next;  /* base -> int64_t *, the number to try next */
    nrw_arena *scratch;
    nrw_value **renamed; /* the values that get new names, each once */
    size_t n_renamed, cap_renamed;
    bool *seen; /* by value id */
} naming;

static bool renames(const naming *s, const nrw_value *v) {
    return !v->is_input && !nrw_value_is_graph_output(v) &&
           nrw_name_given(s->model, v->name) < strlen(v->name);
}

static nrw_status note(naming *s, nrw_value *v, nrw_error *err) {
    if (v == NULL || s->seen[v->id]) return NRW_OK;
    s->seen[v->id] = true;
    if (!renames(s, v)) {
        if (!nrw_map_put(&s->taken, v->name, strlen(v->name), s->model)) NRW_OOM(err);
        return NRW_OK;
    }
    if (!nrw_arena_grow(s->scratch, (void **)&s->renamed, &s->cap_renamed, s->n_renamed + 1,
                        sizeof *s->renamed))
        NRW_OOM(err);
    s->renamed[s->n_renamed++] = v;
    return NRW_OK;
}

static nrw_status sweep(nrw_graph *g, void *user, nrw_error *err) {
    for (int i = 0; i < g->n_inputs; i++) NRW_TRY(note(user, g->inputs[i], err));
    for (nrw_node *n = g->first; n != NULL; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++) NRW_TRY(note(user, n->inputs[i], err));
        for (int i = 0; i < n->n_outputs; i++) NRW_TRY(note(user, n->outputs[i], err));
    }
    for (int i = 0; i < g->n_outputs; i++) NRW_TRY(note(user, g->outputs[i], err));
    return NRW_OK;
}

/* The base itself, base.1, base.2, …: the first that is free. NULL: out of memory. */
static const char *free_name(naming *s, const char *base, size_t n) {
    int64_t *next = nrw_map_get(&s->next, base, n);
    if (next == NULL) {
        next = nrw_arena_calloc(s->scratch, 1, sizeof *next);
        if (next == NULL || !nrw_map_put(&s->next, base, n, next)) return NULL;
    }
    for (;;) {
        const char *name = *next == 0 ? nrw_arena_strndup(&s->model->arena, base, n)
                                      : nrw_arena_printf(&s->model->arena, "%.*s.%lld", (int)n,
                                                         base, (long long)*next);
        ++*next;
        if (name == NULL) return NULL;
        if (nrw_map_get(&s->taken, name, strlen(name)) == NULL) return name;
    }
}

static nrw_status run(nrw_model *m, nrw_arena *scratch, bool *changed, nrw_error *err) {
    naming s = {.model = m,
                .scratch = scratch,
                .seen = nrw_arena_calloc(scratch, (size_t)m->n_values + 1, sizeof *s.seen)};
    if (s.seen == NULL) NRW_OOM(err);
    nrw_map_init(&s.taken, scratch);
    nrw_map_init(&s.next, scratch);
    NRW_TRY(nrw_each_graph(m->graph, sweep, &s, err));
    for (size_t i = 0; i < s.n_renamed; i++) {
        nrw_value *v = s.renamed[i];
        const char *name = free_name(&s, v->name, nrw_name_given(m, v->name));
        if (name == NULL || !nrw_map_put(&s.taken, name, strlen(name), m)) NRW_OOM(err);
        *changed = *changed || strcmp(name, v->name) != 0;
        v->name = name;
    }
    return NRW_OK;
}

const nrw_pass nrw_pass_short_names = {"short_names", run};
