/* Regular expressions with RE2's syntax and meaning, for whole strings: no captures, no search.
 * Time is linear in the text, as in RE2: all alternatives are followed at once (K. Thompson,
 * "Regular Expression Search Algorithm", 1968). */
#ifndef NRW_OPS_REGEX_H
#define NRW_OPS_REGEX_H

#include "base/error.h"
#include "base/mem.h"
#include "narrow/tensor.h"

typedef struct nrw_regex nrw_regex;

/* Lives in the arena. NRW_ERR_ARGUMENT for what is no expression; NRW_ERR_UNSUPPORTED for what RE2
 * knows and this does not: Unicode classes (\p), letters beyond ASCII under (?i), and programs of
 * more than 20000 steps. */
nrw_status nrw_regex_compile(nrw_arena *arena, nrw_string pattern, nrw_regex **out,
                             nrw_error *err) NRW_MUST_CHECK;
/* Whether all of text matches. Not for several threads at once. */
bool nrw_regex_match(nrw_regex *r, nrw_string text);

#endif
