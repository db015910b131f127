/* narrow inspect: what is in a model. */
#include <stdio.h>

#include "cli.h"

static json_t *json_ports(const nrw_port *ports, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *shape = json_array();
        for (int k = 0; k < ports[i].rank; k++) {
            const char *name = ports[i].dim_names[k];
            json_t *dim = ports[i].dims[k] >= 0 ? json_integer(ports[i].dims[k])
                          : name != NULL        ? json_string(name)
                                                : json_null();
            json_array_append_new(shape, dim != NULL ? dim : json_null());
        }
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", ports[i].name, "dtype",
                                              nrw_dtype_title(ports[i].dtype), "shape",
                                              ports[i].rank >= 0 ? shape : json_null()));
        if (ports[i].rank < 0) json_decref(shape);
    }
    return list;
}

static void print_ports(const char *what, const nrw_port *ports, int n) {
    for (int i = 0; i < n; i++) {
        printf("%-12s %s: %s[", i == 0 ? what : "", ports[i].name, nrw_dtype_title(ports[i].dtype));
        for (int k = 0; k < ports[i].rank; k++) {
            const char *name = ports[i].dim_names[k] != NULL ? ports[i].dim_names[k] : "?";
            if (k > 0) putchar(',');
            if (ports[i].dims[k] >= 0)
                printf("%lld", (long long)ports[i].dims[k]);
            else
                printf("%s", name);
        }
        printf(ports[i].rank < 0 ? "...]\n" : "]\n");
    }
}

static void print_summary(const nrw_summary *s) {
    printf("%-12s %s\n", "format", s->format);
    print_ports("inputs", s->inputs, s->n_inputs);
    print_ports("outputs", s->outputs, s->n_outputs);
    printf("%-12s %lld in %.2f MB\n", "parameters", (long long)s->parameters,
           (double)s->parameter_bytes / 1e6);
    printf("%-12s %.1f million per run\n", "MACs", (double)s->macs / 1e6);
    printf("%-12s %lld values, %lld nodes\n", "quantized", (long long)s->quantized_values,
           (long long)s->quantized_nodes);
    for (int i = 0; i < s->n_operators; i++) {
        const nrw_operator_count *o = &s->operators[i];
        printf("%-12s %6lld  %s%s\n", i == 0 ? "operators" : "", (long long)o->count, o->name,
               o->supported ? "" : "  (not supported: kept, cannot run)");
    }
}

static json_t *json_summary(const nrw_summary *s) {
    json_t *operators = json_object(), *unsupported = json_array();
    for (int i = 0; i < s->n_operators; i++) {
        json_object_set_new(operators, s->operators[i].name, json_integer(s->operators[i].count));
        if (!s->operators[i].supported)
            json_array_append_new(unsupported, json_string(s->operators[i].name));
    }
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:{s:I, s:I}}", "format", s->format, "inputs",
        json_ports(s->inputs, s->n_inputs), "outputs", json_ports(s->outputs, s->n_outputs),
        "operators", operators, "unsupported", unsupported, "parameters", (json_int_t)s->parameters,
        "parameter_bytes", (json_int_t)s->parameter_bytes, "macs", (json_int_t)s->macs, "quantized",
        "values", (json_int_t)s->quantized_values, "nodes", (json_int_t)s->quantized_nodes);
}

static void write_out(void *user, const char *s, size_t n) {
    (void)user;
    fwrite(s, 1, n, stdout);
}

int cmd_inspect(cli *c) {
    nrw_model *m = NULL;
    int status = cli_open(c);
    if (status == EXIT_DONE) status = cli_load(c, c->positional[0], &m);
    if (status != EXIT_DONE) return status;
    const nrw_summary *s;
    if (cli_flag(c, "text")) {
        if (nrw_print(m, 16, write_out, NULL, &c->error) != NRW_OK) status = cli_failed(c);
    } else if (nrw_inspect(m, &s, &c->error) != NRW_OK) {
        status = cli_failed(c);
    } else if (c->json) {
        cli_print_json(json_summary(s));
    } else {
        print_summary(s);
    }
    nrw_model_free(m);
    return status;
}
