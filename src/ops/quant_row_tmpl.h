/* Per-tensor rows between one integer type and float. In: T, TN; undefined again. */

NRW_WIDE static void NRW_CAT(dequantize_, TN)(const void *from, float scale, int32_t zero, float *x,
                                              int64_t n) {
    const T *q = from;
    for (int64_t i = 0; i < n; i++) x[i] = scale * (float)((int32_t)q[i] - zero);
}

/* Adding and taking away 1.5 * 2^23 rounds to even; beyond 2^20 every value is clamped anyway. NaN
 * becomes the zero point. */
NRW_WIDE static void NRW_CAT(quantize_, TN)(const float *x, float scale, int32_t zero, float lo,
                                            float hi, void *to, int64_t n) {
    T *q = to;
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        v = v != v ? 0.0f : v;
        v = v > 1048576.0f ? 1048576.0f : v;
        v = v < -1048576.0f ? -1048576.0f : v;
        v = (v + NRW_RINT_MAGIC) - NRW_RINT_MAGIC + (float)zero;
        v = v < lo ? lo : v;
        v = v > hi ? hi : v;
        q[i] = (T)(int32_t)v;
    }
}

#undef T
#undef TN
