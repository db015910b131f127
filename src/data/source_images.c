/* Samples from a folder of pictures. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/source.h"

typedef struct image_source {
    nrw_source base;
    const char *const *files; /* [count] */
} image_source;

/* A growing list of texts in an arena. */
typedef struct list {
    nrw_arena *arena;
    const char **items;
    size_t n, cap;
} list;

static nrw_status append(list *l, const char *text, nrw_error *err) {
    if (!text || !nrw_arena_grow(l->arena, (void **)&l->items, &l->cap, l->n + 1, sizeof text)) {
        NRW_OOM(err);
    }
    l->items[l->n++] = text;
    return NRW_OK;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_picture(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot &&
           (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") || !strcasecmp(dot, ".png"));
}

/* The pictures and the folders in a folder, each sorted by name; hidden ones are passed over. */
static nrw_status list_folder(const char *folder, list *pictures, list *folders, nrw_error *err) {
    DIR *d = opendir(folder);
    if (!d) NRW_FAIL(err, NRW_ERR_IO, "%s: %s", folder, strerror(errno));
    nrw_status status = NRW_OK;
    for (struct dirent *e; status == NRW_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        struct stat st;
        const char *path = nrw_arena_printf(pictures->arena, "%s/%s", folder, e->d_name);
        if (!path) {
            status = nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
        } else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            status = append(folders, path, err);
        } else if (is_picture(e->d_name)) {
            status = append(pictures, path, err);
        }
    }
    closedir(d);
    if (pictures->n) qsort(pictures->items, pictures->n, sizeof *pictures->items, by_bytes);
    if (folders->n) qsort(folders->items, folders->n, sizeof *folders->items, by_bytes);
    return status;
}

static nrw_status read_image(nrw_source *base, int64_t i, nrw_tensor *out, nrw_error *err) {
    image_source *s = (image_source *)base;
    *out = nrw_tensor_make(NRW_U8, 3, base->type.dims, NULL);
    NRW_TRY(nrw_image_read(s->files[i], (int)out->dims[2], &base->buffer, &out->dims[0],
                           &out->dims[1], err));
    base->name = s->files[i];
    out->data = base->buffer.data;
    return NRW_OK;
}

static void close_nothing(nrw_source *s) {}

/* How many channels the model wants, from the place where an image input has them. */
static int channels_for(const nrw_type *in) {
    if (in->rank == 3) return 1; /* batch, height, width */
    if (in->rank != 4) return 3;
    int64_t first = in->dims[1], last = in->dims[3];
    bool first_fits = first == 1 || first == 3 || first == 4;
    bool last_fits = last == 1 || last == 3 || last == 4;
    if (first_fits && (!last_fits || first == last)) return (int)first;
    return last_fits && !first_fits ? (int)last : 3;
}

/* Pictures of sub-folders, with the number of the folder as label. */
static nrw_status list_classes(const char *folder, const list *folders, list *all,
                               const int64_t **labels, nrw_error *err) {
    int64_t *found = NULL;
    size_t cap = 0;
    for (size_t k = 0; k < folders->n; k++) {
        list pictures = {.arena = all->arena}, deeper = {.arena = all->arena};
        NRW_TRY(list_folder(folders->items[k], &pictures, &deeper, err));
        if (!pictures.n) {
            NRW_FAIL(err, NRW_ERR_DATA, "%s: no .jpg, .jpeg or .png in it", folders->items[k]);
        }
        if (!nrw_arena_grow(all->arena, (void **)&found, &cap, all->n + pictures.n,
                            sizeof *found)) {
            NRW_OOM(err);
        }
        for (size_t i = 0; i < pictures.n; i++) {
            found[all->n] = (int64_t)k;
            NRW_TRY(append(all, pictures.items[i], err));
        }
    }
    *labels = found;
    return NRW_OK;
}

nrw_status nrw_source_images(nrw_arena *a, const char *folder, const nrw_type *in, nrw_source **out,
                             const int64_t **labels, int64_t *classes, nrw_error *err) {
    list pictures = {.arena = a}, folders = {.arena = a};
    *labels = NULL;
    *classes = 0;
    NRW_TRY(list_folder(folder, &pictures, &folders, err));
    if (!pictures.n && folders.n) {
        NRW_TRY(list_classes(folder, &folders, &pictures, labels, err));
        *classes = (int64_t)folders.n;
    } else if (!pictures.n) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: no .jpg, .jpeg or .png in it", folder);
    } else if (folders.n) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: holds both pictures and sub-folders; expected one kind",
                 folder);
    }
    image_source *s = nrw_arena_calloc(a, 1, sizeof *s);
    if (!s) NRW_OOM(err);
    const int64_t dims[3] = {NRW_DIM_UNKNOWN, NRW_DIM_UNKNOWN, channels_for(in)};
    s->files = pictures.items;
    s->base = (nrw_source){.allocator = a->allocator,
                           .name = folder,
                           .count = (int64_t)pictures.n,
                           .type = nrw_type_make(NRW_U8, 3, dims),
                           .is_image = true,
                           .buffer = {.allocator = a->allocator},
                           .read = read_image,
                           .close = close_nothing};
    *out = &s->base;
    return NRW_OK;
}
