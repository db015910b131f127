/* Tokens of the text form; inside the ir only. White space and # comments are skipped before every
 * token. */
#ifndef NRW_IR_LEXER_H
#define NRW_IR_LEXER_H

#include "base/error.h"
#include "base/mem.h"
#include "narrow/tensor.h"

typedef struct nrw_lexer {
    const char *start, *at, *end;
    nrw_error *err;
} nrw_lexer;

/* NRW_ERR_FORMAT with "line 3, column 14: " before the message. */
nrw_status nrw_lex_fail(const nrw_lexer *l, const char *fmt, ...) NRW_PRINTF(2, 3);
bool nrw_lex_at_end(nrw_lexer *l);
bool nrw_lex_peek(nrw_lexer *l, const char *token);
/* Takes the token if it comes next. Tokens that end in a letter must not be followed by another
 * one. */
bool nrw_lex_accept(nrw_lexer *l, const char *token);
nrw_status nrw_lex_expect(nrw_lexer *l, const char *token) NRW_MUST_CHECK;
/* Letters, digits, and _ . / : -; at least one. A view into the text. */
nrw_status nrw_lex_word(nrw_lexer *l, nrw_string *out) NRW_MUST_CHECK;
/* Name or domain::Name. */
nrw_status nrw_lex_operator(nrw_lexer *l, nrw_string *domain, nrw_string *name) NRW_MUST_CHECK;
/* A quoted string, unescaped and terminated in the arena. */
nrw_status nrw_lex_string(nrw_lexer *l, nrw_arena *a, nrw_string *out) NRW_MUST_CHECK;
bool nrw_lex_at_number(nrw_lexer *l);
bool nrw_lex_at_float(nrw_lexer *l); /* a number with '.', 'e', or inf, nan */
nrw_status nrw_lex_int(nrw_lexer *l, int64_t *out) NRW_MUST_CHECK;
nrw_status nrw_lex_uint(nrw_lexer *l, uint64_t *out) NRW_MUST_CHECK;
nrw_status nrw_lex_double(nrw_lexer *l, double *out) NRW_MUST_CHECK;

#endif
