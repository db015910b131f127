/* narrow: the command. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "cli.h"

int cli_refuse(const cli *c, const char *fmt, ...) {
    char text[1200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *s = text; *s != 0; s++) {
        if (*s == '\n' || *s == '\r') *s = ' '; /* one line, whatever a file's names hold */
    }
    progress_clear(c->progress);
    fprintf(stderr, "narrow: %s\n", text);
    return EXIT_REFUSED;
}

int cli_failed(const cli *c) {
    const char *message = c->error.message[0] != 0 ? c->error.message : "failed";
    return cli_refuse(c, "%s", message);
}

double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Linux's high-water mark of this program alone: getrusage's goes on from the process that started
 * it. */
long cli_peak_rss_kb(void) {
    char line[128];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "VmHWM: %ld", &kb) == 1) break;
    }
    if (f != NULL) fclose(f);
    if (kb > 0) return kb;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

int64_t cli_file_size(const char *path) {
    struct stat s;
    char beside[4096];
    if (stat(path, &s) != 0) return -1;
    int64_t size = s.st_size;
    if (snprintf(beside, sizeof beside, "%s.data", path) < (int)sizeof beside &&
        stat(beside, &s) == 0)
        size += s.st_size;
    return size;
}

json_t *cli_number(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

void cli_print_json(json_t *object) {
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(object);
}

int cli_open(cli *c) {
    int64_t threads = 0;
    nrw_options o = {.cpu = cli_value(c, "cpu", NULL), .progress = progress_report};
    if (!cli_int(c, "threads", 1, 1024, &threads) || !cli_bytes(c, "max-ram", &o.max_ram))
        return EXIT_REFUSED;
    o.threads = (int)threads;
    o.progress_user = c->progress = progress_create(!cli_flag(c, "quiet"));
    return nrw_open(&o, &c->context, &c->error) == NRW_OK ? EXIT_DONE : cli_failed(c);
}

int cli_load(cli *c, const char *path, nrw_model **out) {
    return nrw_load(c->context, path, out, &c->error) == NRW_OK ? EXIT_DONE : cli_failed(c);
}

int cli_open_data(cli *c, const nrw_model *m, nrw_dataset **out) {
    int64_t samples = 0, seed = 0;
    if (!cli_int(c, "samples", 1, INT64_MAX, &samples) || !cli_int(c, "seed", 0, INT64_MAX, &seed))
        return EXIT_REFUSED;
    nrw_data_options o = {.path = cli_value(c, "data", NULL),
                          .labels = cli_value(c, "labels", NULL),
                          .preprocess = cli_value(c, "preprocess", NULL),
                          .limit = samples,
                          .seed = (uint64_t)seed};
    if (o.path == NULL) return cli_refuse(c, "narrow %s needs --data", c->command->name);
    return nrw_dataset_open(c->context, m, &o, out, &c->error) == NRW_OK ? EXIT_DONE
                                                                         : cli_failed(c);
}

static int run_command(const cli_command *command, int argc, char **argv) {
    cli c = {.command = command};
    int status = cli_parse(&c, argc, argv);
    if (status != EXIT_DONE) return status;
    if (cli_flag(&c, "help")) {
        cli_help(command);
        return EXIT_DONE;
    }
    status = command->run(&c);
    nrw_close(c.context);
    progress_destroy(c.progress);
    return status;
}

int main(int argc, char **argv) {
    cli none = {0};
    int status = EXIT_REFUSED;
    const char *name = argc > 1 ? argv[1] : "";
    if (argc < 2 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        cli_help(NULL);
        return argc < 2 ? EXIT_REFUSED : EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("narrow %s\n", nrw_version());
        return EXIT_DONE;
    }
    const cli_command *command = cli_commands;
    while (command->name != NULL && strcmp(command->name, name) != 0) command++;
    if (command->name != NULL)
        status = run_command(command, argc - 2, argv + 2);
    else
        cli_refuse(&none, "no command '%s'; see narrow help", name);
    if (fflush(stdout) != 0 || ferror(stdout)) return EXIT_REFUSED;
    return status;
}
