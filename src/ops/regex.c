/* Parsing to a tree, the tree to a program, and running the program on sets of states. */
#include "ops/regex.h"

#include <string.h>

#define LAST_RUNE   0x10FFFFu
#define MAX_STEPS   20000
#define MAX_DEPTH   200
#define MAX_REPEATS 1000 /* as RE2 has it */
#define MAX_PATTERN 4096 /* bytes; what bounds the depth of the tree */

typedef struct range {
    uint32_t lo, hi;
} range;

typedef struct set {
    size_t first, count; /* of the ranges */
    bool negated, fold;
} set;

typedef enum assertion {
    TEXT_BEGIN,
    TEXT_END,
    LINE_BEGIN,
    LINE_END,
    WORD_EDGE,
    NO_WORD_EDGE
} assertion;

typedef enum kind { EMPTY, SET, ASSERT, CAT, ALT, REPEAT } kind;

typedef struct tree {
    kind kind;
    size_t arg; /* set, or assertion */
    int min, max;
    const struct tree *left, *right;
} tree;

typedef enum opcode { OP_SET, OP_ASSERT, OP_SPLIT, OP_JUMP, OP_MATCH } opcode;

typedef struct step {
    opcode op;
    size_t a, b;
} step;

struct nrw_regex {
    nrw_arena *arena;
    range *ranges;
    size_t n_ranges, cap_ranges;
    set *sets;
    size_t n_sets, cap_sets;
    step *steps;
    size_t n_steps, cap_steps;
    size_t *now, *next, *stack; /* states, and what is still to be followed */
    size_t n_now, n_next;
    uint64_t *seen; /* [n_steps] the last position at which a state was added */
};

typedef struct parser {
    nrw_regex *re;
    const char *p, *end;
    bool fold, dot_newline, multiline;
    int depth;
    nrw_error *err;
} parser;

/* --- characters --------------------------------------------------------------------------------
 */

/* One code point; a byte that is no UTF-8 counts as U+FFFD. */
static uint32_t decode(const char **p, const char *end) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)*p;
    int n = s[0] < 0x80             ? 1
            : (s[0] & 0xE0) == 0xC0 ? 2
            : (s[0] & 0xF0) == 0xE0 ? 3
            : (s[0] & 0xF8) == 0xF0 ? 4
                                    : 0;
    *p += 1;
    if (n == 1) return s[0];
    if (n == 0 || end - *p < n - 1) return 0xFFFD;
    uint32_t c = s[0] & (0x7Fu >> n);
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0xFFFD;
        c = c << 6 | (s[i] & 0x3Fu);
    }
    if (c < least[n] || c > LAST_RUNE || (c >= 0xD800 && c < 0xE000)) return 0xFFFD;
    *p += n - 1;
    return c;
}

static bool in_ranges(const nrw_regex *re, const set *s, uint32_t c) {
    for (size_t i = s->first; i < s->first + s->count; i++) {
        if (c >= re->ranges[i].lo && c <= re->ranges[i].hi) return true;
    }
    return false;
}

static bool in_set(const nrw_regex *re, const set *s, uint32_t c) {
    bool found = in_ranges(re, s, c);
    if (s->fold && !found && c < 0x80) {
        uint32_t lower = c | 0x20;
        if (lower >= 'a' && lower <= 'z') found = in_ranges(re, s, c ^ 0x20);
    }
    return found != s->negated;
}

static bool is_word(uint32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* --- parsing -----------------------------------------------------------------------------------
 */

static nrw_status add_range(parser *ps, uint32_t lo, uint32_t hi) {
    nrw_regex *re = ps->re;
    if (!nrw_arena_grow(re->arena, (void **)&re->ranges, &re->cap_ranges, re->n_ranges + 1,
                        sizeof *re->ranges))
        NRW_OOM(ps->err);
    re->ranges[re->n_ranges++] = (range){lo, hi};
    re->sets[re->n_sets - 1].count++;
    return NRW_OK;
}

static nrw_status new_tree(parser *ps, kind k, tree **out) {
    *out = nrw_arena_calloc(ps->re->arena, 1, sizeof **out);
    if (*out == NULL) NRW_OOM(ps->err);
    (*out)->kind = k;
    return NRW_OK;
}

/* A tree with an empty set, to which ranges are added next. */
static nrw_status new_set(parser *ps, tree **out) {
    nrw_regex *re = ps->re;
    NRW_TRY(new_tree(ps, SET, out));
    if (!nrw_arena_grow(re->arena, (void **)&re->sets, &re->cap_sets, re->n_sets + 1,
                        sizeof *re->sets))
        NRW_OOM(ps->err);
    (*out)->arg = re->n_sets;
    re->sets[re->n_sets++] = (set){re->n_ranges, 0, false, ps->fold};
    return NRW_OK;
}

static nrw_status new_assert(parser *ps, assertion a, tree **out) {
    NRW_TRY(new_tree(ps, ASSERT, out));
    (*out)->arg = a;
    return NRW_OK;
}

/* Sorted ranges as pairs of ASCII characters, or everything between them; zero: so is NUL. */
static nrw_status add_class(parser *ps, const char *pairs, bool zero, bool negated) {
    uint32_t from = zero ? 1 : 0;
    if (zero && !negated) NRW_TRY(add_range(ps, 0, 0));
    for (; pairs[0] != 0; pairs += 2) {
        uint32_t lo = (unsigned char)pairs[0], hi = (unsigned char)pairs[1];
        if (!negated) {
            NRW_TRY(add_range(ps, lo, hi));
        } else {
            if (lo > from) NRW_TRY(add_range(ps, from, lo - 1));
            from = hi + 1;
        }
    }
    return negated ? add_range(ps, from, LAST_RUNE) : NRW_OK;
}

/* Pairs of \d, \s, \w; NULL for other letters. */
static const char *perl_class(char c) {
    switch (c) {
    case 'd':
    case 'D':
        return "09";
    case 's':
    case 'S':
        return "\t\n\f\r  ";
    case 'w':
    case 'W':
        return "09AZ__az";
    default:
        return NULL;
    }
}

static nrw_status posix_class(parser *ps, bool *found) {
    static const struct {
        const char *name, *pairs;
        bool zero; /* NUL is in it */
    } classes[] = {{"alnum", "09AZaz", false},
                   {"alpha", "AZaz", false},
                   {"ascii", "\001\177", true},
                   {"blank", "\t\t  ", false},
                   {"cntrl", "\001\037\177\177", true},
                   {"digit", "09", false},
                   {"graph", "!~", false},
                   {"lower", "az", false},
                   {"print", " ~", false},
                   {"punct", "!/:@[`{~", false},
                   {"space", "\t\r  ", false},
                   {"upper", "AZ", false},
                   {"word", "09AZ__az", false},
                   {"xdigit", "09AFaf", false}};
    *found = false;
    if (ps->end - ps->p < 4 || memcmp(ps->p, "[:", 2) != 0) return NRW_OK;
    const char *name = ps->p + 2, *stop = memmem(name, (size_t)(ps->end - name), ":]", 2);
    if (stop == NULL) return NRW_OK;
    bool negated = name[0] == '^';
    name += negated;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i].name);
        if ((size_t)(stop - name) != n || memcmp(name, classes[i].name, n) != 0) continue;
        *found = true;
        ps->p = stop + 2;
        return add_class(ps, classes[i].pairs, classes[i].zero, negated);
    }
    NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: no such class as [:%.*s:]", (int)(stop - name),
             name);
}

static nrw_status parse_hex(parser *ps, uint32_t *c) {
    bool braces = ps->p < ps->end && *ps->p == '{';
    const char *p = ps->p + braces;
    int digits = 0;
    *c = 0;
    for (; p < ps->end && digits < (braces ? 8 : 2); p++, digits++) {
        char lower = *p | 0x20;
        if (*p >= '0' && *p <= '9')
            *c = *c * 16 + (uint32_t)(*p - '0');
        else if (lower >= 'a' && lower <= 'f')
            *c = *c * 16 + (uint32_t)(lower - 'a' + 10);
        else
            break;
    }
    if (digits == 0 || (!braces && digits != 2) || *c > LAST_RUNE ||
        (braces && (p == ps->end || *p != '}')))
        NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: bad \\x escape");
    ps->p = p + braces;
    return NRW_OK;
}

/* The character that an escape stands for; the backslash has been read. */
static nrw_status parse_escape(parser *ps, uint32_t *c) {
    static const char names[] = "afnrtv", values[] = "\a\f\n\r\t\v";
    if (ps->p == ps->end) NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: ends in a backslash");
    char e = *ps->p;
    if (e == 'p' || e == 'P' || e == 'C' || e == 'X')
        NRW_FAIL(ps->err, NRW_ERR_UNSUPPORTED, "pattern: \\%c", e);
    const char *at = e != 0 ? strchr(names, e) : NULL;
    if (at != NULL) {
        *c = (unsigned char)values[at - names];
        ps->p++;
        return NRW_OK;
    }
    if (e == 'x') {
        ps->p++;
        return parse_hex(ps, c);
    }
    if (e == '0' ||
        (e >= '1' && e <= '7' && ps->end - ps->p > 1 && ps->p[1] >= '0' && ps->p[1] <= '7')) {
        *c = 0;
        for (int i = 0; i < 3 && ps->p < ps->end && *ps->p >= '0' && *ps->p <= '7'; i++)
            *c = *c * 8 + (uint32_t)(*ps->p++ - '0');
        return NRW_OK;
    }
    if (is_word((unsigned char)e) && e != '_')
        NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: no such escape as \\%c", e);
    *c = decode(&ps->p, ps->end);
    return NRW_OK;
}

static nrw_status check_fold(parser *ps, uint32_t c) {
    if (ps->fold && c >= 0x80)
        NRW_FAIL(ps->err, NRW_ERR_UNSUPPORTED, "pattern: letters beyond ASCII under (?i)");
    return NRW_OK;
}

static nrw_status set_char(parser *ps, uint32_t *c) {
    if (ps->p == ps->end) NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: [ without ]");
    if (*ps->p != '\\') {
        *c = decode(&ps->p, ps->end);
    } else {
        ps->p++;
        NRW_TRY(parse_escape(ps, c));
    }
    return check_fold(ps, *c);
}

/* After '['. */
static nrw_status parse_set(parser *ps, tree **out) {
    NRW_TRY(new_set(ps, out));
    size_t me = (*out)->arg;
    if (ps->p < ps->end && *ps->p == '^') {
        ps->re->sets[me].negated = true;
        ps->p++;
    }
    for (bool first = true; first || ps->p == ps->end || *ps->p != ']'; first = false) {
        bool found;
        NRW_TRY(posix_class(ps, &found));
        if (found) continue;
        if (ps->end - ps->p >= 2 && *ps->p == '\\' && perl_class(ps->p[1]) != NULL) {
            char c = ps->p[1];
            ps->p += 2;
            NRW_TRY(add_class(ps, perl_class(c), false, c < 'a'));
            continue;
        }
        uint32_t lo, hi;
        NRW_TRY(set_char(ps, &lo));
        hi = lo;
        if (ps->end - ps->p >= 2 && ps->p[0] == '-' && ps->p[1] != ']') {
            ps->p++;
            NRW_TRY(set_char(ps, &hi));
        }
        if (hi < lo) NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: a range that runs backwards");
        NRW_TRY(add_range(ps, lo, hi));
    }
    ps->p++;
    return NRW_OK;
}

static nrw_status parse_alternatives(parser *ps, tree **out);

/* After "(?": flags, a name, or nothing; *group: a group follows (else the flags stay on). */
static nrw_status parse_group_head(parser *ps, bool *group) {
    bool on = true;
    *group = true;
    if (ps->end - ps->p >= 2 && (ps->p[0] == '<' || (ps->p[0] == 'P' && ps->p[1] == '<'))) {
        const char *close = memchr(ps->p, '>', (size_t)(ps->end - ps->p));
        const char *name = ps->p + (ps->p[0] == 'P' ? 2 : 1);
        if (close == NULL || close == name)
            NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: bad group name");
        for (; name < close; name++) {
            if (!is_word((unsigned char)*name))
                NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: bad group name");
        }
        ps->p = close + 1;
        return NRW_OK;
    }
    for (; ps->p < ps->end; ps->p++) {
        switch (*ps->p) {
        case 'i':
            ps->fold = on;
            break;
        case 's':
            ps->dot_newline = on;
            break;
        case 'm':
            ps->multiline = on;
            break;
        case 'U':
            break; /* greed does not matter to a full match */
        case '-':
            on = false;
            break;
        case ')':
            *group = false; /* fall through */
        case ':':
            ps->p++;
            return NRW_OK;
        default:
            NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: (?%c is no group", *ps->p);
        }
    }
    NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: ( without )");
}

/* After '('. Flags set inside end with the group. */
static nrw_status parse_group(parser *ps, tree **out) {
    bool group = true, fold = ps->fold, dot = ps->dot_newline, multiline = ps->multiline;
    if (ps->p < ps->end && *ps->p == '?') {
        ps->p++;
        NRW_TRY(parse_group_head(ps, &group));
    }
    if (!group) return new_tree(ps, EMPTY, out);
    if (++ps->depth > MAX_DEPTH) NRW_FAIL(ps->err, NRW_ERR_UNSUPPORTED, "pattern: nested too deep");
    NRW_TRY(parse_alternatives(ps, out));
    ps->depth--;
    if (ps->p == ps->end) NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: ( without )");
    ps->p++;
    ps->fold = fold;
    ps->dot_newline = dot;
    ps->multiline = multiline;
    return NRW_OK;
}

static nrw_status parse_escaped_atom(parser *ps, tree **out) {
    static const struct {
        char c;
        assertion a;
    } assertions[] = {{'A', TEXT_BEGIN}, {'z', TEXT_END}, {'b', WORD_EDGE}, {'B', NO_WORD_EDGE}};
    char e = ps->p < ps->end ? *ps->p : 0;
    for (size_t i = 0; i < 4; i++) {
        if (e != assertions[i].c) continue;
        ps->p++;
        return new_assert(ps, assertions[i].a, out);
    }
    if (e == 'Q') NRW_FAIL(ps->err, NRW_ERR_UNSUPPORTED, "pattern: \\Q");
    NRW_TRY(new_set(ps, out));
    if (perl_class(e) != NULL) {
        ps->p++;
        return add_class(ps, perl_class(e), false, e < 'a');
    }
    uint32_t c;
    NRW_TRY(parse_escape(ps, &c));
    NRW_TRY(check_fold(ps, c));
    return add_range(ps, c, c);
}

static nrw_status parse_atom(parser *ps, tree **out) {
    uint32_t c = decode(&ps->p, ps->end);
    switch (c) {
    case '(':
        return parse_group(ps, out);
    case '[':
        return parse_set(ps, out);
    case '^':
        return new_assert(ps, ps->multiline ? LINE_BEGIN : TEXT_BEGIN, out);
    case '$':
        return new_assert(ps, ps->multiline ? LINE_END : TEXT_END, out);
    case '\\':
        return parse_escaped_atom(ps, out);
    case '*':
    case '+':
    case '?':
        NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: nothing to repeat before %c", (char)c);
    default:
        break;
    }
    NRW_TRY(new_set(ps, out));
    if (c == '.') return add_class(ps, ps->dot_newline ? "" : "\n\n", false, true);
    NRW_TRY(check_fold(ps, c));
    return add_range(ps, c, c);
}

/* {n}, {n,} or {n,m}; anything else in braces is plain text. */
static bool parse_counts(parser *ps, int *min, int *max) {
    const char *p = ps->p + 1;
    long n[2] = {0, -1};
    for (int i = 0; i < 2; i++) {
        const char *start = p;
        for (long v = 0; p < ps->end && *p >= '0' && *p <= '9' && p - start < 5; p++) {
            v = v * 10 + (*p - '0');
            n[i] = v;
        }
        if (i == 0 && p == start) return false;
        if (i == 0 && p < ps->end && *p == '}') n[1] = n[0];
        if (i == 0 && p < ps->end && *p == ',')
            p++;
        else if (i == 0)
            break;
    }
    if (p == ps->end || *p != '}') return false;
    ps->p = p + 1;
    *min = (int)n[0];
    *max = (int)n[1];
    return true;
}

static nrw_status parse_repeats(parser *ps, tree **out) {
    bool repeated = false;
    while (ps->p < ps->end) {
        int min = 0, max = -1;
        char c = *ps->p;
        if (c == '{') {
            if (!parse_counts(ps, &min, &max)) return NRW_OK;
            if (min > MAX_REPEATS || max > MAX_REPEATS || (max >= 0 && max < min))
                NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: bad repeat counts");
        } else if (c == '*' || c == '+' || c == '?') {
            min = c == '+';
            max = c == '?' ? 1 : -1;
            ps->p++;
        } else {
            return NRW_OK;
        }
        if (repeated) NRW_FAIL(ps->err, NRW_ERR_ARGUMENT, "pattern: a repeat of a repeat");
        repeated = true;
        if (ps->p < ps->end && *ps->p == '?') ps->p++; /* lazy: no matter */
        tree *t;
        NRW_TRY(new_tree(ps, REPEAT, &t));
        t->left = *out;
        t->min = min;
        t->max = max;
        *out = t;
    }
    return NRW_OK;
}

static nrw_status join(parser *ps, kind k, tree *left, tree *right, tree **out) {
    NRW_TRY(new_tree(ps, k, out));
    (*out)->left = left;
    (*out)->right = right;
    return NRW_OK;
}

static nrw_status parse_sequence(parser *ps, tree **out) {
    NRW_TRY(new_tree(ps, EMPTY, out));
    while (ps->p < ps->end && *ps->p != '|' && *ps->p != ')') {
        tree *atom;
        NRW_TRY(parse_atom(ps, &atom));
        NRW_TRY(parse_repeats(ps, &atom));
        NRW_TRY(join(ps, CAT, *out, atom, out));
    }
    return NRW_OK;
}

static nrw_status parse_alternatives(parser *ps, tree **out) {
    NRW_TRY(parse_sequence(ps, out));
    while (ps->p < ps->end && *ps->p == '|') {
        tree *other;
        ps->p++;
        NRW_TRY(parse_sequence(ps, &other));
        NRW_TRY(join(ps, ALT, *out, other, out));
    }
    return NRW_OK;
}

/* --- the program -------------------------------------------------------------------------------
 */

static nrw_status emit(nrw_regex *re, step s, size_t *at, nrw_error *err) {
    if (re->n_steps >= MAX_STEPS) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "pattern: too long");
    if (!nrw_arena_grow(re->arena, (void **)&re->steps, &re->cap_steps, re->n_steps + 1,
                        sizeof *re->steps))
        NRW_OOM(err);
    *at = re->n_steps;
    re->steps[re->n_steps++] = s;
    return NRW_OK;
}

static nrw_status emit_tree(nrw_regex *re, const tree *t, nrw_error *err);

static nrw_status emit_repeat(nrw_regex *re, const tree *t, nrw_error *err) {
    size_t at = 0, back;
    for (int i = 0; i < t->min; i++) NRW_TRY(emit_tree(re, t->left, err));
    if (t->max < 0) {
        NRW_TRY(emit(re, (step){OP_SPLIT, re->n_steps + 1, 0}, &at, err));
        NRW_TRY(emit_tree(re, t->left, err));
        NRW_TRY(emit(re, (step){OP_JUMP, at, 0}, &back, err));
        re->steps[at].b = re->n_steps;
        return NRW_OK;
    }
    /* Each optional copy may leave for the end; until that is known, b leads to the copy before. */
    size_t last = MAX_STEPS;
    for (int i = t->min; i < t->max; i++) {
        NRW_TRY(emit(re, (step){OP_SPLIT, re->n_steps + 1, last}, &last, err));
        NRW_TRY(emit_tree(re, t->left, err));
    }
    while (last != MAX_STEPS) {
        size_t before = re->steps[last].b;
        re->steps[last].b = re->n_steps;
        last = before;
    }
    return NRW_OK;
}

static nrw_status emit_tree(nrw_regex *re, const tree *t, nrw_error *err) {
    size_t at = 0, jump = 0;
    switch (t->kind) {
    case SET:
        return emit(re, (step){OP_SET, t->arg, 0}, &at, err);
    case ASSERT:
        return emit(re, (step){OP_ASSERT, t->arg, 0}, &at, err);
    case REPEAT:
        return emit_repeat(re, t, err);
    case CAT:
        NRW_TRY(emit_tree(re, t->left, err));
        return emit_tree(re, t->right, err);
    case ALT:
        NRW_TRY(emit(re, (step){OP_SPLIT, re->n_steps + 1, 0}, &at, err));
        NRW_TRY(emit_tree(re, t->left, err));
        NRW_TRY(emit(re, (step){OP_JUMP, 0, 0}, &jump, err));
        re->steps[at].b = re->n_steps;
        NRW_TRY(emit_tree(re, t->right, err));
        re->steps[jump].a = re->n_steps;
        return NRW_OK;
    default:
        return NRW_OK;
    }
}

nrw_status nrw_regex_compile(nrw_arena *arena, nrw_string pattern, nrw_regex **out,
                             nrw_error *err) {
    nrw_regex *re = nrw_arena_calloc(arena, 1, sizeof *re);
    tree *t;
    size_t at;
    if (re == NULL) NRW_OOM(err);
    if (pattern.size > MAX_PATTERN) NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "pattern: too long");
    re->arena = arena;
    parser ps = {.re = re, .p = pattern.data, .end = pattern.data + pattern.size, .err = err};
    NRW_TRY(parse_alternatives(&ps, &t));
    if (ps.p != ps.end) NRW_FAIL(err, NRW_ERR_ARGUMENT, "pattern: ) without (");
    NRW_TRY(emit_tree(re, t, err));
    NRW_TRY(emit(re, (step){OP_MATCH, 0, 0}, &at, err));
    re->now = nrw_arena_calloc(arena, re->n_steps, sizeof *re->now);
    re->next = nrw_arena_calloc(arena, re->n_steps, sizeof *re->next);
    re->stack = nrw_arena_calloc(arena, 2 * re->n_steps + 1, sizeof *re->stack);
    re->seen = nrw_arena_calloc(arena, re->n_steps, sizeof *re->seen);
    if (re->now == NULL || re->next == NULL || re->stack == NULL || re->seen == NULL) NRW_OOM(err);
    *out = re;
    return NRW_OK;
}

/* --- matching ----------------------------------------------------------------------------------
 */

#define NO_RUNE UINT32_MAX /* before the beginning, after the end */

/* Between which characters the match stands. */
typedef struct place {
    uint32_t before, after;
    uint64_t number; /* from 1 on; tells what `seen` belongs to */
} place;

static bool holds(assertion a, const place *p) {
    bool edge =
        (p->before != NO_RUNE && is_word(p->before)) != (p->after != NO_RUNE && is_word(p->after));
    switch (a) {
    case TEXT_BEGIN:
        return p->before == NO_RUNE;
    case TEXT_END:
        return p->after == NO_RUNE;
    case LINE_BEGIN:
        return p->before == NO_RUNE || p->before == '\n';
    case LINE_END:
        return p->after == NO_RUNE || p->after == '\n';
    case WORD_EDGE:
        return edge;
    default:
        return !edge;
    }
}

/* Adds what can be reached from a state without reading a character. */
static void add_states(nrw_regex *re, size_t from, const place *p) {
    size_t depth = 0;
    re->stack[depth++] = from;
    while (depth > 0) {
        size_t at = re->stack[--depth];
        if (re->seen[at] == p->number) continue;
        re->seen[at] = p->number;
        const step *s = &re->steps[at];
        switch (s->op) {
        case OP_JUMP:
            re->stack[depth++] = s->a;
            break;
        case OP_SPLIT:
            re->stack[depth++] = s->a;
            re->stack[depth++] = s->b;
            break;
        case OP_ASSERT:
            if (holds((assertion)s->a, p)) re->stack[depth++] = at + 1;
            break;
        default:
            re->next[re->n_next++] = at;
            break;
        }
    }
}

static void swap_states(nrw_regex *re) {
    size_t *states = re->now;
    re->now = re->next;
    re->n_now = re->n_next;
    re->next = states;
    re->n_next = 0;
}

bool nrw_regex_match(nrw_regex *re, nrw_string text) {
    const char *p = text.data, *end = text.size > 0 ? text.data + text.size : p;
    place at = {NO_RUNE, p < end ? decode(&p, end) : NO_RUNE, 1};
    memset(re->seen, 0, re->n_steps * sizeof *re->seen);
    re->n_next = 0;
    add_states(re, 0, &at);
    swap_states(re);
    while (at.after != NO_RUNE && re->n_now > 0) {
        at.before = at.after;
        at.after = p < end ? decode(&p, end) : NO_RUNE;
        at.number++;
        for (size_t i = 0; i < re->n_now; i++) {
            const step *s = &re->steps[re->now[i]];
            if (s->op == OP_SET && in_set(re, &re->sets[s->a], at.before))
                add_states(re, re->now[i] + 1, &at);
        }
        swap_states(re);
    }
    for (size_t i = 0; i < re->n_now && at.after == NO_RUNE; i++) {
        if (re->steps[re->now[i]].op == OP_MATCH) return true;
    }
    return false;
}
