/* NonMaxSuppression: of overlapping boxes the one with the best score stays. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/move.h"
#include "ops/order.h"

static nrw_status same_length(nrw_infer *c, const char *what, int64_t boxes, int64_t scores) {
    if (boxes < 0 || scores < 0 || boxes == scores) return NRW_OK;
    NRW_FAIL_INPUT(c, 1, "scores", "%lld %s where boxes has %lld", (long long)scores, what,
                   (long long)boxes);
}

static nrw_status suppress_infer(nrw_infer *c) {
    const nrw_type *boxes = c->in[0], *scores = c->in[1];
    int64_t dims[2] = {NRW_DIM_UNKNOWN, 3};
    if (boxes->rank >= 0 && (boxes->rank != 3 || (boxes->dims[2] >= 0 && boxes->dims[2] != 4)))
        NRW_FAIL_INPUT(c, 0, "boxes", "expected [batch, boxes, 4]");
    if (scores->rank >= 0 && scores->rank != 3)
        NRW_FAIL_INPUT(c, 1, "scores", "expected [batch, classes, boxes]");
    if (boxes->rank == 3 && scores->rank == 3) {
        NRW_TRY(same_length(c, "samples", boxes->dims[0], scores->dims[0]));
        NRW_TRY(same_length(c, "boxes", boxes->dims[1], scores->dims[2]));
    }
    c->out[0] = nrw_type_make(NRW_I64, 2, dims);
    return NRW_OK;
}

typedef struct span {
    float lo, hi;
} span;

/* A box as its extent along y and x, whichever way its file writes it. */
static void box_spans(const float *b, bool centre, span s[2]) {
    for (int a = 0; a < 2; a++) {
        if (centre) {
            float half = b[3 - a] / 2;
            s[a] = (span){b[1 - a] - half, b[1 - a] + half};
        } else {
            bool ordered = b[a] <= b[a + 2];
            s[a] = (span){ordered ? b[a] : b[a + 2], ordered ? b[a + 2] : b[a]};
        }
    }
}

/* Computed in float, in this order: a threshold is met or not by the last bit. */
static bool overlaps(const float *a, const float *b, bool centre, float threshold) {
    span p[2], q[2];
    float common[2];
    box_spans(a, centre, p);
    box_spans(b, centre, q);
    for (int k = 0; k < 2; k++) {
        float lo = p[k].lo > q[k].lo ? p[k].lo : q[k].lo;
        float hi = p[k].hi < q[k].hi ? p[k].hi : q[k].hi;
        if (!(hi > lo)) return false;
        common[k] = hi - lo;
    }
    float area = common[1] * common[0];
    float area_p = (p[1].hi - p[1].lo) * (p[0].hi - p[0].lo);
    float area_q = (q[1].hi - q[1].lo) * (q[0].hi - q[0].lo);
    float all = area_p + area_q - area;
    if (!(area > 0 && area_p > 0 && area_q > 0 && all > 0)) return false;
    return area / all > threshold;
}

static bool scores_before(const void *ctx, int64_t a, int64_t b) {
    const float *scores = ctx;
    return scores[a] > scores[b];
}

typedef struct suppression {
    const float *boxes, *scores;
    int64_t n, most;
    float overlap, least; /* least: -inf where all scores will do */
    bool centre;
    int64_t *order, *room, *kept;
} suppression;

/* The boxes of one sample and class that stay, in order of their scores; returns their number. */
static int64_t suppress(const suppression *s, const float *boxes, const float *scores) {
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (scores[i] > s->least) s->order[n++] = i;
    }
    nrw_sort_items(s->order, s->room, n, scores_before, scores);
    for (int64_t i = 0; i < n && kept < s->most; i++) {
        const float *box = boxes + 4 * s->order[i];
        bool stays = true;
        for (int64_t k = 0; k < kept && stays; k++) {
            stays = !overlaps(box, boxes + 4 * s->kept[k], s->centre, s->overlap);
        }
        if (stays) s->kept[kept++] = s->order[i];
    }
    return kept;
}

/* A threshold input, or `absent`. */
static nrw_status threshold(nrw_eval *e, int i, float absent, float *out) {
    *out = absent;
    if (!nrw_has_input(e, i) || nrw_tensor_count(e->in[i]) == 0) return NRW_OK;
    double v;
    NRW_TRY(nrw_read_scalar(e, i, &v));
    *out = (float)v;
    return NRW_OK;
}

static nrw_status suppress_run(nrw_eval *e) {
    int64_t batch = e->in[1]->dims[0], classes = e->in[1]->dims[1], found = 0;
    suppression s = {.n = e->in[1]->dims[2],
                     .centre = nrw_attr_int(e->node, "center_point_box", 0) != 0};
    if (nrw_has_input(e, 2) && nrw_tensor_count(e->in[2]) > 0)
        NRW_TRY(nrw_read_int(e, 2, "max_output_boxes_per_class", &s.most));
    NRW_TRY(threshold(e, 3, 0, &s.overlap));
    NRW_TRY(threshold(e, 4, -INFINITY, &s.least));
    NRW_TRY(nrw_floats_in(e, 0, &s.boxes));
    NRW_TRY(nrw_floats_in(e, 1, &s.scores));
    s.order = nrw_eval_scratch(e, s.n, sizeof *s.order);
    s.room = nrw_eval_scratch(e, s.n, sizeof *s.room);
    s.kept = nrw_eval_scratch(e, s.n, sizeof *s.kept);
    if (s.order == NULL || s.room == NULL || s.kept == NULL) NRW_OOM(e->err);
    void *rows = NULL;
    size_t cap = 0;
    for (int64_t i = 0; i < batch * classes; i++) {
        int64_t sample = i / classes;
        int64_t kept = suppress(&s, s.boxes + sample * s.n * 4, s.scores + i * s.n);
        if (!nrw_arena_grow(e->scratch, &rows, &cap, (size_t)(found + kept), 3 * sizeof found))
            NRW_OOM(e->err);
        for (int64_t k = 0; k < kept; k++) {
            int64_t *row = (int64_t *)rows + 3 * found++;
            row[0] = sample;
            row[1] = i % classes;
            row[2] = s.kept[k];
        }
    }
    int64_t dims[2] = {found, 3};
    NRW_TRY(nrw_eval_alloc(e, 0, NRW_I64, 2, dims));
    if (found > 0) memcpy(e->out[0].data, rows, (size_t)found * 3 * sizeof found);
    return NRW_OK;
}

static const nrw_attr_def suppress_attrs[] = {{"center_point_box", NRW_ATTR_INT, false}, {0}};

static const nrw_case suppress_cases[] = {
    {"graph main(%s: f32[1,2,3]) { "
     "  const %b: f32[1,3,4] = [0, 0, 2, 2, 0, 0.1, 2, 2, 3, 3, 4, 5] "
     "  const %m: i64[] = [3] "
     "  const %t: f32[] = [0.5] "
     "  %y: i64[?,3] = NonMaxSuppression(%b, %s, %m, %t) "
     "  return %y } ",
     -1, 1},
    {0}};
static const nrw_op suppress_row = {
    .name = "NonMaxSuppression",
    .domain = "",
    .min_in = 2,
    .max_in = 5,
    .min_out = 1,
    .max_out = 1,
    .attrs = suppress_attrs,
    .infer = suppress_infer,
    .reference = suppress_run,
    .onnx = {"NonMaxSuppression", 10},
    .tflite = {"NON_MAX_SUPPRESSION_V4", 120},
    .aten = "torchvision.nms.default",
    .cases = suppress_cases,
};

NRW_OPS(detect, &suppress_row);
