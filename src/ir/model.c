/* Models: making, symbols, opsets, the files that constants point into. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"
#include "ir/shared.h"

/* What constants point into: mapped files, and the arenas of models that may be gone. A model holds
 * one of its own; a clone's holds its original's as `parent`, so that clones share the bytes of
 * constants, which nobody changes. */
struct nrw_shared {
    const nrw_allocator *allocator;
    struct nrw_shared *parent;
    atomic_int owners;
    nrw_mapping *mappings;
    size_t n, cap;
    nrw_arena arena; /* of the model that is gone; empty before */
};

static struct nrw_shared *shared_new(const nrw_allocator *a, struct nrw_shared *parent) {
    struct nrw_shared *s = nrw_mem_alloc(a, sizeof *s);
    if (s == NULL) return NULL;
    *s = (struct nrw_shared){.allocator = a, .parent = parent};
    if (parent != NULL) atomic_fetch_add(&parent->owners, 1);
    atomic_init(&s->owners, 1);
    nrw_arena_init(&s->arena, a);
    return s;
}

static void shared_release(struct nrw_shared *s) {
    while (s != NULL && atomic_fetch_sub(&s->owners, 1) == 1) {
        struct nrw_shared *parent = s->parent;
        for (size_t i = 0; i < s->n; i++) nrw_unmap_file(&s->mappings[i]);
        nrw_mem_free(s->allocator, s->mappings, s->cap * sizeof *s->mappings);
        nrw_arena_free(&s->arena);
        nrw_mem_free(s->allocator, s, sizeof *s);
        s = parent;
    }
}

nrw_model *nrw_model_create(const nrw_context *c) {
    return nrw_model_create_beside(c, NULL);
}

nrw_model *nrw_model_create_beside(const nrw_context *c, const nrw_model *original) {
    const nrw_allocator *a = &c->memory.allocator;
    nrw_model *m = nrw_mem_alloc(a, sizeof *m);
    if (m == NULL) return NULL;
    memset(m, 0, sizeof *m);
    m->context = c;
    m->source = "<memory>";
    m->format = "";
    m->n_given_names = INT32_MAX;
    m->producer_name = m->producer_version = m->doc = m->domain = "";
    nrw_arena_init(&m->arena, a);
    m->files = shared_new(a, original != NULL ? original->files : NULL);
    m->graph = m->files != NULL ? nrw_graph_new(m, NULL, "main") : NULL;
    if (m->graph == NULL) {
        nrw_model_destroy(m);
        return NULL;
    }
    return m;
}

void nrw_model_destroy(nrw_model *m) {
    if (m == NULL) return;
    if (m->files != NULL) {
        m->files->arena = m->arena; /* clones may still point into it */
        shared_release(m->files);
    } else {
        nrw_arena_free(&m->arena);
    }
    nrw_mem_free(&m->context->memory.allocator, m, sizeof *m);
}

nrw_status nrw_model_keep_file(nrw_model *m, nrw_mapping mapping, nrw_error *err) {
    struct nrw_shared *s = m->files;
    if (s->n == s->cap) {
        size_t cap = s->cap > 0 ? 2 * s->cap : 4;
        nrw_mapping *grown = nrw_mem_alloc(s->allocator, cap * sizeof *grown);
        if (grown == NULL) {
            nrw_unmap_file(&mapping);
            NRW_OOM(err);
        }
        if (s->n > 0) memcpy(grown, s->mappings, s->n * sizeof *grown);
        nrw_mem_free(s->allocator, s->mappings, s->cap * sizeof *grown);
        s->mappings = grown;
        s->cap = cap;
    }
    s->mappings[s->n++] = mapping;
    return NRW_OK;
}

void nrw_model_forget_pages(const nrw_model *m) {
    for (const struct nrw_shared *s = m->files; s != NULL; s = s->parent) {
        for (size_t i = 0; i < s->n; i++) nrw_mapping_forget(&s->mappings[i]);
    }
}

int64_t nrw_model_symbol(nrw_model *m, const char *name, size_t n) {
    for (size_t i = 0; i < m->n_symbols; i++) {
        if (strlen(m->symbols[i]) == n && memcmp(m->symbols[i], name, n) == 0)
            return -(int64_t)i - 2;
    }
    if (!nrw_arena_grow(&m->arena, (void **)&m->symbols, &m->cap_symbols, m->n_symbols + 1,
                        sizeof *m->symbols))
        return NRW_DIM_UNKNOWN;
    const char *copy = nrw_arena_strndup(&m->arena, name, n);
    if (copy == NULL) return NRW_DIM_UNKNOWN;
    m->symbols[m->n_symbols++] = copy;
    return -(int64_t)(m->n_symbols - 1) - 2;
}

const char *nrw_model_symbol_name(const nrw_model *m, int64_t dim) {
    if (dim > -2) return NULL;
    uint64_t k = (uint64_t)(-(dim + 2));
    return k < m->n_symbols ? m->symbols[k] : NULL;
}

static nrw_opset *find_opset(const nrw_model *m, const char *domain) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (int i = 0; i < m->n_opsets; i++) {
        if (strcmp(m->opsets[i].domain, domain) == 0) return &m->opsets[i];
    }
    return NULL;
}

int64_t nrw_model_opset(const nrw_model *m, const char *domain) {
    const nrw_opset *o = find_opset(m, domain);
    return o != NULL ? o->version : 0;
}

nrw_status nrw_model_set_opset(nrw_model *m, const char *domain, int64_t version, nrw_error *err) {
    nrw_opset *o = find_opset(m, domain);
    if (o == NULL) {
        nrw_opset *grown = nrw_arena_calloc(&m->arena, (size_t)m->n_opsets + 1, sizeof *grown);
        if (grown == NULL) NRW_OOM(err);
        if (m->n_opsets > 0) memcpy(grown, m->opsets, (size_t)m->n_opsets * sizeof *grown);
        m->opsets = grown;
        o = &m->opsets[m->n_opsets];
        o->domain = strcmp(domain, "ai.onnx") == 0 ? "" : nrw_arena_strdup(&m->arena, domain);
        if (o->domain == NULL) NRW_OOM(err);
        m->n_opsets++;
    }
    o->version = version;
    return NRW_OK;
}
