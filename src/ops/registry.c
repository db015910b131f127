/* All operators that Narrow knows, gathered from the families. */
#include <stdlib.h>
#include <string.h>

#include "ops/families.h"
#include "ops/op.h"

#define X(family) extern const nrw_op *const nrw_ops_##family[];
NRW_FAMILIES(X)
#undef X

#define X(family) nrw_ops_##family,
static const nrw_op *const *const families[] = {NRW_FAMILIES(X) NULL};
#undef X

const nrw_op *nrw_op_find(const char *type, const char *domain) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (size_t f = 0; families[f] != NULL; f++) {
        for (const nrw_op *const *row = families[f]; *row != NULL; row++) {
            if (strcmp((*row)->name, type) == 0 && strcmp((*row)->domain, domain) == 0) return *row;
        }
    }
    return NULL;
}

const nrw_op *nrw_op_find_tflite(int code) {
    for (size_t f = 0; families[f] != NULL; f++) {
        for (const nrw_op *const *row = families[f]; *row != NULL; row++) {
            if ((*row)->tflite.name != NULL && (*row)->tflite.code == code) return *row;
        }
    }
    return NULL;
}

static int by_name(const void *a, const void *b) {
    const nrw_op *x = *(const nrw_op *const *)a, *y = *(const nrw_op *const *)b;
    int domain = strcmp(x->domain, y->domain);
    return domain != 0 ? domain : strcmp(x->name, y->name);
}

const nrw_op **nrw_op_list(nrw_arena *arena, size_t *n) {
    size_t count = 0;
    for (size_t f = 0; families[f] != NULL; f++) {
        for (const nrw_op *const *row = families[f]; *row != NULL; row++) count++;
    }
    const nrw_op **list = nrw_arena_calloc(arena, count + 1, sizeof *list);
    if (list == NULL) return NULL;
    *n = 0;
    for (size_t f = 0; families[f] != NULL; f++) {
        for (const nrw_op *const *row = families[f]; *row != NULL; row++) list[(*n)++] = *row;
    }
    qsort(list, count, sizeof *list, by_name);
    return list;
}
