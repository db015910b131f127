#include "data/preprocess.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 65535 };

/* A number, or a fraction a/b. */
static bool read_fraction(const char **at, double *value, double *divisor) {
    char *end;
    *value = strtod(*at, &end);
    *divisor = 1;
    if (end == *at || !isfinite(*value)) return false;
    *at = end;
    if (*end != '/') return true;
    *divisor = strtod(end + 1, &end);
    if (end == *at + 1 || !isfinite(*divisor) || *divisor == 0) return false;
    *at = end;
    return true;
}

static bool read_list(const char *at, double *values, int *n) {
    for (*n = 0; *n < NRW_PREPROCESS_CHANNELS; at++) {
        double value, divisor;
        if (!read_fraction(&at, &value, &divisor)) return false;
        values[(*n)++] = value / divisor;
        if (!*at) return true;
        if (*at != ',') return false;
    }
    return false;
}

static bool read_side(const char **at, int *out) {
    char *end;
    if (**at < '0' || **at > '9') return false;
    long v = strtol(*at, &end, 10);
    *at = end;
    *out = (int)v;
    return v >= 1 && v <= MAX_SIDE;
}

/* N or WxH; *height is 0 for N. */
static bool read_sides(const char *at, int *width, int *height) {
    *height = 0;
    if (!read_side(&at, width)) return false;
    if (*at == 'x') {
        at++;
        if (!read_side(&at, height)) return false;
    }
    return !*at;
}

static bool read_std(const char *at, nrw_preprocess *p) {
    if (!read_list(at, p->std, &p->n_std)) return false;
    for (int i = 0; i < p->n_std; i++) {
        if (p->std[i] == 0) return false;
    }
    return true;
}

static bool read_word(const char *key, const char *value, nrw_preprocess *p) {
    if (strcmp(key, "scale") == 0) {
        return read_fraction(&value, &p->scale, &p->divisor) && !*value && p->scale != 0;
    }
    if (strcmp(key, "mean") == 0) return read_list(value, p->mean, &p->n_mean);
    if (strcmp(key, "std") == 0) return read_std(value, p);
    if (strcmp(key, "layout") == 0) {
        if (strcmp(value, "nchw") == 0) p->layout = NRW_LAYOUT_NCHW;
        if (strcmp(value, "nhwc") == 0) p->layout = NRW_LAYOUT_NHWC;
        return p->layout != NRW_LAYOUT_NONE;
    }
    if (strcmp(key, "resize") == 0) return read_sides(value, &p->resize_width, &p->resize_height);
    if (strcmp(key, "crop") == 0) {
        if (!read_sides(value, &p->crop_width, &p->crop_height)) return false;
        if (!p->crop_height) p->crop_height = p->crop_width;
        return true;
    }
    return false;
}

nrw_status nrw_preprocess_parse(const char *text, nrw_preprocess *out, nrw_error *err) {
    static const char *const keys[] = {"scale", "mean", "std", "layout", "resize", "crop"};
    bool seen[sizeof keys / sizeof *keys] = {false};
    *out = (nrw_preprocess){.scale = 1, .divisor = 1};
    for (const char *at = text ? text : ""; *(at += strspn(at, " \t\n"));) {
        char word[2048];
        size_t n = strcspn(at, " \t\n");
        char *equals = NULL;
        if (n < sizeof word) {
            memcpy(word, at, n);
            word[n] = 0;
            equals = strchr(word, '=');
        }
        at += n;
        int which = -1;
        if (equals) *equals = 0;
        for (size_t k = 0; equals && k < sizeof keys / sizeof *keys; k++) {
            if (strcmp(word, keys[k]) == 0) which = (int)k;
        }
        if (which < 0) {
            NRW_FAIL(err, NRW_ERR_ARGUMENT,
                     "preprocess: unknown word '%.*s'; expected scale=, mean=, std=, layout=, "
                     "resize=, crop=",
                     n < 60 ? (int)n : 60, at - n);
        }
        if (seen[which]) NRW_FAIL(err, NRW_ERR_ARGUMENT, "preprocess: %s= stands twice", word);
        seen[which] = true;
        if (!read_word(word, equals + 1, out)) {
            NRW_FAIL(err, NRW_ERR_ARGUMENT, "preprocess: %s=: cannot make sense of '%.60s'", word,
                     equals + 1);
        }
    }
    return NRW_OK;
}

/* The shortest of three spellings that reads back as the same number. */
static void print_number(nrw_strbuf *out, double v) {
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    nrw_strbuf_puts(out, text);
}

static void print_list(nrw_strbuf *out, const char *key, int n, const double *values) {
    if (!n) return;
    nrw_strbuf_printf(out, " %s=", key);
    for (int i = 0; i < n; i++) {
        if (i) nrw_strbuf_puts(out, ",");
        print_number(out, values[i]);
    }
}

static void print_sides(nrw_strbuf *out, const char *key, int width, int height) {
    if (!width) return;
    nrw_strbuf_printf(out, " %s=%d", key, width);
    if (height) nrw_strbuf_printf(out, "x%d", height);
}

void nrw_preprocess_print(const nrw_preprocess *p, nrw_strbuf *out) {
    nrw_strbuf b;
    nrw_strbuf_init(&b, out->allocator);
    if (p->scale != p->divisor) {
        nrw_strbuf_puts(&b, " scale=");
        print_number(&b, p->scale);
        if (p->divisor != 1) {
            nrw_strbuf_puts(&b, "/");
            print_number(&b, p->divisor);
        }
    }
    print_list(&b, "mean", p->n_mean, p->mean);
    print_list(&b, "std", p->n_std, p->std);
    if (p->layout)
        nrw_strbuf_printf(&b, " layout=%s", p->layout == NRW_LAYOUT_NCHW ? "nchw" : "nhwc");
    print_sides(&b, "resize", p->resize_width, p->resize_height);
    print_sides(&b, "crop", p->crop_width, p->crop_width == p->crop_height ? 0 : p->crop_height);
    if (b.failed) {
        out->failed = true;
    } else if (b.size) {
        nrw_strbuf_add(out, b.data + 1, b.size - 1);
    }
    nrw_strbuf_free(&b);
}

bool nrw_preprocess_has_affine(const nrw_preprocess *p) {
    return p->scale != p->divisor || p->n_mean || p->n_std;
}

void nrw_preprocess_affine(const nrw_preprocess *p, float *x, int rank, const int64_t *dims,
                           int axis) {
    int64_t outer = 1, inner = 1, channels = axis < 0 ? 1 : dims[axis];
    for (int k = 0; k < rank; k++) {
        if (k < axis) outer *= dims[k];
        if (k > axis) inner *= dims[k];
    }
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t c = 0; c < channels; c++) {
            double mean = p->n_mean > 1 ? p->mean[c] : p->n_mean ? p->mean[0] : 0;
            double std = p->n_std > 1 ? p->std[c] : p->n_std ? p->std[0] : 1;
            for (int64_t i = 0; i < inner; i++, x++) {
                *x = (float)(((double)*x * p->scale / p->divisor - mean) / std);
            }
        }
    }
}
