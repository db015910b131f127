/* Reading FlexBuffers. */
#include "wire/flexbuffer.h"

#include <math.h>
#include <string.h>

enum {
    TYPE_NULL = 0,
    TYPE_INT = 1,
    TYPE_UINT = 2,
    TYPE_FLOAT = 3,
    TYPE_FAR_INT = 6, /* behind an offset, as the next two */
    TYPE_FAR_UINT = 7,
    TYPE_FAR_FLOAT = 8,
    TYPE_MAP = 9,
    TYPE_BOOL = 26
};

static const nrw_flex none = {0};

static bool inside(const nrw_flex *v, size_t at, size_t n) {
    return at <= v->size && n <= v->size - at;
}

/* An unsigned number of 1, 2, 4 or 8 bytes that lies inside. */
static uint64_t load(const nrw_flex *v, size_t at, unsigned width) {
    uint64_t bits = 0;
    memcpy(&bits, v->data + at, width);
    return bits;
}

static nrw_flex value_at(const nrw_flex *from, size_t at, unsigned width, unsigned packed) {
    nrw_flex v = {from->data,
                  from->size,
                  at,
                  (unsigned char)width,
                  (unsigned char)(packed >> 2),
                  (unsigned char)(1U << (packed & 3))};
    return inside(from, at, width) ? v : none;
}

nrw_flex nrw_flex_root(const void *bytes, size_t size) {
    const nrw_flex all = {.data = bytes, .size = size};
    if (bytes == NULL || size < 3) return none;
    const unsigned width = all.data[size - 1];
    if ((width != 1 && width != 2 && width != 4 && width != 8) || size < width + 2) return none;
    return value_at(&all, size - 2 - width, width, all.data[size - 2]);
}

/* Where the offset at `at` leads. */
static bool follow(const nrw_flex *v, size_t at, unsigned width, size_t *out) {
    if (!inside(v, at, width)) return false;
    const uint64_t back = load(v, at, width);
    if (back == 0 || back > at) return false;
    *out = at - (size_t)back;
    return true;
}

static bool is_key(const nrw_flex *v, size_t at, const char *key) {
    const size_t n = strlen(key) + 1;
    return inside(v, at, n) && memcmp(v->data + at, key, n) == 0;
}

/* Before a map's values lie their number, the width of its keys' vector and an offset to that;
 * behind the values their types. Keys are sorted; there are few. */
nrw_flex nrw_flex_get(const nrw_flex *map, const char *key) {
    size_t at, keys, name;
    if (map->data == NULL || map->type != TYPE_MAP || !follow(map, map->at, map->width, &at))
        return none;
    const unsigned width = map->inner;
    if (at < 3 * (size_t)width) return none;
    const uint64_t n = load(map, at - width, width), key_width = load(map, at - 2 * width, width);
    if (n > map->size || !inside(map, at, (size_t)n * width + (size_t)n)) return none;
    if (key_width != 1 && key_width != 2 && key_width != 4 && key_width != 8) return none;
    if (!follow(map, at - 3 * (size_t)width, width, &keys)) return none;
    for (size_t i = 0; i < n; i++) {
        if (!follow(map, keys + i * (size_t)key_width, (unsigned)key_width, &name)) return none;
        if (is_key(map, name, key))
            return value_at(map, at + i * width, width, map->data[at + (size_t)n * width + i]);
    }
    return none;
}

bool nrw_flex_exists(const nrw_flex *v) {
    return v->data != NULL && v->type != TYPE_NULL;
}

static double load_real(const nrw_flex *v, size_t at, unsigned width) {
    float narrow;
    double wide;
    if (width == 4) {
        memcpy(&narrow, v->data + at, sizeof narrow);
        return (double)narrow;
    }
    if (width != 8) return 0;
    memcpy(&wide, v->data + at, sizeof wide);
    return wide;
}

static int64_t load_int(const nrw_flex *v, size_t at, unsigned width) {
    uint64_t bits = load(v, at, width);
    if (width < 8 && bits >> (8 * width - 1) != 0) bits |= UINT64_MAX << (8 * width);
    return (int64_t)bits;
}

/* One of *whole and *real; false: it is no number. */
static bool load_number(const nrw_flex *v, bool *is_real, int64_t *whole, double *real) {
    size_t at = v->at;
    unsigned width = v->width;
    *is_real = false;
    if (v->data == NULL) return false;
    if (v->type >= TYPE_FAR_INT && v->type <= TYPE_FAR_FLOAT) {
        if (!follow(v, v->at, v->width, &at) || !inside(v, at, v->inner)) return false;
        width = v->inner;
    }
    switch (v->type) {
    case TYPE_INT:
    case TYPE_FAR_INT:
        *whole = load_int(v, at, width);
        return true;
    case TYPE_UINT:
    case TYPE_FAR_UINT:
    case TYPE_BOOL:
        *whole = (int64_t)load(v, at, width);
        return true;
    case TYPE_FLOAT:
    case TYPE_FAR_FLOAT:
        *is_real = true;
        *real = load_real(v, at, width);
        return width >= 4;
    default:
        return false;
    }
}

int64_t nrw_flex_int(const nrw_flex *v, int64_t absent) {
    bool is_real;
    int64_t whole;
    double real;
    if (!load_number(v, &is_real, &whole, &real)) return absent;
    if (!is_real) return whole;
    return fabs(real) < 9e18 ? (int64_t)real : absent;
}

double nrw_flex_real(const nrw_flex *v, double absent) {
    bool is_real;
    int64_t whole;
    double real;
    if (!load_number(v, &is_real, &whole, &real)) return absent;
    return is_real ? real : (double)whole;
}
