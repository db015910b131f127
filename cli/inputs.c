/* --input: arrays for a model's inputs; --shape: their lengths. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int find_input(const nrw_summary *s, const char *name, size_t n) {
    for (int i = 0; i < s->n_inputs; i++) {
        if (strlen(s->inputs[i].name) == n && memcmp(s->inputs[i].name, name, n) == 0) return i;
    }
    return -1;
}

/* "[NAME=]FILE": the longest input name that fits wins, so that names may hold '='. */
static int bind_input(cli *c, const nrw_summary *s, const char *text, nrw_array **arrays,
                      nrw_tensor *inputs) {
    int at = -1;
    const char *path = text;
    for (const char *eq = strchr(text, '='); eq != NULL; eq = strchr(eq + 1, '=')) {
        int i = find_input(s, text, (size_t)(eq - text));
        if (i < 0) continue;
        at = i;
        path = eq + 1;
    }
    if (at < 0) {
        const char *eq = strchr(text, '=');
        if (eq != NULL)
            return cli_refuse(c, "%s: the model has no input '%.*s'; its first is '%s'",
                              c->positional[0], (int)(eq - text), text,
                              s->n_inputs > 0 ? s->inputs[0].name : "");
        if (s->n_inputs != 1)
            return cli_refuse(c, "--input %s: the model has %d inputs; write NAME=FILE", text,
                              s->n_inputs);
        at = 0;
    }
    if (arrays[at] != NULL) return cli_refuse(c, "input '%s' is given twice", s->inputs[at].name);
    return nrw_array_load(c->context, path, &arrays[at], &inputs[at], &c->error) == NRW_OK
               ? EXIT_DONE
               : cli_failed(c);
}

int cli_inputs(cli *c, const nrw_summary *s, nrw_array **arrays, nrw_tensor *inputs) {
    int status = EXIT_DONE;
    for (int i = 0; i < c->n_given && status == EXIT_DONE; i++) {
        if (strcmp(c->given[i].option->name, "input") == 0)
            status = bind_input(c, s, c->given[i].value, arrays, inputs);
    }
    return status;
}

/* "[NAME=]1,3,?,224". */
static int fix_shape(cli *c, nrw_model *m, const nrw_summary *s, const char *text) {
    const char *eq = strrchr(text, '='), *at = eq != NULL ? eq + 1 : text;
    const int input = eq != NULL ? find_input(s, text, (size_t)(eq - text)) : 0;
    int64_t dims[NRW_MAX_RANK];
    int rank = 0;
    if (eq == NULL && s->n_inputs != 1)
        return cli_refuse(c, "--shape %s: the model has %d inputs; write NAME=DIMS", text,
                          s->n_inputs);
    if (input < 0) return cli_refuse(c, "--shape %s: the model has no such input", text);
    for (;; at++) {
        char *end = NULL;
        const bool open = *at == '?';
        if (rank == NRW_MAX_RANK) return cli_refuse(c, "--shape %s: too many axes", text);
        dims[rank++] = open ? -1 : strtoll(at, &end, 10);
        if (!open && (end == at || dims[rank - 1] < 1))
            return cli_refuse(c, "--shape %s: lengths such as 1,3,224,224 are needed", text);
        at = open ? at + 1 : end;
        if (*at == 0) break;
        if (*at != ',')
            return cli_refuse(c, "--shape %s: lengths such as 1,3,224,224 are needed", text);
    }
    return nrw_fix_input(m, input, rank, dims, &c->error) == NRW_OK ? EXIT_DONE : cli_failed(c);
}

int cli_shapes(cli *c, nrw_model *m) {
    const nrw_summary *s;
    if (nrw_inspect(m, &s, &c->error) != NRW_OK) return cli_failed(c);
    int status = EXIT_DONE;
    for (int i = 0; i < c->n_given && status == EXIT_DONE; i++) {
        if (strcmp(c->given[i].option->name, "shape") == 0)
            status = fix_shape(c, m, s, c->given[i].value);
    }
    return status;
}
