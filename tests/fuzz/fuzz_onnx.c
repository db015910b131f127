/* The ONNX reader must take any bytes: refuse them with a message, or make a graph that holds what
 * ir/graph.h promises. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/context.h"
#include "formats/onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nrw_context c;
    nrw_error err = {0};
    nrw_model *m;
    nrw_context_options options = {.threads = 1, .max_memory = (size_t)1 << 30};
    if (nrw_context_init(&c, &options, &err) == NRW_OK) {
        size_t before = c.memory.used;
        nrw_status st = nrw_onnx_load_bytes(&c, data, size, &m, &err);
        if (st == NRW_OK) {
            if (nrw_graph_verify(m, &err) != NRW_OK) {
                fprintf(stderr, "%s\n", err.message);
                abort();
            }
            nrw_model_destroy(m);
        } else if (err.message[0] == 0 || st == NRW_ERR_INTERNAL) {
            abort();
        }
        if (c.memory.used != before) abort();
    }
    nrw_context_destroy(&c);
    return 0;
}
