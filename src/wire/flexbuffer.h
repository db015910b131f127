/* FlexBuffers (flatbuffers.dev, "FlexBuffers"): values that say their own type, from the last byte
 * on backwards. Only maps and numbers are read, which is what options of operators are. */
#ifndef NRW_WIRE_FLEXBUFFER_H
#define NRW_WIRE_FLEXBUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value in bytes that nobody has checked: every access is, and what is not there reads as absent.
 * Offsets lead backwards only, so no walk is endless. */
typedef struct nrw_flex {
    const unsigned char *data; /* NULL: there is no such value */
    size_t size;
    size_t at;                 /* where the value, or the offset to it, lies */
    unsigned char width;       /* bytes of it there */
    unsigned char type, inner; /* inner: bytes of what an offset leads to */
} nrw_flex;

nrw_flex nrw_flex_root(const void *bytes, size_t size);
/* The value of a key of a map. */
nrw_flex nrw_flex_get(const nrw_flex *map, const char *key);
/* There is a value, and it is not null. */
bool nrw_flex_exists(const nrw_flex *v);
/* A number or bool, rounded towards zero where it is a real one; `absent` for anything else. */
int64_t nrw_flex_int(const nrw_flex *v, int64_t absent);
double nrw_flex_real(const nrw_flex *v, double absent);

#endif
