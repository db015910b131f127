#include "testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void testing_context(nrw_context *c, const char *cap, int threads) {
    nrw_error err = {0};
    if (nrw_context_init(c, &(nrw_context_options){.threads = threads, .cpu = cap}, &err) !=
        NRW_OK) {
        fprintf(stderr, "no context: %s\n", err.message);
        exit(1);
    }
}

static bool strings_equal(nrw_string a, nrw_string b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool close_to(double got, double want, double rtol, double atol) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want)) return got == want;
    return fabs(got - want) <= atol + rtol * fabs(want);
}

/* Numbers, seen as doubles; complex ones as pairs. */
static const char *differ_numbers(const nrw_tensor *got, const nrw_tensor *want, double rtol,
                                  double atol, char *why, size_t n) {
    nrw_dtype part = want->dtype;
    int64_t count = nrw_tensor_count(want);
    if (part == NRW_C64 || part == NRW_C128) {
        part = part == NRW_C64 ? NRW_F32 : NRW_F64;
        count *= 2;
    }
    if (want->dtype == NRW_BF16) rtol = fmax(rtol, 0x1p-6);
    double *values = malloc((size_t)(2 * count + 1) * sizeof *values);
    const char *result = NULL;
    nrw_error err = {0};
    if (values == NULL) return "out of memory";
    double *a = values, *b = values + count;
    if (nrw_to_f64(part, got->data, a, count, &err) != NRW_OK ||
        nrw_to_f64(part, want->data, b, count, &err) != NRW_OK) {
        snprintf(why, n, "%s", err.message);
        free(values);
        return why;
    }
    int64_t wrong = 0, first = -1;
    for (int64_t i = 0; i < count; i++) {
        if (!close_to(a[i], b[i], rtol, atol)) {
            if (wrong++ == 0) first = i;
        }
    }
    if (wrong > 0) {
        snprintf(why, n, "%lld of %lld elements differ, first at %lld: %.9g, not %.9g",
                 (long long)wrong, (long long)count, (long long)first, a[first], b[first]);
        result = why;
    }
    free(values);
    return result;
}

static bool is_sequence(nrw_kind k) {
    return k == NRW_SEQUENCE || k == NRW_OPTIONAL_SEQUENCE;
}

const char *testing_differ(const nrw_tensor *got, const nrw_tensor *want, double rtol, double atol,
                           char *why, size_t n) {
    bool empty_got = got->data == NULL && got->elements == NULL && got->dtype == NRW_NONE;
    bool empty_want = want->data == NULL && want->elements == NULL && want->dtype == NRW_NONE;
    if (empty_want || empty_got) {
        if (empty_got == empty_want) return NULL;
        snprintf(why, n, "%s",
                 empty_got ? "empty, should hold a value" : "holds a value, should be empty");
        return why;
    }
    if (is_sequence(want->kind) != is_sequence(got->kind)) {
        snprintf(why, n, "kind %d, not %d", (int)got->kind, (int)want->kind);
        return why;
    }
    if (is_sequence(want->kind)) {
        if (got->n_elements != want->n_elements) {
            snprintf(why, n, "%lld elements, not %lld", (long long)got->n_elements,
                     (long long)want->n_elements);
            return why;
        }
        for (int64_t i = 0; i < want->n_elements; i++) {
            const char *d =
                testing_differ(&got->elements[i], &want->elements[i], rtol, atol, why, n);
            if (d != NULL) return d;
        }
        return NULL;
    }
    if (got->dtype != want->dtype ||
        !nrw_dims_equal(got->rank, got->dims, want->rank, want->dims)) {
        char a[160], b[160];
        nrw_type ta = nrw_type_of(got), tb = nrw_type_of(want);
        snprintf(why, n, "%s, not %s", nrw_type_str(&ta, a, sizeof a),
                 nrw_type_str(&tb, b, sizeof b));
        return why;
    }
    if (want->dtype == NRW_STRING) {
        const nrw_string *a = got->data, *b = want->data;
        for (int64_t i = 0; i < nrw_tensor_count(want); i++) {
            if (strings_equal(a[i], b[i])) continue;
            snprintf(why, n, "string %lld: '%.*s', not '%.*s'", (long long)i, (int)a[i].size,
                     a[i].data, (int)b[i].size, b[i].data);
            return why;
        }
        return NULL;
    }
    return differ_numbers(got, want, rtol, atol, why, n);
}

bool testing_identical(const nrw_tensor *a, const nrw_tensor *b) {
    if (a->kind != b->kind || a->n_elements != b->n_elements) return false;
    for (int64_t i = 0; i < a->n_elements; i++) {
        if (!testing_identical(&a->elements[i], &b->elements[i])) return false;
    }
    if (is_sequence(a->kind)) return true;
    if (a->dtype != b->dtype || !nrw_dims_equal(a->rank, a->dims, b->rank, b->dims)) return false;
    if (a->dtype == NRW_STRING) {
        for (int64_t i = 0; i < nrw_tensor_count(a); i++) {
            if (!strings_equal(((nrw_string *)a->data)[i], ((nrw_string *)b->data)[i]))
                return false;
        }
        return true;
    }
    size_t bytes = nrw_tensor_bytes(a);
    return bytes == 0 ||
           (a->data != NULL && b->data != NULL && memcmp(a->data, b->data, bytes) == 0);
}
