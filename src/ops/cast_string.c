/* Numbers as text and back, as the Cast operator defines it. */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>

#include "ops/cast.h"

/* The longest number that is read; longer text is no number. */
#define LONGEST 127

/* Copies s without surrounding blanks, terminated; false when empty or too long. */
static bool trimmed(nrw_string s, char text[LONGEST + 1]) {
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t' || s.data[0] == '\n')) {
        s.data++;
        s.size--;
    }
    while (s.size > 0 && (unsigned char)s.data[s.size - 1] <= ' ') s.size--;
    if (s.size == 0 || s.size > LONGEST) return false;
    memcpy(text, s.data, s.size);
    text[s.size] = 0;
    return strlen(text) == s.size;
}

/* Digits only, so that strtoll and strtoull need no second look at blanks. */
static bool parse_integer(const char *text, int64_t *value) {
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    if (errno == ERANGE && text[0] != '-') {
        errno = 0;
        *value = (int64_t)strtoull(text, &end, 10);
    }
    return *end == 0 && errno == 0;
}

nrw_status nrw_cast_from_strings(nrw_eval *e, const nrw_cast *c) {
    const nrw_string *x = e->in[0]->data;
    char *y = e->out[0].data;
    int64_t n = nrw_tensor_count(e->in[0]);
    int size = nrw_dtype_size(c->to);
    bool to_integer = nrw_dtype_is_integer(c->to);
    for (int64_t i = 0; i < n; i++, y += size) {
        char text[LONGEST + 1] = "", *end;
        bool ok = trimmed(x[i], text);
        int64_t whole;
        if (ok && to_integer && parse_integer(text, &whole)) {
            nrw_cast number = {NRW_I64, c->to, true, 0};
            nrw_cast_number(&number, &whole, y);
            continue;
        }
        double value = ok ? strtod(text, &end) : 0;
        if (!ok || *end != 0)
            NRW_FAIL(e->err, NRW_ERR_DATA, "element %lld: '%.40s' is not a number", (long long)i,
                     text);
        nrw_cast number = {NRW_F64, c->to, c->saturate, c->round_mode};
        if (c->to == NRW_F32) /* rounded once */
            *(float *)(void *)y = strtof(text, NULL);
        else
            nrw_cast_number(&number, &value, y);
    }
    return NRW_OK;
}

/* Whether the number printed with this many digits reads back as itself. */
static bool reads_back(nrw_dtype from, double v, const char *text) {
    if (from == NRW_F64) return strtod(text, NULL) == v;
    if (from == NRW_F32) return strtof(text, NULL) == (float)v;
    float f = strtof(text, NULL), again;
    uint16_t bits;
    if (nrw_from_f32(from, &f, &bits, 1, NULL) != NRW_OK ||
        nrw_to_f32(from, &bits, &again, 1, NULL) != NRW_OK)
        return true;
    return again == (float)v;
}

/* The fewest digits that read back, positional from 1e-4 up to 1e16, as numpy prints doubles. */
static int print_real(nrw_dtype from, double v, char *text, size_t room) {
    if (v != v) return snprintf(text, room, "nan");
    if (isinf(v)) return snprintf(text, room, v < 0 ? "-inf" : "inf");
    char science[40];
    int digits = 0;
    do {
        snprintf(science, sizeof science, "%.*e", digits++, fabs(v));
    } while (digits < 18 && !reads_back(from, fabs(v), science));
    char mantissa[24] = {science[0]};
    if (digits > 1) memcpy(mantissa + 1, science + 2, (size_t)digits - 1);
    int exponent = atoi(strchr(science, 'e') + 1);
    const char *sign = signbit(v) ? "-" : "";
    if (exponent < -4 || exponent >= 16) return snprintf(text, room, "%s%s", sign, science);
    if (exponent < 0)
        return snprintf(text, room, "%s0.%.*s%s", sign, -exponent - 1, "0000", mantissa);
    if (digits <= exponent + 1)
        return snprintf(text, room, "%s%s%.*s.0", sign, mantissa, exponent + 1 - digits,
                        "0000000000000000");
    return snprintf(text, room, "%s%.*s.%s", sign, exponent + 1, mantissa, mantissa + exponent + 1);
}

static int print_number(nrw_dtype from, const void *x, char *text, size_t room, nrw_status *s) {
    if (nrw_dtype_is_float(from)) {
        double v = 0;
        *s = nrw_to_f64(from, x, &v, 1, NULL);
        return print_real(from, v, text, room);
    }
    if (from == NRW_BOOL) return snprintf(text, room, *(const uint8_t *)x ? "True" : "False");
    int64_t whole = 0;
    if (from == NRW_U64) {
        memcpy(&whole, x, sizeof whole);
        return snprintf(text, room, "%llu", (unsigned long long)whole);
    }
    *s = nrw_to_i64(from, x, &whole, 1, NULL);
    return snprintf(text, room, "%lld", (long long)whole);
}

nrw_status nrw_cast_to_strings(nrw_eval *e, const nrw_cast *c) {
    const char *x = e->in[0]->data;
    nrw_string *y = e->out[0].data;
    int64_t n = nrw_tensor_count(e->in[0]);
    int size = nrw_dtype_size(c->from);
    for (int64_t i = 0; i < n; i++) {
        char text[64];
        nrw_status s = NRW_OK;
        int length = print_number(c->from, x + i * size, text, sizeof text, &s);
        NRW_TRY(s);
        char *copy = e->host->bytes(e->host, (size_t)length + 1);
        if (copy == NULL) NRW_OOM(e->err);
        memcpy(copy, text, (size_t)length + 1);
        y[i] = (nrw_string){copy, (size_t)length};
    }
    return NRW_OK;
}
