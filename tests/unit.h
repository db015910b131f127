/* What every C test includes: cmocka with the headers it needs, an allocator that fails on demand,
 * and a folder for scratch files. */
#ifndef NRW_TESTS_UNIT_H
#define NRW_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"

/* Asserts that a call succeeds, and shows its message when it does not. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        if ((call) != NRW_OK) fail_msg("%s: %s", #call, (err)->message);                           \
    } while (0)

/* Asserts that a call fails with a code, and that its message holds a text. */
#define assert_fails(call, status, err, text)                                                      \
    do {                                                                                           \
        assert_int_equal((call), (status));                                                        \
        if (!strstr((err)->message, (text))) {                                                     \
            fail_msg("%s: '%s' lacks '%s'", #call, (err)->message, (text));                        \
        }                                                                                          \
    } while (0)

/* An allocator of which allocation number `fail_at` (0, 1, …) fails, and those after it. It counts
 * what lives. Not thread-safe. */
typedef struct failing_allocator {
    nrw_allocator allocator;
    int64_t made, fail_at; /* fail_at < 0: never */
    int64_t live;
} failing_allocator;

static inline void *failing_alloc_(void *user, size_t size) {
    failing_allocator *f = user;
    if (f->fail_at >= 0 && f->made >= f->fail_at) return NULL;
    void *p = nrw_mem_alloc(nrw_system_allocator(), size);
    if (p) {
        f->made++;
        f->live++;
        memset(p, 0xa5, size);
    }
    return p;
}

static inline void failing_free_(void *user, void *p, size_t size) {
    failing_allocator *f = user;
    f->live--;
    nrw_mem_free(nrw_system_allocator(), p, size);
}

static inline void failing_init(failing_allocator *f, int64_t fail_at) {
    *f = (failing_allocator){.allocator = {failing_alloc_, failing_free_, f}, .fail_at = fail_at};
}

/* A fresh folder, to be removed with remove_folder; the caller frees the name. */
static inline char *make_folder(void) {
    const char *base = getenv("TMPDIR");
    char name[512];
    snprintf(name, sizeof name, "%s/narrow-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(name));
    return strdup(name);
}

static inline void remove_folder(char *name) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", name);
    assert_int_equal(system(command), 0);
    free(name);
}

/* folder/name in one of a few rotating buffers. */
static inline const char *in_folder(const char *folder, const char *name) {
    static char paths[8][1024];
    static int at;
    char *path = paths[at++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void put_file(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

#endif
