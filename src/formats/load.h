/* What readers of all formats share: where the bytes are kept, and whose name errors begin with. */
#ifndef NRW_FORMATS_LOAD_H
#define NRW_FORMATS_LOAD_H

#include "base/context.h"
#include "base/error.h"
#include "base/file.h"
#include "ir/graph.h"

/* Fills an empty model from the bytes, which live as long as the model. path NULL: from memory. */
typedef nrw_status (*nrw_read_fn)(nrw_model *m, const char *path, nrw_mapping bytes,
                                  nrw_error *err);

/* The file stays mapped. */
nrw_status nrw_load_mapped(const nrw_context *c, const char *path, nrw_read_fn read,
                           nrw_model **out, nrw_error *err) NRW_MUST_CHECK;
nrw_status nrw_load_copied(const nrw_context *c, const void *bytes, size_t size, nrw_read_fn read,
                           nrw_model **out, nrw_error *err) NRW_MUST_CHECK;

#endif
