/* Files: read-only mappings, and output that appears whole or not at all. */
#ifndef NRW_BASE_FILE_H
#define NRW_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

/* A mapped file. data is NULL for an empty file. */
typedef struct nrw_mapping {
    const unsigned char *data;
    size_t size;
} nrw_mapping;
/* Errors name path. Refuses directories. */
nrw_status nrw_map_file(const char *path, nrw_mapping *out, nrw_error *err) NRW_MUST_CHECK;
void nrw_unmap_file(nrw_mapping *m);
/* The pages need not stay in memory; reading brings them back from the file. */
void nrw_mapping_forget(const nrw_mapping *m);

/* Writes path by way of a temporary file in the same folder. Until nrw_output_commit, path is
 * untouched; nrw_output_abort (also after a failure) removes the temporary. */
typedef struct nrw_output nrw_output;
nrw_status nrw_output_open(const nrw_allocator *a, const char *path, nrw_output **out,
                           nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_output_write(nrw_output *o, const void *p, size_t n,
                            nrw_error *err) NRW_MUST_CHECK; /* buffered */
uint64_t nrw_output_tell(const nrw_output *o);
nrw_status nrw_output_commit(nrw_output *o,
                             nrw_error *err) NRW_MUST_CHECK; /* frees o, also on failure */
void nrw_output_abort(nrw_output *o);                        /* frees o; NULL allowed */

/* Joins a relative name to the folder of base_file; refuses absolute names, "..", and symbolic
 * links that leave the folder (NRW_ERR_FORMAT). Result in the arena. */
nrw_status nrw_path_beside(nrw_arena *a, const char *base_file, const char *name, size_t name_size,
                           const char **out, nrw_error *err) NRW_MUST_CHECK;

#endif
