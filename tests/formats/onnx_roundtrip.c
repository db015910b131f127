/* Reads an ONNX model and writes it again: onnx_roundtrip IN OUT [EXTERNAL_OVER [OPSET]]. With one
 * argument it only reads; onnx_roundtrip --steps lists the upgrades, one "Operator version" a line.
 * Prints the message and exits with 2 on failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/upgrade.h"

static nrw_status convert(const nrw_context *c, int argc, char **argv, nrw_error *err) {
    nrw_model *m;
    nrw_onnx_save_options options = {0};
    if (argc > 3) options.external_over = strtoull(argv[3], NULL, 10);
    if (argc > 4) options.opset = strtoll(argv[4], NULL, 10);
    NRW_TRY(nrw_onnx_load(c, argv[1], &m, err));
    nrw_status st = nrw_graph_verify(m, err);
    if (st == NRW_OK && argc > 2) st = nrw_onnx_save(m, argv[2], &options, err);
    nrw_model_destroy(m);
    return st;
}

int main(int argc, char **argv) {
    nrw_context c;
    nrw_error err = {0};
    nrw_context_options options = {.threads = 1};
    if (argc == 2 && strcmp(argv[1], "--steps") == 0) {
        for (const nrw_onnx_step *s = nrw_onnx_steps; s->op != NULL; s++) {
            printf("%s %d\n", s->op, s->since);
        }
        return 0;
    }
    if (argc < 2) return 2;
    nrw_status st = nrw_context_init(&c, &options, &err);
    if (st == NRW_OK) st = convert(&c, argc, argv, &err);
    nrw_context_destroy(&c);
    if (st != NRW_OK) fprintf(stderr, "%s\n", err.message);
    return st == NRW_OK ? 0 : 2;
}
