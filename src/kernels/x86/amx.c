/* Integer kernels by tiles (AMX): blocks of 32 rows x 32 columns in four accumulator tiles, or of
 * 64 x 16 where rows are few and weights many. What has no use for tiles is the AVX-512 VNNI
 * tier's. */
#include <immintrin.h>
#include <string.h>

#include "kernels/x86/ahead.h"
#include "kernels/x86/rows_finish.h"
#include "kernels/x86/tiles.h"

/* VECTOR_ROWS: so few rows leave tiles mostly empty. */
enum { BLOCK = 32, TILE = 16, STAYS_BYTES = 1024 << 10, KEPT_BYTES = 24 << 10, VECTOR_ROWS = 2 };

static void set_tile(tile_config *t, int tile, int rows, int bytes) {
    t->rows[tile] = (uint8_t)rows;
    t->row_bytes[tile] = (uint16_t)bytes;
}

/* Tiles 0 to 3 accumulate, 4 and 5 hold rows of activations, 6 and 7 weights. */
static void configure(int top, int bottom, int depth) {
    _Alignas(64) tile_config t = {.palette = 1};
    for (int i = 0; i < 4; i++) set_tile(&t, i, i < 2 ? top : bottom, 64);
    for (int i = 4; i < 6; i++) set_tile(&t, i, i == 4 ? top : bottom, depth);
    for (int i = 6; i < 8; i++) set_tile(&t, i, depth / 4, 64);
    _tile_loadconfig(&t);
}

typedef struct sweep {
    const nrw_rows_i8 *r;
    int rows;          /* of a block */
    nrw_finish before; /* what is to be finished */
    int32_t *lower;    /* where tiles 2 and 3 still have to go; NULL: nowhere */
    int slot, slots;   /* of the ring of sums: the next, and how many are in use */
    int32_t *ring;     /* [SLOTS][BLOCK][32] */
    nrw_ahead ahead;
} sweep;

/* Some steps of a block of rows times one panel. Products go on by themselves once issued, so that
 * the block before is finished meanwhile, and its lower sums are stored behind the first products
 * of this one: stored at once, they would make these wait. */
typedef struct task {
    const uint8_t *a;
    const int8_t *b;
    const int32_t *add; /* [32], of the epilogue */
    int32_t *acc; /* [rows][32]: sums of earlier steps come from here, and the result goes there */
    int from, to; /* steps */
    int some;     /* rows of the block before to be finished at each half of a step */
    bool has_b;   /* tiles 6 and 7 hold the only step's weights already */
} task;

/* Panels go in chunks of steps, which stay in the first-level cache while a group of blocks uses
 * them. */
enum { CHUNK_BYTES = 34 << 10, GROUP = 4, SLOTS = GROUP + 1, AHEAD_BYTES = 8 << 10 };

NRW_INLINE void store_lower(int32_t *to) {
    if (to == NULL) return;
    _tile_stored(2, to, 128);
    _tile_stored(3, to + TILE, 128);
}

/* once: rows are read once for each panel, and need not drive the weights out of the cache. */
NRW_INLINE void load_rows(const int tile, const uint8_t *a, int64_t stride, const bool once) {
    if (tile == 4 && once) _tile_stream_loadd(4, a, stride);
    if (tile == 4 && !once) _tile_loadd(4, a, stride);
    if (tile == 5 && once) _tile_stream_loadd(5, a, stride);
    if (tile == 5 && !once) _tile_loadd(5, a, stride);
}

/* The first step of a block starts from the epilogue's `add`, the same for all rows. */
NRW_INLINE void start_upper(const task *t) {
    const int32_t *from = t->from == 0 ? t->add : t->acc;
    const int64_t stride = t->from == 0 ? 0 : 128;
    _tile_loadd(0, from, stride);
    _tile_loadd(1, from + TILE, stride);
}

NRW_INLINE void start_lower(const task *t) {
    const int32_t *from = t->from == 0 ? t->add : t->acc + TILE * 32;
    const int64_t stride = t->from == 0 ? 0 : 128;
    _tile_loadd(2, from, stride);
    _tile_loadd(3, from + TILE, stride);
}

NRW_INLINE void multiply(sweep *w, const task *t, const bool two, const bool once,
                         const nrw_finish_kind kind) {
    const nrw_rows_i8 *r = w->r;
    const int64_t half = (int64_t)r->depth * TILE, stride = r->a_stride;
    const int8_t *b = t->b + t->from * 2 * half;
    nrw_finish before = w->before;
    /* Floats fill four times the lines; between the products their stores made these wait. */
    const bool late = once && (kind == FINISH_F32 || kind == FINISH_I32);
    start_upper(t);
    for (int s = t->from; s < t->to; s++, b += 2 * half) {
        const uint8_t *from = t->a + r->offset[s];
        if (!t->has_b) _tile_loadd(6, b, 64);
        load_rows(4, from, stride, once);
        if (!t->has_b) _tile_loadd(7, b + half, 64);
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        if (two && s == t->from) store_lower(w->lower);
        if (!late) finish_some(&before, t->some, kind);
        if (two) {
            if (s == t->from) start_lower(t);
            load_rows(5, from + TILE * stride, stride, once);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
        if (w->ahead.lines > 0) fetch_ahead(&w->ahead);
        if (s + 1 == t->to) {
            _tile_stored(0, t->acc, 128);
            _tile_stored(1, t->acc + TILE, 128);
        }
        finish_some(&before, late ? 2 * t->some : t->some, kind);
    }
    w->lower = two ? t->acc + TILE * 32 : NULL;
    w->before.rows = 0;
}

/* Blocks [block, block + n) times a panel. The last block of rows starts earlier, so that it is
 * whole: some rows are computed twice. */
NRW_INLINE void run_group(sweep *w, int64_t panel, int64_t block, int64_t n, int chunks,
                          const bool two, const bool once, const nrw_finish_kind kind) {
    const nrw_rows_i8 *r = w->r;
    task t = {.b = r->b + panel * r->panel_bytes, .add = r->epilogue.add + panel * NRW_ROWS_PANEL};
    int slot = w->slot;
    for (int c = 0; c < chunks; c++, t.from = t.to) {
        slot = w->slot;
        t.to = r->steps * (c + 1) / chunks;
        /* Evenly while weights come from far; else at once, so that later steps may run ahead. */
        t.some = once ? (BLOCK / 2 - 1) / (t.to - t.from) / 2 * 2 + 2 : BLOCK / 2;
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = (block + i) * BLOCK;
            const int64_t row = at + w->rows <= r->rows ? at : r->rows - w->rows;
            t.a = r->a + row * r->a_stride;
            t.acc = w->ring + slot * BLOCK * 32;
            slot = slot + 1 < w->slots ? slot + 1 : 0;
            t.has_b = r->steps == 1 && i > 0;
            multiply(w, &t, two, once, kind);
            if (c + 1 == chunks) w->before = finish_of(r, panel, row, t.acc, w->rows, kind);
        }
    }
    w->slot = slot;
}

/* The weights that the next panels need are fetched while `shares` steps or more pass: a panel's
 * share of them, and no further than two panels ahead. */
NRW_INLINE void fetch_for(sweep *w, int64_t panel, int64_t shares) {
    const nrw_rows_i8 *r = w->r;
    const int64_t bytes = r->panel_bytes, most = bytes > AHEAD_BYTES ? bytes : AHEAD_BYTES;
    const int64_t last = (panel + 1) * bytes + most, all = r->panels * bytes;
    w->ahead.end = r->b + (last < all ? last : all);
    w->ahead.lines = (int)((bytes / 64 + shares - 1) / shares);
}

/* Weights that stay in the second-level cache are swept for each group of blocks. Others are read
 * once, and the rows swept for each panel; so it is where a block's rows would fill half of the
 * first-level cache. */
NRW_INLINE void run_all(const nrw_rows_i8 *r, const bool two, const bool once,
                        const nrw_finish_kind kind) {
    _Alignas(64) int32_t ring[SLOTS * BLOCK * 32];
    sweep w = {.r = r, .ring = ring, .rows = r->rows < BLOCK ? (int)r->rows : BLOCK};
    w.before.r = r;
    const int64_t blocks = (r->rows + BLOCK - 1) / BLOCK, all = r->panels * r->panel_bytes;
    const int64_t group = once || all > KEPT_BYTES ? GROUP : 1;
    const int64_t groups = (blocks + group - 1) / group;
    const int chunks =
        group > 1 && blocks > 1 ? (int)((r->panel_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES) : 1;
    const int64_t outer = once ? r->panels : groups, inner = once ? groups : r->panels;
    w.slots = chunks > 1 ? SLOTS : 2;
    w.ahead.next = r->b + r->panel_bytes;
    for (int64_t i = 0; i < outer; i++) {
        if (!once && i > 0) w.ahead.lines = 0;
        for (int64_t j = 0; j < inner; j++) {
            const int64_t panel = once ? i : j, block = (once ? j : i) * group;
            const int64_t n = blocks - block < group ? blocks - block : group;
            if (once ? j == 0 : i == 0) fetch_for(&w, panel, (once ? blocks : n) * r->steps);
            run_group(&w, panel, block, n, chunks, two, once, kind);
        }
    }
    store_lower(w.lower);
    finish_some(&w.before, BLOCK, kind);
}

/* Few rows times weights that are read once: tiles 0 to 3 accumulate up to 64 rows of one half of a
 * panel, so that each of the weights is loaded once. Tiles 4 and 5 hold full rows of activations, 6
 * the last, 7 weights. */
enum { TALL = 4 * TILE };

static void configure_tall(int rows, int depth) {
    _Alignas(64) tile_config t = {.palette = 1};
    const int count = (rows + TILE - 1) / TILE, last = rows - TILE * (count - 1);
    for (int i = 0; i < 4; i++) set_tile(&t, i, i + 1 < count ? TILE : last, 64);
    for (int i = 4; i < 7; i++) set_tile(&t, i, i < 6 ? TILE : last, depth);
    set_tile(&t, 7, depth / 4, 64);
    _tile_loadconfig(&t);
}

/* acc: [rows][32], of which one half's columns are written. */
NRW_INLINE void multiply_tall(sweep *w, int64_t panel, int half, int32_t *acc, const bool four,
                              const nrw_finish_kind kind) {
    const nrw_rows_i8 *r = w->r;
    const int64_t bytes = (int64_t)r->depth * TILE, stride = r->a_stride;
    const int8_t *b = r->b + panel * r->panel_bytes + half * bytes;
    const int32_t *add = r->epilogue.add + panel * NRW_ROWS_PANEL + half * TILE;
    _tile_loadd(0, add, 0);
    _tile_loadd(1, add, 0);
    _tile_loadd(2, add, 0);
    if (four) _tile_loadd(3, add, 0);
    for (int s = 0; s < r->steps; s++, b += 2 * bytes) {
        const uint8_t *from = r->a + r->offset[s];
        _tile_loadd(7, b, 64);
        _tile_loadd(4, from, stride);
        _tile_dpbusd(0, 4, 7);
        _tile_loadd(5, from + TILE * stride, stride);
        _tile_dpbusd(1, 5, 7);
        from += 2 * TILE * stride;
        if (four) {
            _tile_loadd(4, from, stride);
            _tile_dpbusd(2, 4, 7);
            _tile_loadd(6, from + TILE * stride, stride);
            _tile_dpbusd(3, 6, 7);
        } else {
            _tile_loadd(6, from, stride);
            _tile_dpbusd(2, 6, 7);
        }
        fetch_ahead(&w->ahead);
        finish_some(&w->before, TILE, kind);
    }
    acc += half * TILE;
    _tile_stored(0, acc, 128);
    _tile_stored(1, acc + TILE * 32, 128);
    _tile_stored(2, acc + 2 * TILE * 32, 128);
    if (four) _tile_stored(3, acc + 3 * TILE * 32, 128);
}

NRW_INLINE void run_tall(const nrw_rows_i8 *r, const bool four, const nrw_finish_kind kind) {
    _Alignas(64) int32_t acc[2][TALL * 32];
    sweep w = {.r = r, .before.r = r, .ahead.next = r->b + r->panel_bytes};
    for (int64_t i = 0; i < r->panels; i++) {
        fetch_for(&w, i, 2 * r->steps);
        for (int half = 0; half < 2; half++) multiply_tall(&w, i, half, acc[i % 2], four, kind);
        finish_some(&w.before, TALL, kind);
        w.before = finish_of(r, i, 0, acc[i % 2], (int)r->rows, kind);
    }
    finish_some(&w.before, TALL, kind);
}

NRW_INLINE bool is_tall(const nrw_rows_i8 *r) {
    return r->rows > BLOCK && r->rows <= TALL && r->panels * r->panel_bytes > STAYS_BYTES;
}

NRW_INLINE void run_kind(const nrw_rows_i8 *r, const nrw_finish_kind kind) {
    const int64_t row = (int64_t)r->steps * r->depth;
    const bool are_long = BLOCK * row >= KEPT_BYTES && r->a_stride >= row;
    const bool once = r->panels * r->panel_bytes > STAYS_BYTES || are_long;
    if (is_tall(r))
        r->rows > 3 * TILE ? run_tall(r, true, kind) : run_tall(r, false, kind);
    else if (r->rows <= TILE)
        run_all(r, false, true, kind);
    else if (once)
        run_all(r, true, true, kind);
    else
        run_all(r, true, false, kind);
}

static void rows_i8(const nrw_rows_i8 *r) {
    if (r->rows <= VECTOR_ROWS && r->epilogue.table == NULL) {
        nrw_rows_i8_avx512vnni(r);
        return;
    }
    const int top = r->rows < TILE ? (int)r->rows : TILE;
    const int bottom = r->rows >= BLOCK ? TILE : r->rows > TILE ? (int)r->rows - TILE : 1;
    if (is_tall(r))
        configure_tall((int)r->rows, r->depth);
    else
        configure(top, bottom, r->depth);
    WITH_FINISH_KIND(run_kind, r);
    _tile_release();
}

const nrw_kernels nrw_kernels_amx = {
    .tier = "amx",
    NRW_WITH_AVX512VNNI,
    .rows_i8 = rows_i8,
    .rows_look_up = true,
    .rows_gap = 64,
    .attention_f32 = nrw_attention_f32_amx,
    .attention_room = nrw_attention_room_amx,
    .table_u8 = nrw_table_u8_avx512vbmi, /* processors with tiles have it */
};
