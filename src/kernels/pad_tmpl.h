/* Pads an image of elements of type T, and sorts its columns by their index modulo the stride. */

/* n elements from s, step apart. */
static inline void NAME(strided)(T *d, const T *s, int64_t n, int64_t step) {
    if (step == 1) {
        memcpy(d, s, (size_t)n * sizeof *d);
    } else if (step == 2) { /* a loop that vectorises */
        for (int64_t j = 0; j < n; j++) d[j] = s[2 * j];
    } else {
        for (int64_t j = 0; j < n; j++) d[j] = s[j * step];
    }
}

/* All rows, columns of one phase. */
NRW_WIDE static void NAME(phase)(const nrw_conv *c, const nrw_plane *p, int64_t phase, const T *src,
                                 T *dst, T fill) {
    span in = phase_span(c, p, phase);
    dst += phase * p->phase;
    for (int64_t d = 0; d < p->depth; d++) {
        for (int64_t h = 0; h < p->height; h++, dst += p->pitch) {
            if (!is_read(c, 0, d) || !is_read(c, 1, h)) continue;
            int64_t id = d - c->pad[0], ih = h - c->pad[1];
            bool inside = id >= 0 && id < c->in[0] && ih >= 0 && ih < c->in[1];
            int64_t begin = inside ? in.begin : p->phase, end = inside ? in.end : p->phase;
            for (int64_t j = 0; j < begin; j++) dst[j] = fill;
            if (!inside) continue;
            const T *s = src + (id * c->in[1] + ih) * c->in[2] + phase - c->pad[2];
            NAME(strided)(dst + begin, s + begin * c->stride[2], end - begin, c->stride[2]);
            for (int64_t j = end; j < p->phase; j++) dst[j] = fill;
        }
    }
}

#undef T
#undef NAME
