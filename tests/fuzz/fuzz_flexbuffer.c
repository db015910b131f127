/* The reader of FlexBuffers must take any bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "wire/flexbuffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const keys[] = {"", "a", "max_detections", "y_scale"};
    nrw_flex at = nrw_flex_root(data, size);
    for (int depth = 0; depth < 8; depth++) {
        const int64_t whole = nrw_flex_int(&at, -7);
        const double real = nrw_flex_real(&at, -7);
        if (!nrw_flex_exists(&at) && (whole != -7 || real != -7)) abort();
        for (int i = 0; i < 4; i++) {
            const nrw_flex v = nrw_flex_get(&at, keys[i]);
            if (v.data != NULL && (v.at > size || v.width > size - v.at)) abort();
            if (i == depth % 4) at = v;
        }
    }
    return 0;
}
