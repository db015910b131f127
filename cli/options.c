/* Arguments against the option table. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const cli_option *find_in(const cli_option *list, const char *name, size_t n, char letter) {
    for (; list->name != NULL; list++) {
        if (letter != 0 ? list->letter == letter
                        : strlen(list->name) == n && memcmp(list->name, name, n) == 0)
            return list;
    }
    return NULL;
}

static const cli_option *find(const cli_command *c, const char *name, size_t n, char letter) {
    const cli_option *o = find_in(c->options, name, n, letter);
    return o != NULL ? o : find_in(cli_common, name, n, letter);
}

static int index_of_choice(const char *choices, const char *value) {
    size_t n = strlen(value);
    int i = 0;
    for (const char *at = choices;; i++) {
        size_t len = strcspn(at, "|");
        if (len == n && memcmp(at, value, n) == 0) return i;
        if (at[len] == 0) return -1;
        at += len + 1;
    }
}

static int take(cli *c, const cli_option *o, const char *shown, const char *value) {
    if (o->choices != NULL && index_of_choice(o->choices, value) < 0)
        return cli_refuse(c, "%s: '%s' is none of %s", shown, value, o->choices);
    for (int i = 0; i < c->n_given && !o->repeats; i++) {
        if (c->given[i].option != o) continue;
        c->given[i].value = value; /* the last one counts */
        return EXIT_DONE;
    }
    if (c->n_given == CLI_MAX_VALUES) return cli_refuse(c, "too many options");
    c->given[c->n_given++] = (cli_given){o, value};
    return EXIT_DONE;
}

/* One option at argv[*i]. */
static int take_option(cli *c, int argc, char **argv, int *i) {
    const char *arg = argv[*i], *value = NULL;
    bool is_long = arg[1] == '-';
    size_t n = is_long ? strcspn(arg + 2, "=") : 0;
    const cli_option *o = is_long       ? find(c->command, arg + 2, n, 0)
                          : arg[2] == 0 ? find(c->command, NULL, 0, arg[1])
                                        : NULL;
    if (o == NULL) return cli_refuse(c, "no option %s; see narrow help %s", arg, c->command->name);
    if (is_long && arg[2 + n] == '=') value = arg + 2 + n + 1;
    if (o->value == NULL && value != NULL) return cli_refuse(c, "--%s takes no value", o->name);
    if (o->value != NULL && value == NULL) {
        if (*i + 1 >= argc) return cli_refuse(c, "%s needs a value (%s)", arg, o->value);
        value = argv[++*i];
    }
    char shown[64];
    snprintf(shown, sizeof shown, "%.*s", is_long ? (int)n + 2 : 2, arg);
    return take(c, o, shown, value != NULL ? value : "");
}

int cli_parse(cli *c, int argc, char **argv) {
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (!options_end && strcmp(arg, "--") == 0) {
            options_end = true;
        } else if (!options_end && arg[0] == '-' && arg[1] != 0) {
            int status = take_option(c, argc, argv, &i);
            if (status != EXIT_DONE) return status;
        } else if (c->n_positional == c->command->max_positional) {
            return cli_refuse(c, "'%s' is one argument too many; usage: narrow %s %s", arg,
                              c->command->name, c->command->arguments);
        } else {
            c->positional[c->n_positional++] = arg;
        }
    }
    c->json = cli_flag(c, "json");
    if (!cli_flag(c, "help") && c->n_positional < c->command->min_positional)
        return cli_refuse(c, "usage: narrow %s %s", c->command->name, c->command->arguments);
    return EXIT_DONE;
}

const char *cli_value(const cli *c, const char *option, const char *absent) {
    for (int i = 0; i < c->n_given; i++) {
        if (strcmp(c->given[i].option->name, option) == 0) return c->given[i].value;
    }
    return absent;
}

bool cli_flag(const cli *c, const char *option) {
    return cli_value(c, option, NULL) != NULL;
}

int cli_choice(const cli *c, const char *option, int absent) {
    for (int i = 0; i < c->n_given; i++) {
        if (strcmp(c->given[i].option->name, option) == 0)
            return index_of_choice(c->given[i].option->choices, c->given[i].value);
    }
    return absent;
}

bool cli_int(const cli *c, const char *option, int64_t low, int64_t high, int64_t *out) {
    const char *text = cli_value(c, option, NULL);
    if (text == NULL) return true;
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end != 0 || errno != 0 || v < low || v > high) {
        cli_refuse(c, "--%s: '%s' is no whole number from %lld to %lld", option, text,
                   (long long)low, (long long)high);
        return false;
    }
    *out = v;
    return true;
}

bool cli_double(const cli *c, const char *option, double low, double high, double *out) {
    const char *text = cli_value(c, option, NULL);
    if (text == NULL) return true;
    char *end;
    double v = strtod(text, &end);
    bool percent = *end == '%';
    if (percent) {
        v /= 100;
        end++;
    }
    if (end == text || *end != 0 || !(v >= low && v <= high)) {
        cli_refuse(c, "--%s: '%s' is no number from %g to %g", option, text, low, high);
        return false;
    }
    *out = v;
    return true;
}

bool cli_bytes(const cli *c, const char *option, size_t *out) {
    const char *text = cli_value(c, option, NULL);
    if (text == NULL) return true;
    char *end;
    double v = strtod(text, &end);
    static const char units[] = "KMGT";
    const char *unit = *end != 0 ? strchr(units, *end) : NULL;
    if (unit != NULL) {
        v = ldexp(v, 10 * (int)(unit - units + 1));
        end++;
    }
    if (end == text || *end != 0 || !(v >= 1 && v < ldexp(1, 62))) {
        cli_refuse(c, "--%s: '%s' is no size such as 512M or 2G", option, text);
        return false;
    }
    *out = (size_t)v;
    return true;
}
