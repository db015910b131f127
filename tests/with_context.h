/* For C tests that share one context of one thread: cmocka's group setup and teardown for it. */
#ifndef NRW_TESTS_WITH_CONTEXT_H
#define NRW_TESTS_WITH_CONTEXT_H

#include "unit.h"

#include "base/context.h"

static nrw_context context;

static int setup(void **state) {
    (void)state;
    return nrw_context_init(&context, &(nrw_context_options){.threads = 1}, NULL) != NRW_OK;
}

static int teardown(void **state) {
    (void)state;
    nrw_context_destroy(&context);
    return context.memory.used != 0; /* everything was given back */
}

#endif
