/* Help, manual page and completion, all from the table. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

enum { WIDTH = 96, INDENT = 26 };

/* Writes text at the indent, wrapped at words; the cursor stands at column `at`. */
static void wrap(const char *text, int at) {
    while (*text != 0) {
        size_t word = strcspn(text, " ");
        if (at + (int)word >= WIDTH && at > INDENT) {
            printf("\n%*s", INDENT, "");
            at = INDENT;
        }
        printf("%.*s", (int)word, text);
        at += (int)word;
        text += word;
        if (*text == ' ') {
            putchar(' ');
            at++;
            text++;
        }
    }
    putchar('\n');
}

static void show_options(const cli_option *o) {
    for (; o->name != NULL; o++) {
        char left[80];
        int n = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", o->letter != 0 ? '-' : ' ',
                         o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name,
                         o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        printf("%s", left);
        if (n >= INDENT - 1)
            printf("\n%*s", INDENT, "");
        else
            printf("%*s", INDENT - n, "");
        wrap(o->help, INDENT);
        if (o->choices == NULL) continue;
        printf("%*s", INDENT, "");
        wrap(o->choices, INDENT);
    }
}

void cli_help(const cli_command *command) {
    if (command == NULL) {
        printf("Narrow %s makes trained neural networks small and fast.\n\nusage: narrow COMMAND "
               "...\n\n",
               nrw_version());
        for (const cli_command *c = cli_commands; c->name != NULL; c++) {
            printf("  %-10s %s\n", c->name, c->summary);
        }
        printf("\nnarrow help COMMAND tells more. Exit status: 0 done; 1 done, but what was asked "
               "for was\n"
               "not reached; 2 wrong usage or bad input.\n");
        return;
    }
    printf("usage: narrow %s %s\n\n%s\n\noptions:\n", command->name, command->arguments,
           command->summary);
    show_options(command->options);
    show_options(cli_common);
}

static void man_options(const cli_option *o) {
    for (; o->name != NULL; o++) {
        printf(".TP\n.B \\-\\-%s", o->name);
        if (o->letter != 0) printf(", \\-%c", o->letter);
        if (o->value != NULL) printf(" \\fI%s\\fR", o->value);
        printf("\n%s%s%s%s\n", o->help, o->choices != NULL ? " (" : "",
               o->choices != NULL ? o->choices : "", o->choices != NULL ? ")" : "");
    }
}

static void man_page(void) {
    printf(".TH NARROW 1 \"\" \"narrow %s\"\n.SH NAME\nnarrow \\- make trained neural networks "
           "small and fast\n"
           ".SH SYNOPSIS\n.B narrow\n.I COMMAND\n...\n.SH COMMANDS\n",
           nrw_version());
    for (const cli_command *c = cli_commands; c->name != NULL; c++) {
        printf(".SS narrow %s %s\n%s\n", c->name, c->arguments, c->summary);
        man_options(c->options);
    }
    printf(".SH COMMON OPTIONS\n");
    man_options(cli_common);
    printf(".SH EXIT STATUS\n0 done; 1 done, but what was asked for was not reached; 2 wrong usage "
           "or bad input.\n");
}

static void complete_words(const cli_option *o) {
    for (; o->name != NULL; o++) printf(" --%s", o->name);
}

static void bash_completion(void) {
    printf("_narrow() {\n    local cur=${COMP_WORDS[COMP_CWORD]} words=\n    case ${COMP_WORDS[1]} "
           "in\n");
    for (const cli_command *c = cli_commands; c->name != NULL; c++) {
        printf("    %s) words=\"", c->name);
        complete_words(c->options);
        complete_words(cli_common);
        printf("\" ;;\n");
    }
    printf("    esac\n    if [ \"$COMP_CWORD\" = 1 ]; then words=\"");
    for (const cli_command *c = cli_commands; c->name != NULL; c++) printf(" %s", c->name);
    printf("\"; fi\n    case $cur in -*|'') COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
           "    *) [ \"$COMP_CWORD\" = 1 ] && COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;; "
           "esac\n}\n"
           "complete -o default -F _narrow narrow\n");
}

int cli_help_command(cli *c) {
    if (cli_flag(c, "man")) return man_page(), EXIT_DONE;
    if (cli_flag(c, "completion")) return bash_completion(), EXIT_DONE;
    if (c->n_positional == 0) return cli_help(NULL), EXIT_DONE;
    for (const cli_command *k = cli_commands; k->name != NULL; k++) {
        if (strcmp(k->name, c->positional[0]) == 0) return cli_help(k), EXIT_DONE;
    }
    return cli_refuse(c, "no command '%s'; see narrow help", c->positional[0]);
}
