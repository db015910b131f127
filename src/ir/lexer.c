#include "ir/lexer.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

nrw_status nrw_lex_fail(const nrw_lexer *l, const char *fmt, ...) {
    int line = 1, column = 1;
    for (const char *c = l->start; c < l->at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return nrw_error_set(l->err, NRW_ERR_FORMAT, "line %d, column %d: %s", line, column, text);
}

static void skip_space(nrw_lexer *l) {
    while (l->at < l->end && (isspace((unsigned char)*l->at) || *l->at == '#')) {
        if (*l->at != '#') {
            l->at++;
            continue;
        }
        while (l->at < l->end && *l->at != '\n') l->at++;
    }
}

bool nrw_lex_at_end(nrw_lexer *l) {
    skip_space(l);
    return l->at == l->end;
}

static bool is_word_char(char c) {
    return isalnum((unsigned char)c) || (c != 0 && strchr("_./:-", c));
}

bool nrw_lex_peek(nrw_lexer *l, const char *token) {
    skip_space(l);
    size_t n = strlen(token), left = (size_t)(l->end - l->at);
    if (left < n || memcmp(l->at, token, n) != 0) return false;
    bool wordy = isalpha((unsigned char)token[n - 1]) || token[n - 1] == '_';
    return !wordy || left == n || !is_word_char(l->at[n]);
}

bool nrw_lex_accept(nrw_lexer *l, const char *token) {
    if (!nrw_lex_peek(l, token)) return false;
    l->at += strlen(token);
    return true;
}

nrw_status nrw_lex_expect(nrw_lexer *l, const char *token) {
    if (nrw_lex_accept(l, token)) return NRW_OK;
    return nrw_lex_fail(l, "'%s' expected", token);
}

nrw_status nrw_lex_word(nrw_lexer *l, nrw_string *out) {
    skip_space(l);
    const char *from = l->at;
    while (l->at < l->end && is_word_char(*l->at)) l->at++;
    /* A colon at the end separates a name from its type. */
    while (l->at > from + 1 && l->at[-1] == ':') l->at--;
    *out = (nrw_string){from, (size_t)(l->at - from)};
    return out->size > 0 ? NRW_OK : nrw_lex_fail(l, "a name expected");
}

nrw_status nrw_lex_operator(nrw_lexer *l, nrw_string *domain, nrw_string *name) {
    NRW_TRY(nrw_lex_word(l, name));
    *domain = (nrw_string){"", 0};
    for (size_t i = 0; i + 2 < name->size; i++) {
        if (name->data[i] != ':' || name->data[i + 1] != ':') continue;
        *domain = (nrw_string){name->data, i};
        *name = (nrw_string){name->data + i + 2, name->size - i - 2};
        break;
    }
    return NRW_OK;
}

static int unhex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

nrw_status nrw_lex_string(nrw_lexer *l, nrw_arena *a, nrw_string *out) {
    NRW_TRY(nrw_lex_expect(l, "\""));
    size_t n = 0;
    while (l->at + n < l->end && l->at[n] != '"') n += l->at[n] == '\\' ? 2 : 1;
    if (l->at + n >= l->end) return nrw_lex_fail(l, "the string does not end");
    char *text = nrw_arena_alloc(a, n + 1);
    if (text == NULL) NRW_OOM(l->err);
    size_t size = 0;
    for (const char *c = l->at; c < l->at + n; c++) {
        if (*c == '\\' && c[1] == 'x' && c + 3 < l->at + n && unhex(c[2]) >= 0 &&
            unhex(c[3]) >= 0) {
            text[size++] = (char)(16 * unhex(c[2]) + unhex(c[3]));
            c += 3;
        } else if (*c == '\\') {
            c++;
            text[size++] = *c == 'n' ? '\n' : *c;
        } else {
            text[size++] = *c;
        }
    }
    text[size] = 0;
    *out = (nrw_string){text, size};
    l->at += n + 1;
    return NRW_OK;
}

bool nrw_lex_at_number(nrw_lexer *l) {
    skip_space(l);
    return l->at < l->end && (isdigit((unsigned char)*l->at) || *l->at == '-' || *l->at == '+');
}

/* A number token, copied so that it ends. */
static size_t number_text(nrw_lexer *l, char text[64]) {
    skip_space(l);
    size_t n = 0;
    while (l->at + n < l->end && n < 63 &&
           (isalnum((unsigned char)l->at[n]) || strchr("+-.", l->at[n])) && l->at[n] != 0)
        n++;
    memcpy(text, l->at, n);
    text[n] = 0;
    return n;
}

bool nrw_lex_at_float(nrw_lexer *l) {
    char text[64];
    number_text(l, text);
    return strpbrk(text, ".en") != NULL;
}

nrw_status nrw_lex_int(nrw_lexer *l, int64_t *out) {
    char text[64], *end;
    size_t n = number_text(l, text);
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (n == 0 || *end != 0 || errno != 0) return nrw_lex_fail(l, "an integer expected");
    l->at += n;
    return NRW_OK;
}

nrw_status nrw_lex_uint(nrw_lexer *l, uint64_t *out) {
    char text[64], *end;
    size_t n = number_text(l, text);
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (n == 0 || *end != 0 || errno != 0 || text[0] == '-')
        return nrw_lex_fail(l, "an unsigned integer expected");
    l->at += n;
    return NRW_OK;
}

nrw_status nrw_lex_double(nrw_lexer *l, double *out) {
    char text[64], *end;
    size_t n = number_text(l, text);
    *out = strtod(text, &end);
    if (n == 0 || *end != 0) return nrw_lex_fail(l, "a number expected");
    l->at += n;
    return NRW_OK;
}
