/* Conversions between a storage type and one compute type. Set COMPUTE (float, double, int64_t),
 * SUFFIX, and COMPUTE_IS_INTEGER for the last. */
#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
#define LOAD(type)                                                                                 \
    for (int64_t i = 0; i < n; i++) dst[i] = (COMPUTE)((const type *)src)[i];                      \
    return NRW_OK
#ifdef COMPUTE_IS_INTEGER
#define SATURATE(t, x) ((x) < rows[t].min ? rows[t].min : (x) > rows[t].max ? rows[t].max : (x))
#define AS_U64(x)      ((x) < 0 ? 0 : (uint64_t)(x))
#define FROM_FLOAT(x)  double_to_int((double)(x), NRW_I64)
#else
#define SATURATE(t, x) double_to_int((double)(x), t)
#define AS_U64(x)      double_to_u64((double)(x))
#define FROM_FLOAT(x)  (COMPUTE)(x)
#endif
#define STORE(type)                                                                                \
    for (int64_t i = 0; i < n; i++) ((type *)dst)[i] = (type)SATURATE(to, src[i]);                 \
    return NRW_OK

nrw_status PASTE(nrw_to_, SUFFIX)(nrw_dtype from, const void *src, COMPUTE *dst, int64_t n,
                                  nrw_error *err) {
    switch (from) {
    case NRW_F32:
        for (int64_t i = 0; i < n; i++) dst[i] = FROM_FLOAT(((const float *)src)[i]);
        return NRW_OK;
    case NRW_F64:
        for (int64_t i = 0; i < n; i++) dst[i] = FROM_FLOAT(((const double *)src)[i]);
        return NRW_OK;
    case NRW_F16:
    case NRW_BF16:
    case NRW_F8E4M3FN:
    case NRW_F8E4M3FNUZ:
    case NRW_F8E5M2:
    case NRW_F8E5M2FNUZ:
    case NRW_F8E8M0:
    case NRW_F4E2M1:
        for (int64_t i = 0; i < n; i++) dst[i] = FROM_FLOAT(load_narrow_float(from, src, i));
        return NRW_OK;
    case NRW_I8:
    case NRW_I4:
    case NRW_I2:
        LOAD(int8_t);
    case NRW_U8:
    case NRW_U4:
    case NRW_U2:
    case NRW_BOOL:
        LOAD(uint8_t);
    case NRW_I16:
        LOAD(int16_t);
    case NRW_U16:
        LOAD(uint16_t);
    case NRW_I32:
        LOAD(int32_t);
    case NRW_U32:
        LOAD(uint32_t);
    case NRW_I64:
        LOAD(int64_t);
    case NRW_U64:
        LOAD(uint64_t);
    default:
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "%s elements are not numbers",
                 nrw_dtype_get(from)->title);
    }
}

nrw_status PASTE(nrw_from_, SUFFIX)(nrw_dtype to, const COMPUTE *src, void *dst, int64_t n,
                                    nrw_error *err) {
    switch (to) {
    case NRW_F32:
        for (int64_t i = 0; i < n; i++) ((float *)dst)[i] = (float)src[i];
        return NRW_OK;
    case NRW_F64:
        for (int64_t i = 0; i < n; i++) ((double *)dst)[i] = (double)src[i];
        return NRW_OK;
    case NRW_F16:
    case NRW_BF16:
    case NRW_F8E4M3FN:
    case NRW_F8E4M3FNUZ:
    case NRW_F8E5M2:
    case NRW_F8E5M2FNUZ:
    case NRW_F8E8M0:
    case NRW_F4E2M1:
        for (int64_t i = 0; i < n; i++) store_narrow_float(to, dst, i, (float)src[i]);
        return NRW_OK;
    case NRW_BOOL:
        for (int64_t i = 0; i < n; i++) ((uint8_t *)dst)[i] = src[i] != 0;
        return NRW_OK;
    case NRW_I8:
    case NRW_I4:
    case NRW_I2:
        STORE(int8_t);
    case NRW_U8:
    case NRW_U4:
    case NRW_U2:
        STORE(uint8_t);
    case NRW_I16:
        STORE(int16_t);
    case NRW_U16:
        STORE(uint16_t);
    case NRW_I32:
        STORE(int32_t);
    case NRW_U32:
        STORE(uint32_t);
    case NRW_I64:
        STORE(int64_t);
    case NRW_U64:
        for (int64_t i = 0; i < n; i++) ((uint64_t *)dst)[i] = AS_U64(src[i]);
        return NRW_OK;
    default:
        NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "%s elements are not numbers", nrw_dtype_get(to)->title);
    }
}

#undef PASTE_
#undef PASTE
#undef LOAD
#undef STORE
#undef SATURATE
#undef AS_U64
#undef FROM_FLOAT
#undef COMPUTE
#undef COMPUTE_IS_INTEGER
#undef SUFFIX
