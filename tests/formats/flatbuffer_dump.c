/* Prints what a FlatBuffer holds, by a schema of letters: flatbuffer_dump FILE SCHEMA.
 *
 *   b c C h H i I q Q f d    a number: bool, int8, uint8, …, uint64, float, double; "i=5" has a
 * default s                        text v and one of the above   a vector of numbers (no doubles)
 *   S                        a vector of texts
 *   T(…) V(…)                a table of these fields, a vector of such tables
 *   -                        a slot that is left out
 *
 * One line for each field, its path before it. Exits with 2 and a message when the file is damaged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "wire/flatbuffer.h"

static const char letters[] = "bcChHiIqQfd";

static const char *fields(const nrw_fb_table *t, const char *schema, const char *path);

static void print_text(const char *path, nrw_string s) {
    printf("%s=\"", path);
    for (size_t i = 0; i < s.size; i++) printf("%02x", (unsigned char)s.data[i]);
    printf("\"\n");
}

static const char *number(const nrw_fb_table *t, int slot, const char *schema, const char *path) {
    const nrw_fb_kind k = (nrw_fb_kind)(strchr(letters, *schema++) - letters);
    char *end = (char *)schema;
    double absent = 0;
    int64_t whole = 0;
    if (*schema == '=' && k >= NRW_FB_F32)
        absent = strtod(schema + 1, &end);
    else if (*schema == '=')
        whole = strtoll(schema + 1, &end, 10);
    if (k >= NRW_FB_F32)
        printf("%s=%.17g\n", path, nrw_fb_real(t, slot, k, absent));
    else
        printf("%s=%" PRId64 "\n", path, nrw_fb_int(t, slot, k, whole));
    return end;
}

static const char *numbers(const nrw_fb_table *t, int slot, const char *schema, const char *path) {
    const nrw_fb_kind k = (nrw_fb_kind)(strchr(letters, *schema) - letters);
    const nrw_fb_vector v = nrw_fb_vec(t, slot, nrw_fb_kind_size(k));
    printf("%s=[", path);
    for (size_t i = 0; i < v.n; i++) {
        if (k == NRW_FB_F32)
            printf("%.17g,", (double)nrw_fb_f32_at(&v, i));
        else
            printf("%" PRId64 ",", nrw_fb_int_at(&v, k, i));
    }
    printf("]\n");
    return schema + 1;
}

/* Behind the parenthesis that closes the one at schema[-1]. */
static const char *skip(const char *schema) {
    for (int depth = 1; depth > 0; schema++) depth += (*schema == '(') - (*schema == ')');
    return schema;
}

static const char *field(const nrw_fb_table *t, int slot, const char *schema, const char *path) {
    char below[200];
    const char kind = *schema++;
    if (kind == '-') return schema;
    if (kind == 's') {
        print_text(path, nrw_fb_text(t, slot));
        return schema;
    }
    if (kind == 'v') return numbers(t, slot, schema, path);
    if (kind == 'T') {
        const nrw_fb_table child = nrw_fb_child(t, slot);
        printf("%s:%d\n", path, nrw_fb_exists(&child));
        if (nrw_fb_exists(&child)) fields(&child, schema + 1, path);
        return skip(schema + 1);
    }
    if (kind != 'S' && kind != 'V') return number(t, slot, schema - 1, path);
    const nrw_fb_vector v = nrw_fb_vec(t, slot, 4);
    printf("%s:%zu\n", path, v.n);
    for (size_t i = 0; i < v.n; i++) {
        snprintf(below, sizeof below, "%s[%zu]", path, i);
        if (kind == 'S') {
            print_text(below, nrw_fb_text_at(&v, i));
        } else {
            const nrw_fb_table child = nrw_fb_table_at(&v, i);
            fields(&child, schema + 1, below);
        }
    }
    return kind == 'V' ? skip(schema + 1) : schema;
}

/* All fields up to the parenthesis or the end. */
static const char *fields(const nrw_fb_table *t, const char *schema, const char *path) {
    char below[200];
    for (int slot = 0; *schema != 0 && *schema != ')'; slot++) {
        snprintf(below, sizeof below, "%s.%d", path, slot);
        schema = field(t, slot, schema, below);
    }
    return schema;
}

int main(int argc, char **argv) {
    nrw_mapping file;
    nrw_fb fb;
    nrw_error err = {0};
    if (argc != 3) return 1;
    if (nrw_map_file(argv[1], &file, &err) != NRW_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const nrw_fb_table root = nrw_fb_open(&fb, file.data, file.size, NULL);
    fields(&root, argv[2], "");
    const nrw_status s = nrw_fb_check(&fb, &err);
    if (s != NRW_OK) fprintf(stderr, "%s\n", err.message);
    nrw_unmap_file(&file);
    return s == NRW_OK ? 0 : 2;
}
