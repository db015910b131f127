/* narrow compare: which layer loses what. */
#include <stdio.h>

#include "cli.h"

static void print_layers(const nrw_layer_error *rows, int n) {
    printf("%-32s %-14s %10s %10s %10s %8s\n", "layer", "operator", "SQNR dB", "own dB",
           "effect dB", "clipped");
    for (int i = 0; i < n; i++) {
        printf("%-32.32s %-14s %10.2f %10.2f %10.2f %7.3f%%\n", rows[i].node, rows[i].op,
               rows[i].sqnr_db, rows[i].own_sqnr_db, rows[i].effect_db, 100 * rows[i].saturated);
    }
    printf(
        "SQNR: of the layer's output in the quantized model. own: with only this layer quantized.\n"
        "effect: of the model's first output with only this layer quantized.\n");
}

static json_t *json_layers(const nrw_layer_error *rows, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "node", rows[i].node, "op",
                      rows[i].op, "value", rows[i].value, "sqnr_db", cli_number(rows[i].sqnr_db),
                      "own_sqnr_db", cli_number(rows[i].own_sqnr_db), "effect_db",
                      cli_number(rows[i].effect_db), "min", cli_number(rows[i].float_min), "max",
                      cli_number(rows[i].float_max), "saturated", cli_number(rows[i].saturated)));
    }
    return list;
}

int cmd_compare(cli *c) {
    nrw_model *a = NULL, *b = NULL;
    nrw_dataset *d = NULL;
    nrw_comparison *result = NULL;
    int status = cli_open(c);
    if (status == EXIT_DONE) status = cli_load(c, c->positional[0], &a);
    if (status == EXIT_DONE) status = cli_load(c, c->positional[1], &b);
    if (status == EXIT_DONE) status = cli_open_data(c, a, &d);
    if (status == EXIT_DONE && nrw_compare(a, b, d, &result, &c->error) != NRW_OK)
        status = cli_failed(c);
    if (status == EXIT_DONE) {
        int n;
        const nrw_layer_error *rows = nrw_comparison_layers(result, &n);
        progress_clear(c->progress);
        if (c->json)
            cli_print_json(json_pack("{s:o}", "layers", json_layers(rows, n)));
        else
            print_layers(rows, n);
    }
    nrw_comparison_free(result);
    nrw_dataset_free(d);
    nrw_model_free(b);
    nrw_model_free(a);
    return status;
}
