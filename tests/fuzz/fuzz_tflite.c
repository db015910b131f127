/* The whole way of a .tflite file to a plan must take any bytes: refuse them with a message, or
 * make a graph that holds what ir/graph.h promises and a plan or a refusal of it. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/context.h"
#include "ir/graph.h"
#include "narrow/narrow.h"
#include "narrow/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_message(nrw_status s, const nrw_error *err) {
    if (s != NRW_OK && (s == NRW_ERR_INTERNAL || err->message[0] == 0)) {
        fprintf(stderr, "%s: %s\n", nrw_status_name(s), err->message);
        abort();
    }
}

static void plan(const nrw_model *m) {
    nrw_error err = {0};
    nrw_plan *p = NULL;
    expect_message(nrw_plan_create(m, NULL, &p, &err), &err);
    nrw_plan_destroy(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nrw_context c;
    nrw_error err = {0};
    nrw_model *m = NULL;
    nrw_context_options options = {.threads = 1, .max_memory = (size_t)1 << 26};
    if (nrw_context_init(&c, &options, &err) == NRW_OK) {
        const size_t before = c.memory.used;
        nrw_status s = nrw_load_bytes(&c, data, size, &m, &err);
        expect_message(s, &err);
        if (s == NRW_OK) {
            expect_message(nrw_graph_verify(m, &err), &err);
            plan(m);
            nrw_model_free(m);
        }
        if (c.memory.used != before) abort();
    }
    nrw_context_destroy(&c);
    return 0;
}
