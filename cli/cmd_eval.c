/* narrow eval: a model measured on data. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static void print_evaluation(const nrw_evaluation *e) {
    bool share = e->metric == NRW_METRIC_TOP1 || e->metric == NRW_METRIC_TOP5 ||
                 e->metric == NRW_METRIC_AGREEMENT;
    double unit = share ? 100 : 1;
    printf("%-12s %.4g%s on %lld samples", nrw_metric_name(e->metric), unit * e->value,
           share ? " %" : "", (long long)e->samples);
    if (isfinite(e->ci_low))
        printf("  (95 %% interval %.4g to %.4g)", unit * e->ci_low, unit * e->ci_high);
    putchar('\n');
    if (isfinite(e->reference_value))
        printf("%-12s %.4g%s\n", "reference", unit * e->reference_value, share ? " %" : "");
    if (isfinite(e->p_value)) printf("%-12s p = %.3g (McNemar, mid-p)\n", "difference", e->p_value);
    if (isfinite(e->sqnr_db))
        printf("%-12s agreement %.2f %%, SQNR %.2f dB, cosine %.6f\n", "to reference",
               100 * e->agreement, e->sqnr_db, e->cosine);
}

static json_t *json_evaluation(const nrw_evaluation *e) {
    return json_pack("{s:s, s:o, s:I, s:[o,o], s:o, s:o, s:o, s:o, s:o}", "metric",
                     nrw_metric_name(e->metric), "value", cli_number(e->value), "n",
                     (json_int_t)e->samples, "ci95", cli_number(e->ci_low), cli_number(e->ci_high),
                     "reference_value", cli_number(e->reference_value), "agreement",
                     cli_number(e->agreement), "sqnr_db", cli_number(e->sqnr_db), "cosine",
                     cli_number(e->cosine), "p_value", cli_number(e->p_value));
}

int cmd_eval(cli *c) {
    nrw_model *m = NULL, *reference = NULL;
    nrw_dataset *d = NULL;
    const char *other = cli_value(c, "reference", NULL);
    nrw_metric metric = (nrw_metric)(cli_choice(c, "metric", -1) + 1);
    if (cli_value(c, "data", NULL) == NULL) return cli_refuse(c, "narrow eval needs --data");
    int status = cli_open(c);
    if (status == EXIT_DONE) status = cli_load(c, c->positional[0], &m);
    if (status == EXIT_DONE && other != NULL) status = cli_load(c, other, &reference);
    if (status == EXIT_DONE) status = cli_open_data(c, m, &d);
    nrw_evaluation e;
    if (status == EXIT_DONE && nrw_evaluate(m, reference, d, metric, &e, &c->error) != NRW_OK)
        status = cli_failed(c);
    if (status == EXIT_DONE) {
        progress_clear(c->progress);
        if (c->json)
            cli_print_json(json_evaluation(&e));
        else
            print_evaluation(&e);
    }
    nrw_dataset_free(d);
    nrw_model_free(reference);
    nrw_model_free(m);
    return status;
}
