/* Adds the products of a transposed convolution where they belong: from[tap][input pixel], floats,
 * into one output channel of T. */
static void NAME(const geometry *g, const float *from, T *to) {
    for (int64_t t = 0; t < g->taps; t++) {
        for (int64_t row = 0; row < g->in_rows; row++, from += g->in[g->n - 1]) {
            int64_t at = output_row(g, t, row);
            if (at < 0) continue;
            int64_t first, last, start = row_range(g, t, &first, &last);
            T *y = to + at + start;
            for (int64_t j = first; j < last; j++) y[j * g->stride[g->n - 1]] += (T)from[j];
        }
    }
}
#undef T
#undef NAME
