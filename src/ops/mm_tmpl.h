/* Bodies of mm.h for one REAL, in vectors of LANES that compilers cut to the machine's width. */

typedef REAL VEC
    __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

/* A block of 4 rows and LANES columns stays in registers over all of k. */
NRW_WIDE static void ROWS4(int64_t k, const REAL *a, int64_t lda, const REAL *b, int64_t ldb,
                           REAL *c, int64_t ldc, int add) {
    VEC s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    const REAL *a1 = a + lda, *a2 = a1 + lda, *a3 = a2 + lda;
    if (add) {
        s0 = *(VEC *)c;
        s1 = *(VEC *)(c + ldc);
        s2 = *(VEC *)(c + 2 * ldc);
        s3 = *(VEC *)(c + 3 * ldc);
    }
    for (int64_t p = 0; p < k; p++) {
        VEC v = *(const VEC *)(b + p * ldb);
        s0 += a[p] * v;
        s1 += a1[p] * v;
        s2 += a2[p] * v;
        s3 += a3[p] * v;
    }
    *(VEC *)c = s0;
    *(VEC *)(c + ldc) = s1;
    *(VEC *)(c + 2 * ldc) = s2;
    *(VEC *)(c + 3 * ldc) = s3;
}

NRW_WIDE static void ROWS1(int64_t k, const REAL *a, const REAL *b, int64_t ldb, REAL *c, int add) {
    VEC s = {0};
    if (add) s = *(VEC *)c;
    for (int64_t p = 0; p < k; p++) s += a[p] * *(const VEC *)(b + p * ldb);
    *(VEC *)c = s;
}

static void PANEL(int64_t m, int64_t k, const REAL *a, int64_t lda, const REAL *b, int64_t ldb,
                  REAL *c, int64_t ldc, int add) {
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) ROWS4(k, a + i * lda, lda, b, ldb, c + i * ldc, ldc, add);
    for (; i < m; i++) ROWS1(k, a + i * lda, b, ldb, c + i * ldc, add);
}

/* A panel of which only the first `width` columns exist in c. */
static void NARROW_PANEL(int64_t m, int width, int64_t k, const REAL *a, int64_t lda, const REAL *b,
                         REAL *c, int64_t ldc, int add) {
    REAL whole[4 * LANES] = {0};
    for (int64_t i = 0; i < m; i += 4) {
        int64_t rows = m - i < 4 ? m - i : 4;
        for (int64_t r = 0; add && r < rows; r++) {
            for (int l = 0; l < width; l++) whole[r * LANES + l] = c[(i + r) * ldc + l];
        }
        PANEL(rows, k, a + i * lda, lda, b, LANES, whole, LANES, add);
        for (int64_t r = 0; r < rows; r++) {
            for (int l = 0; l < width; l++) c[(i + r) * ldc + l] = whole[r * LANES + l];
        }
    }
}

/* Columns that must be gathered first: column l's elements lie at b + l * col, `row` apart. */
static void PACKED(int64_t m, int width, int64_t k, const REAL *a, int64_t lda, const REAL *b,
                   int64_t row, int64_t col, REAL *c, int64_t ldc, int add) {
    REAL panel[PANEL_ROWS * LANES];
    for (int64_t p = 0; p == 0 || p < k; p += PANEL_ROWS) {
        int64_t n = k - p < PANEL_ROWS ? k - p : PANEL_ROWS;
        for (int l = 0; l < LANES; l++) {
            for (int64_t q = 0; q < n; q++) {
                panel[q * LANES + l] = l < width ? b[(p + q) * row + l * col] : 0;
            }
        }
        if (width == LANES) {
            PANEL(m, n, a + p, lda, panel, LANES, c, ldc, add || p > 0);
        } else {
            NARROW_PANEL(m, width, n, a + p, lda, panel, c, ldc, add || p > 0);
        }
    }
}

void MM(int64_t m, int64_t n, int64_t k, const REAL *a, int64_t lda, const REAL *b, int64_t ldb,
        REAL *c, int64_t ldc, int add) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) PANEL(m, k, a, lda, b + j, ldb, c + j, ldc, add);
    if (j < n) PACKED(m, (int)(n - j), k, a, lda, b + j, ldb, 1, c + j, ldc, add);
}

#ifdef MM_NT
/* One row of a against rows of b: dot products in LANES parts, four at a time. */
NRW_WIDE static void DOTS(int64_t n, int64_t k, const REAL *a, const REAL *b, int64_t ldb, REAL *c,
                          int add) {
    for (int64_t j = 0; j < n; j += 4) {
        int rows = n - j < 4 ? (int)(n - j) : 4;
        VEC s[4] = {{0}};
        const REAL *row[4];
        for (int r = 0; r < 4; r++) row[r] = b + (j + (r < rows ? r : 0)) * ldb;
        int64_t p = 0;
        for (; p + LANES <= k; p += LANES) {
            VEC v = *(const VEC *)(a + p);
            s[0] += v * *(const VEC *)(row[0] + p);
            s[1] += v * *(const VEC *)(row[1] + p);
            s[2] += v * *(const VEC *)(row[2] + p);
            s[3] += v * *(const VEC *)(row[3] + p);
        }
        for (int r = 0; r < rows; r++) {
            REAL lane[LANES];
            memcpy(lane, &s[r], sizeof lane);
            for (int64_t q = p; q < k; q++) lane[q - p] += a[q] * row[r][q];
            for (int half = LANES / 2; half > 0; half /= 2) {
                for (int l = 0; l < half; l++) lane[l] += lane[l + half];
            }
            c[j + r] = add ? c[j + r] + lane[0] : lane[0];
        }
    }
}

void MM_NT(int64_t m, int64_t n, int64_t k, const REAL *a, int64_t lda, const REAL *b, int64_t ldb,
           REAL *c, int64_t ldc, int add) {
    if (m < 4) {
        for (int64_t i = 0; i < m; i++) DOTS(n, k, a + i * lda, b, ldb, c + i * ldc, add);
        return;
    }
    for (int64_t j = 0; j < n; j += LANES) {
        int width = n - j < LANES ? (int)(n - j) : LANES;
        PACKED(m, width, k, a, lda, b + j * ldb, 1, ldb, c + j, ldc, add);
    }
}
#endif

#undef REAL
#undef LANES
#undef VEC
#undef ROWS4
#undef ROWS1
#undef PANEL
#undef NARROW_PANEL
#undef PACKED
#undef MM
#undef DOTS
#undef MM_NT
