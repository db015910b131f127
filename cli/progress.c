/* A progress bar on a terminal: stage, share, rate, time left. Nothing where stderr is no terminal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

struct progress {
    bool enabled, shown;
    char stage[64];
    double start, last;
};

struct progress *progress_create(bool enabled) {
    struct progress *p = calloc(1, sizeof *p);
    if (p != NULL) p->enabled = enabled && isatty(STDERR_FILENO);
    return p;
}

void progress_clear(struct progress *p) {
    if (p == NULL || !p->shown) return;
    fprintf(stderr, "\r\033[K");
    p->shown = false;
}

void progress_destroy(struct progress *p) {
    progress_clear(p);
    free(p);
}

int progress_report(void *user, const char *stage, int64_t done, int64_t total) {
    struct progress *p = user;
    if (p == NULL || !p->enabled) return 0;
    double now = cli_now();
    if (strcmp(p->stage, stage) != 0) {
        snprintf(p->stage, sizeof p->stage, "%s", stage);
        p->start = now;
        p->last = 0;
    }
    if (now - p->last < 0.1 && done != total) return 0;
    p->last = now;
    p->shown = true;
    double seconds = now - p->start, rate = seconds > 0 ? (double)done / seconds : 0;
    fprintf(stderr, "\r\033[K%s", stage);
    if (total <= 0) {
        fprintf(stderr, " %lld", (long long)done);
    } else {
        char bar[25] = "........................";
        for (int i = 0; i < (int)(24 * done / total) && i < 24; i++) bar[i] = '#';
        fprintf(stderr, " [%s] %lld/%lld", bar, (long long)done, (long long)total);
        if (rate > 0 && done < total)
            fprintf(stderr, "  %.1f/s  %.0f s left", rate, (double)(total - done) / rate);
    }
    fflush(stderr);
    return 0;
}
