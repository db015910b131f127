/* What the commands share: the option table, parsed arguments, messages, progress. */
#ifndef CLI_H
#define CLI_H

#include <jansson.h>

#include "narrow/narrow.h"

enum { EXIT_DONE = 0, EXIT_NOT_REACHED = 1, EXIT_REFUSED = 2 };

typedef struct cli_option {
    const char *name;    /* "mode" for --mode */
    char letter;         /* 'o' for -o; 0: none */
    const char *value;   /* what the value is called in help: "FILE"; NULL: a flag */
    const char *choices; /* "static|dynamic"; NULL: anything */
    const char *help;
    bool repeats;
} cli_option;

typedef struct cli cli;

typedef struct cli_command {
    const char *name, *arguments, *summary;
    int min_positional, max_positional;
    const cli_option *options; /* ended by a NULL name */
    int (*run)(cli *c);
} cli_command;

enum { CLI_MAX_VALUES = 64 };

typedef struct cli_given {
    const cli_option *option;
    const char *value; /* "" for flags */
} cli_given;

struct cli {
    const cli_command *command;
    const char *positional[8];
    int n_positional;
    cli_given given[CLI_MAX_VALUES];
    int n_given;
    bool json;
    nrw_context *context;
    struct progress *progress;
    nrw_error error;
};

extern const cli_command cli_commands[]; /* ended by a NULL name */
extern const cli_option cli_common[];    /* options of every command */

/* Parsing (options.c). Errors: one line on stderr, EXIT_REFUSED. */
int cli_parse(cli *c, int argc, char **argv);
const char *cli_value(const cli *c, const char *option,
                      const char *absent); /* the last one given */
bool cli_flag(const cli *c, const char *option);
/* Numbers: false after a message on stderr when the text is no number in [low, high]. *out is kept
 * if absent. */
bool cli_int(const cli *c, const char *option, int64_t low, int64_t high, int64_t *out);
bool cli_double(const cli *c, const char *option, double low, double high, double *out);
bool cli_bytes(const cli *c, const char *option, size_t *out); /* 512M, 2G */
/* Index of the value among the option's choices; `absent` when not given. */
int cli_choice(const cli *c, const char *option, int absent);

/* Help (help.c). */
void cli_help(const cli_command *command); /* NULL: the whole program */
int cli_help_command(cli *c);

/* Messages (main.c). */
int cli_refuse(const cli *c, const char *fmt, ...)
    NRW_PRINTF(2, 3);                /* prints one line; returns EXIT_REFUSED */
int cli_failed(const cli *c);        /* the same for c->error */
void cli_print_json(json_t *object); /* takes the reference */
/* Opens the context that the options ask for; EXIT_DONE or EXIT_REFUSED. */
int cli_open(cli *c);
int cli_load(cli *c, const char *path, nrw_model **out);
/* What --input gives, by the model's inputs: arrays (the caller frees them) and their tensors. */
int cli_inputs(cli *c, const nrw_summary *s, nrw_array **arrays, nrw_tensor *inputs);
/* Fixes the lengths that --shape gives; EXIT_DONE or EXIT_REFUSED. */
int cli_shapes(cli *c, nrw_model *m);
/* Opens --data (with --labels, --samples, --preprocess, --seed) for a model. */
int cli_open_data(cli *c, const nrw_model *m, nrw_dataset **out);
double cli_now(void); /* seconds */
long cli_peak_rss_kb(void);
int64_t cli_file_size(const char *path); /* with external data beside it; -1 when unreadable */
json_t *cli_number(double x);            /* null for NaN */

/* Progress bars on a terminal's stderr (progress.c). */
int progress_report(void *user, const char *stage, int64_t done, int64_t total);
struct progress *progress_create(bool enabled);
void progress_clear(struct progress *p);
void progress_destroy(struct progress *p);

int cmd_inspect(cli *c);
int cmd_convert(cli *c);
int cmd_quantize(cli *c);
int cmd_run(cli *c);
int cmd_eval(cli *c);
int cmd_compare(cli *c);
int cmd_bench(cli *c);
int cmd_ops(cli *c);

#endif
