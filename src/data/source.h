/* Where samples come from, before they are fitted to a model's input; inside data only. */
#ifndef NRW_DATA_SOURCE_H
#define NRW_DATA_SOURCE_H

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "ir/tensor.h"
#include "wire/zip.h"

/* Memory that grows to the largest need and is used again. */
typedef struct nrw_buffer {
    const nrw_allocator *allocator;
    unsigned char *data;
    size_t cap;
} nrw_buffer;
/* Room for n bytes; the old content is lost. NULL: out of memory. */
void *nrw_buffer_need(nrw_buffer *b, size_t n);
void nrw_buffer_free(nrw_buffer *b);

/* One array of samples: what one input of the model is fed with. */
typedef struct nrw_source {
    const nrw_allocator *allocator;
    const char *name; /* for messages: "x.npz: 'image'" */
    int64_t count;    /* samples */
    /* Of every sample. Images: U8, rank 3 (height, width, channels), height and width unknown. */
    nrw_type type;
    bool is_image;
    nrw_buffer buffer;
    /* Sample i, valid until the next call. */
    nrw_status (*read)(struct nrw_source *s, int64_t i, nrw_tensor *out, nrw_error *err);
    void (*close)(struct nrw_source *s);
} nrw_source;
/* Calls close and frees the buffer; NULL allowed. The source itself lives in the arena. */
void nrw_source_close(nrw_source *s);

/* Sources live in the arena. `in` is the type of the model's input, for what depends on it. */
nrw_status nrw_source_npy(nrw_arena *a, const char *path, nrw_source **out,
                          nrw_error *err) NRW_MUST_CHECK;
/* A member of an archive whose bytes outlive the source. */
nrw_status nrw_source_npz(nrw_arena *a, const char *path, const nrw_zip_entry *e, nrw_source **out,
                          nrw_error *err) NRW_MUST_CHECK;
/* labels: [count] when sub-folders gave them, else NULL; classes: their number. */
nrw_status nrw_source_images(nrw_arena *a, const char *folder, const nrw_type *in, nrw_source **out,
                             const int64_t **labels, int64_t *classes,
                             nrw_error *err) NRW_MUST_CHECK;
/* take_labels: the last column may be labels; *labels is NULL when it is not. */
nrw_status nrw_source_csv(nrw_arena *a, const char *path, const nrw_type *in, bool take_labels,
                          nrw_source **out, const int64_t **labels, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_source_random(nrw_arena *a, int64_t n, uint64_t seed, const nrw_type *in,
                             nrw_source **out, nrw_error *err) NRW_MUST_CHECK;

/* The last column of each row as whole numbers; a first row of words is a heading. */
nrw_status nrw_csv_labels(nrw_arena *a, const char *path, int64_t **out, int64_t *n,
                          nrw_error *err) NRW_MUST_CHECK;

/* Decodes a JPEG or PNG file to 8 bits, [height, width, channels] with 1 (luma), 3 (RGB) or 4
 * (RGBA) channels, in the buffer. */
nrw_status nrw_image_read(const char *path, int channels, nrw_buffer *out, int64_t *height,
                          int64_t *width, nrw_error *err) NRW_MUST_CHECK;

#endif
