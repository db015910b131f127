/* narrow run: one run of a model, arrays in and out. */
#include <stdlib.h>

#include "cli.h"

typedef struct run_state {
    nrw_model *model;
    nrw_plan *plan;
    nrw_session *session;
    const nrw_summary *summary;
    nrw_array **arrays;
    nrw_tensor *inputs, *outputs;
    const char **names;
} run_state;

static int run_it(cli *c, run_state *r, const char *out) {
    int status = cli_load(c, c->positional[0], &r->model);
    if (status != EXIT_DONE) return status;
    if (nrw_inspect(r->model, &r->summary, &c->error) != NRW_OK) return cli_failed(c);
    const nrw_summary *s = r->summary;
    r->arrays = calloc((size_t)s->n_inputs + 1, sizeof *r->arrays);
    r->inputs = calloc((size_t)s->n_inputs + 1, sizeof *r->inputs);
    r->outputs = calloc((size_t)s->n_outputs + 1, sizeof *r->outputs);
    r->names = calloc((size_t)s->n_outputs + 1, sizeof *r->names);
    if (!r->arrays || !r->inputs || !r->outputs || !r->names) return cli_refuse(c, "out of memory");
    status = cli_inputs(c, s, r->arrays, r->inputs);
    if (status != EXIT_DONE) return status;
    for (int i = 0; i < s->n_outputs; i++) r->names[i] = s->outputs[i].name;
    int64_t seed = 0;
    if (!cli_int(c, "seed", 0, INT64_MAX, &seed)) return EXIT_REFUSED;
    if (nrw_plan_create(r->model, NULL, &r->plan, &c->error) != NRW_OK ||
        nrw_session_create(r->plan, &r->session, &c->error) != NRW_OK)
        return cli_failed(c);
    nrw_session_seed(r->session, (uint64_t)seed);
    if (nrw_session_run(r->session, s->n_inputs, r->inputs, s->n_outputs, r->outputs, &c->error) !=
        NRW_OK)
        return cli_refuse(c, "%s: %s", c->positional[0], c->error.message);
    if (nrw_arrays_save(c->context, out, s->n_outputs, r->names, r->outputs, &c->error) != NRW_OK)
        return cli_failed(c);
    if (c->json) cli_print_json(json_pack("{s:s, s:i}", "output", out, "arrays", s->n_outputs));
    return EXIT_DONE;
}

int cmd_run(cli *c) {
    run_state r = {0};
    const char *out = cli_value(c, "output", NULL);
    if (out == NULL) return cli_refuse(c, "narrow run needs -o OUT.npz");
    int status = cli_open(c);
    if (status == EXIT_DONE) status = run_it(c, &r, out);
    nrw_session_destroy(r.session);
    nrw_plan_destroy(r.plan);
    for (int i = 0; r.arrays != NULL && i < r.summary->n_inputs; i++) nrw_array_free(r.arrays[i]);
    free(r.arrays);
    free(r.inputs);
    free(r.outputs);
    free(r.names);
    nrw_model_free(r.model);
    return status;
}
