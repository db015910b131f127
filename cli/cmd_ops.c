/* narrow ops: the operators that Narrow runs. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static void each(void *user, const char *name, const char *domain, const char *formats) {
    json_t *list = user;
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:s}", "name", name, "domain", domain, "formats", formats));
}

int cmd_ops(cli *c) {
    int status = cli_open(c);
    if (status != EXIT_DONE) return status;
    json_t *list = json_array(), *item;
    size_t i;
    if (nrw_list_operators(c->context, each, list, &c->error) != NRW_OK) {
        json_decref(list);
        return cli_failed(c);
    }
    if (c->json) {
        cli_print_json(
            json_pack("{s:i, s:o}", "count", (int)json_array_size(list), "operators", list));
        return EXIT_DONE;
    }
    json_array_foreach(list, i, item) {
        const char *domain = json_string_value(json_object_get(item, "domain"));
        printf("%s%s%-28s %s\n", domain, domain[0] != 0 ? "::" : "",
               json_string_value(json_object_get(item, "name")),
               json_string_value(json_object_get(item, "formats")));
    }
    printf("%zu operators\n", json_array_size(list));
    json_decref(list);
    return EXIT_DONE;
}
