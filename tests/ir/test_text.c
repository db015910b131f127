/* The text form, clones, order and the verifier. */
#include "with_context.h"

#include "ir/graph.h"

static const struct nrw_op *no_op(const char *type, const char *domain) {
    (void)type, (void)domain;
    return NULL;
}

static nrw_model *parse(const char *text, nrw_error *err) {
    nrw_model *m = NULL;
    nrw_status s = nrw_model_parse(&context, text, strlen(text), no_op, &m, err);
    return s == NRW_OK ? m : NULL;
}

static const char *const full =
    "graph main(%x: f32[1,3,N,8], %\"odd \\\"name\\\"\": ?, %w: f32[2], %s: seq(f32[...])) {\n"
    "  input const %w: f32[2] = [1, 2]\n"
    "  const %c: i8[2,2] q(i8, axis=0, scale=[0.5, 0.25], zero=[0, 1]) = [1, -2, 3, -128]\n"
    "  const %t: str[2] = [\"a\\\"b\", \"\"]\n"
    "  const %z: c64[1] = [1.5, -2]\n"
    "  const %b: bool[3] = [true, false, true]\n"
    "  const %u: u64[1] = [18446744073709551615]\n"
    "  const %f: f32[4] = [nan, inf, -inf, 0.100000001]\n"
    "  %y: f32[1,4,N,8] q(u8, scale=0.0199999996, zero=3) = Conv(%x, %c, _, %t, %z, %b, %u, %f) "
    "{group=1, pads=[0, -1], alpha=2.0, e=ints[], s=\"text\", l=[\"a\", \"b\"], t=tensor f32[1] = "
    "[3], "
    "r=raw \"00ff\"} \"conv 1\"\n"
    "  %a: ?, _, %d: f32[...] q(u8, dynamic) = other.domain::Thing(%y, %w) {g=graph body(%i: "
    "i64[]) {\n"
    "    const %k: i64[] = [5]\n"
    "    %j: i64[] = Add(%i, %k) \"add\"\n"
    "    %o: ? = Use(%x) \"use\"\n"
    "    return %j, %o\n"
    "  }} \"thing\"\n"
    "  return %a, %d, %a\n"
    "}\n";

static char *print(const nrw_model *m, nrw_strbuf *b) {
    nrw_strbuf_init(b, &context.memory.allocator);
    assert_int_equal(nrw_model_print(m, b, -1, NULL), NRW_OK);
    return b->data;
}

static void test_round_trip(void **state) {
    (void)state;
    nrw_error err = {0};
    nrw_model *m = parse(full, &err);
    if (m == NULL) fail_msg("%s", err.message);
    nrw_strbuf b;
    assert_string_equal(print(m, &b), full);
    nrw_strbuf_free(&b);
    nrw_model_destroy(m);
}

static void test_clone_prints_the_same(void **state) {
    (void)state;
    nrw_model *m = parse(full, NULL), *copy = NULL;
    assert_int_equal(nrw_model_clone(m, &copy, NULL), NRW_OK);
    nrw_model_destroy(m); /* the copy must not depend on it */
    nrw_strbuf b;
    assert_string_equal(print(copy, &b), full);
    assert_int_equal(nrw_graph_verify(copy, NULL), NRW_OK);
    nrw_strbuf_free(&b);
    nrw_model_destroy(copy);
}

/* A file may hold names that were made up when it was written. */
static void test_made_up_names_are_new(void **state) {
    (void)state;
    nrw_model *m = parse("graph main(%x: f32[2]) {\n"
                         "  %\"v.3\": f32[2] = Relu(%x) \"Relu.7\"\n"
                         "  %\"v.12\": f32[2] = Relu(%\"v.3\") \"b.99999999999\"\n"
                         "  return %\"v.12\"\n"
                         "}\n",
                         NULL),
              *copy = NULL;
    assert_non_null(m);
    assert_true(atoi(nrw_value_new(m->graph, NULL, NULL)->name + strlen("v.")) > 12);
    assert_int_equal(nrw_model_clone(m, &copy, NULL), NRW_OK);
    assert_true(atoi(nrw_value_new(copy->graph, NULL, NULL)->name + strlen("v.")) > 12);
    nrw_model_destroy(copy);
    nrw_model_destroy(m);
}

static void test_errors_say_where(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"graph m(%x: f32[2]) {\n  %y: f32[2] = Relu(%z)\n  return %y\n}",
         "line 2, column 23: %z is not made"},
        {"graph m(%x: f99[2]) {\n  return %x\n}", "'f99' is no element type"},
        {"graph m(%x: f32[2]) {\n  %x: f32[2] = Relu(%x)\n  return %x\n}", "%x is made twice"},
        {"graph m() {\n  const %c: i8[2] = [1, 300]\n  return %c\n}", "300 does not fit int8"},
        {"graph m() {\n  const %c: i8[3] = [1, 2]\n  return %c\n}", "3 elements expected, got 2"},
        {"graph m() {\n  const %c: i8[3] = [1, 2", "expected"},
        {"graph m() {\n  return\n} more", "text after the graph"},
        {"", "'graph' expected"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        nrw_error err = {0};
        assert_null(parse(bad[i].text, &err));
        if (strstr(err.message, bad[i].words) == NULL)
            fail_msg("'%s' not in '%s'", bad[i].words, err.message);
    }
}

static nrw_node *node_at(nrw_model *m, int i) {
    nrw_node *n = m->graph->first;
    while (i-- > 0) n = n->next;
    return n;
}

static void test_sort(void **state) {
    (void)state;
    nrw_model *m = parse("graph m(%x: f32[2]) {\n  %a: f32[2] = A(%x)\n  %b: f32[2] = B(%a)\n"
                         "  %c: f32[2] = C(%b) {g=graph body() {\n  return %a\n}}\n  return %c\n}",
                         NULL);
    assert_non_null(m);
    nrw_node_move(node_at(m, 0), NULL); /* B C A */
    assert_int_equal(nrw_graph_verify(m, NULL), NRW_ERR_SHAPE);
    assert_int_equal(nrw_graph_sort(m->graph, NULL), NRW_OK);
    assert_int_equal(nrw_graph_verify(m, NULL), NRW_OK);
    assert_string_equal(node_at(m, 0)->type, "A");
    assert_string_equal(node_at(m, 2)->type, "C");
    nrw_error err = {0};
    assert_int_equal(nrw_node_set_input(node_at(m, 0), 0, node_at(m, 2)->outputs[0], NULL), NRW_OK);
    assert_int_equal(nrw_graph_sort(m->graph, &err), NRW_ERR_SHAPE);
    assert_non_null(strstr(err.message, "cycle"));
    nrw_model_destroy(m);
}

static void test_replace_keeps_output_names(void **state) {
    (void)state;
    nrw_model *m = parse(
        "graph m(%x: f32[2]) {\n  %a: f32[2] = A(%x)\n  %b: f32[2] = B(%a)\n  return %b\n}", NULL);
    nrw_node *second = node_at(m, 1);
    assert_int_equal(nrw_value_replace(second->outputs[0], second->inputs[0], NULL), NRW_OK);
    nrw_node_remove(second);
    assert_string_equal(m->graph->outputs[0]->name, "b");
    assert_int_equal(m->graph->n_nodes, 1);
    assert_int_equal(nrw_graph_verify(m, NULL), NRW_OK);
    nrw_model_destroy(m);
}

/* Every allocation of parsing and cloning fails once: an error each time, and nothing leaks. */
static void *failing_alloc(void *user, size_t n) {
    int *left = user;
    return (*left)-- > 0 ? nrw_mem_alloc(nrw_system_allocator(), n) : NULL;
}

static void failing_free(void *user, void *p, size_t n) {
    (void)user;
    nrw_mem_free(nrw_system_allocator(), p, n);
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (int allowed = 0;; allowed++) {
        int left = allowed;
        nrw_allocator a = {failing_alloc, failing_free, &left};
        nrw_context c = {.threads = 1};
        nrw_limit_init(&c.memory, &a, 0);
        nrw_model *m = NULL, *copy = NULL;
        nrw_status s = nrw_model_parse(&c, full, strlen(full), no_op, &m, NULL);
        if (s == NRW_OK) s = nrw_model_clone(m, &copy, NULL);
        nrw_model_destroy(m);
        nrw_model_destroy(copy);
        assert_int_equal(c.memory.used, 0);
        if (s == NRW_OK) break;
        assert_int_equal(s, NRW_ERR_MEMORY);
        assert_true(allowed < 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_clone_prints_the_same),
        cmocka_unit_test(test_made_up_names_are_new),
        cmocka_unit_test(test_errors_say_where),
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_replace_keeps_output_names),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("ir", tests, setup, teardown);
}
