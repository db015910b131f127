/* --input: arrays for a model's inputs. */
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
