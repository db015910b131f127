/* TFLite_Detection_PostProcess, the end of SSD models: boxes from their distances to anchors, and
 * of overlapping ones the best. lite/kernels/detection_postprocess.cc. */
#include <math.h>
#include <string.h>

#include "ops/floats.h"
#include "ops/order.h"

typedef struct box {
    float y0, x0, y1, x1;
} box;

typedef struct detection {
    int64_t boxes, width, labels;          /* width: numbers for a box; labels: with background */
    int64_t classes, most, most_per_class; /* what comes out at most */
    int64_t most_classes;                  /* of a box, when classes do not compete */
    float least, overlap;
    float scale[4];
    const float *codes, *scores, *anchors;
    box *decoded;
    int64_t *order, *room, *kept;
    float *values; /* of each box: what it is sorted by */
} detection;

static nrw_status read_attributes(const nrw_node *n, detection *d, nrw_error *err) {
    static const char *const scales[] = {"y_scale", "x_scale", "h_scale", "w_scale"};
    *d = (detection){0};
    d->classes = nrw_attr_int(n, "num_classes", 0);
    d->most = nrw_attr_int(n, "max_detections", 0);
    d->most_classes = nrw_attr_int(n, "max_classes_per_detection", 0);
    d->most_per_class = nrw_attr_int(n, "detections_per_class", 100);
    d->least = nrw_attr_float(n, "nms_score_threshold", 0);
    d->overlap = nrw_attr_float(n, "nms_iou_threshold", 0);
    for (int i = 0; i < 4; i++) d->scale[i] = nrw_attr_float(n, scales[i], 0);
    if (d->classes < 1 || d->most < 1 || d->most_classes < 1 || d->most_per_class < 1 ||
        d->most > INT32_MAX / 8 || d->most_classes > INT32_MAX / d->most / 8)
        NRW_FAIL(err, NRW_ERR_SHAPE, "numbers of classes and detections are out of range");
    if (!(d->overlap > 0 && d->overlap <= 1))
        NRW_FAIL(err, NRW_ERR_SHAPE, "nms_iou_threshold: %g", (double)d->overlap);
    return NRW_OK;
}

static nrw_status infer(nrw_infer *c) {
    static const int ranks[] = {3, 3, 2};
    detection d;
    NRW_TRY(read_attributes(c->node, &d, c->err));
    for (int i = 0; i < 3; i++) {
        if (c->in[i]->rank >= 0 && c->in[i]->rank != ranks[i])
            NRW_FAIL(c->err, NRW_ERR_SHAPE, "input %d: rank %d instead of %d", i, c->in[i]->rank,
                     ranks[i]);
    }
    const int64_t n = d.most * d.most_classes;
    const nrw_type flat = nrw_type_make(NRW_F32, 2, (int64_t[]){1, n});
    c->out[0] = nrw_type_make(NRW_F32, 3, (int64_t[]){1, n, 4});
    if (c->n_out > 1) c->out[1] = flat;
    if (c->n_out > 2) c->out[2] = flat;
    if (c->n_out > 3) c->out[3] = nrw_type_make(NRW_F32, 1, (int64_t[]){1});
    return NRW_OK;
}

/* Half in double, as there: a threshold is met or not by the last bit. */
static nrw_status decode(const detection *d, nrw_error *err) {
    for (int64_t i = 0; i < d->boxes; i++) {
        const float *code = d->codes + i * d->width, *anchor = d->anchors + 4 * i;
        float centre[2], half[2];
        for (int k = 0; k < 2; k++) {
            const double at = (double)code[k] / (double)d->scale[k] * (double)anchor[2 + k];
            const double size = exp((double)code[2 + k] / (double)d->scale[2 + k]);
            centre[k] = (float)(at + (double)anchor[k]);
            half[k] = (float)(0.5 * size * (double)anchor[2 + k]);
        }
        d->decoded[i] = (box){centre[0] - half[0], centre[1] - half[1], centre[0] + half[0],
                              centre[1] + half[1]};
        if (d->decoded[i].y0 > d->decoded[i].y1 || d->decoded[i].x0 > d->decoded[i].x1)
            NRW_FAIL(err, NRW_ERR_DATA, "box %lld has a negative size", (long long)i);
    }
    return NRW_OK;
}

static bool overlaps(const box *a, const box *b, float threshold) {
    const float area_a = (a->y1 - a->y0) * (a->x1 - a->x0);
    const float area_b = (b->y1 - b->y0) * (b->x1 - b->x0);
    if (area_a <= 0 || area_b <= 0) return false;
    const float y0 = a->y0 < b->y0 ? b->y0 : a->y0, x0 = a->x0 < b->x0 ? b->x0 : a->x0;
    const float y1 = b->y1 < a->y1 ? b->y1 : a->y1, x1 = b->x1 < a->x1 ? b->x1 : a->x1;
    const float h = y1 - y0 < 0 ? 0 : y1 - y0, w = x1 - x0 < 0 ? 0 : x1 - x0;
    const float common = h * w;
    return common / (area_a + area_b - common) > threshold;
}

static bool better(const void *ctx, int64_t a, int64_t b) {
    const float *values = ctx;
    return values[a] > values[b];
}

/* The boxes that stay, by falling value, in d->kept; returns their number. */
static int64_t suppress(const detection *d, int64_t most) {
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; i < d->boxes; i++) {
        if (d->values[i] >= d->least) d->order[n++] = i;
    }
    nrw_sort_items(d->order, d->room, n, better, d->values);
    for (int64_t i = 0; i < n && kept < most; i++) {
        bool stays = true;
        for (int64_t k = 0; k < kept && stays; k++) {
            stays = !overlaps(&d->decoded[d->kept[k]], &d->decoded[d->order[i]], d->overlap);
        }
        if (stays) d->kept[kept++] = d->order[i];
    }
    return kept;
}

static float *output(nrw_eval *e, int i) {
    return i < e->n_out ? e->out[i].data : NULL;
}

static void put(nrw_eval *e, const detection *d, int64_t at, int64_t index, int64_t label,
                float score) {
    float *boxes = output(e, 0), *labels = output(e, 1), *scores = output(e, 2);
    if (boxes != NULL) memcpy(boxes + 4 * at, &d->decoded[index], 4 * sizeof *boxes);
    if (labels != NULL) labels[at] = (float)label;
    if (scores != NULL) scores[at] = score;
}

/* Boxes compete by the best of their classes. */
static nrw_status run_fast(nrw_eval *e, const detection *d, int64_t *found) {
    const int64_t skip = d->labels - d->classes;
    const int64_t shown = d->most_classes < d->classes ? d->most_classes : d->classes;
    int64_t *order = nrw_eval_scratch(e, 2 * d->classes, sizeof *order);
    if (order == NULL) NRW_OOM(e->err);
    for (int64_t i = 0; i < d->boxes; i++) {
        const float *scores = d->scores + i * d->labels + skip;
        d->values[i] = scores[0];
        for (int64_t k = 1; k < d->classes; k++) {
            if (scores[k] > d->values[i]) d->values[i] = scores[k];
        }
    }
    *found = suppress(d, d->most);
    for (int64_t i = 0; i < *found; i++) {
        const float *scores = d->scores + d->kept[i] * d->labels + skip;
        for (int64_t k = 0; k < d->classes; k++) order[k] = k;
        nrw_sort_items(order, order + d->classes, d->classes, better, scores);
        for (int64_t k = 0; k < shown; k++)
            put(e, d, d->most_classes * i + k, d->kept[i], order[k], scores[order[k]]);
    }
    return NRW_OK;
}

typedef struct found_box {
    int64_t index, label;
    float score;
} found_box;

/* Boxes compete within each class; the best of all classes remain. Of equal ones those of the class
 * that came first. */
static nrw_status run_regular(nrw_eval *e, const detection *d, int64_t *found) {
    const int64_t skip = d->labels - d->classes;
    found_box *best = nrw_eval_scratch(e, 2 * d->most, sizeof *best), *next = best + d->most;
    if (best == NULL) NRW_OOM(e->err);
    *found = 0;
    for (int64_t label = 0; label < d->classes; label++) {
        for (int64_t i = 0; i < d->boxes; i++)
            d->values[i] = d->scores[i * d->labels + skip + label];
        const int64_t n = suppress(d, d->most_per_class < d->most ? d->most_per_class : d->most);
        int64_t a = 0, b = 0, k = 0;
        for (; k < d->most && (a < *found || b < n); k++) {
            if (b == n || (a < *found && best[a].score >= d->values[d->kept[b]])) {
                next[k] = best[a++];
            } else {
                next[k] = (found_box){d->kept[b], label, d->values[d->kept[b]]};
                b++;
            }
        }
        *found = k;
        memcpy(best, next, (size_t)k * sizeof *best);
    }
    for (int64_t i = 0; i < *found; i++) put(e, d, i, best[i].index, best[i].label, best[i].score);
    return NRW_OK;
}

static nrw_status set_up(nrw_eval *e, detection *d) {
    NRW_TRY(read_attributes(e->node, d, e->err));
    const nrw_tensor *codes = e->in[0], *scores = e->in[1], *anchors = e->in[2];
    if (codes->rank != 3 || scores->rank != 3 || anchors->rank != 2)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "ranks %d, %d and %d of inputs; 3, 3 and 2 are needed",
                 codes->rank, scores->rank, anchors->rank);
    d->boxes = codes->dims[1];
    d->width = codes->dims[2];
    d->labels = scores->dims[2];
    if (codes->dims[0] != 1 || d->width < 4)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 0: expected [1, boxes, 4]");
    if (scores->dims[0] != 1 || scores->dims[1] != d->boxes ||
        (d->labels != d->classes && d->labels != d->classes + 1))
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 1: expected [1, %lld, %lld], or one more",
                 (long long)d->boxes, (long long)d->classes);
    if (anchors->dims[0] < d->boxes || anchors->dims[1] != 4)
        NRW_FAIL(e->err, NRW_ERR_SHAPE, "input 2: expected [%lld, 4]", (long long)d->boxes);
    NRW_TRY(nrw_floats_in(e, 0, &d->codes));
    NRW_TRY(nrw_floats_in(e, 1, &d->scores));
    NRW_TRY(nrw_floats_in(e, 2, &d->anchors));
    d->decoded = nrw_eval_scratch(e, d->boxes, sizeof *d->decoded);
    d->order = nrw_eval_scratch(e, d->boxes, sizeof *d->order);
    d->room = nrw_eval_scratch(e, d->boxes, sizeof *d->room);
    d->kept = nrw_eval_scratch(e, d->boxes, sizeof *d->kept);
    d->values = nrw_eval_scratch(e, d->boxes, sizeof *d->values);
    if (d->decoded == NULL || d->order == NULL || d->room == NULL || d->kept == NULL ||
        d->values == NULL)
        NRW_OOM(e->err);
    return NRW_OK;
}

static nrw_status run(nrw_eval *e) {
    detection d;
    int64_t found = 0;
    NRW_TRY(set_up(e, &d));
    NRW_TRY(decode(&d, e->err));
    for (int i = 0; i < e->n_out; i++) {
        if (e->out[i].data != NULL) memset(e->out[i].data, 0, nrw_tensor_bytes(&e->out[i]));
    }
    if (nrw_attr_int(e->node, "use_regular_nms", 0) != 0)
        NRW_TRY(run_regular(e, &d, &found));
    else
        NRW_TRY(run_fast(e, &d, &found));
    if (output(e, 3) != NULL) *output(e, 3) = (float)found;
    return NRW_OK;
}

/* The names that the file's options have. */
static const nrw_attr_def attrs[] = {{"max_detections", NRW_ATTR_INT, true},
                                     {"max_classes_per_detection", NRW_ATTR_INT, true},
                                     {"detections_per_class", NRW_ATTR_INT, false},
                                     {"use_regular_nms", NRW_ATTR_INT, false},
                                     {"num_classes", NRW_ATTR_INT, true},
                                     {"nms_score_threshold", NRW_ATTR_FLOAT, true},
                                     {"nms_iou_threshold", NRW_ATTR_FLOAT, true},
                                     {"y_scale", NRW_ATTR_FLOAT, true},
                                     {"x_scale", NRW_ATTR_FLOAT, true},
                                     {"h_scale", NRW_ATTR_FLOAT, true},
                                     {"w_scale", NRW_ATTR_FLOAT, true},
                                     {"custom", NRW_ATTR_INT, false},
                                     {"custom_options", NRW_ATTR_STRING, false},
                                     {0}};

#define CASE(options)                                                                              \
    "graph main(%b: f32[1,6,4], %s: f32[1,6,3]) {\n"                                               \
    "  const %a: f32[6,4] = [0.5, 0.5, 0.2, 0.2, 0.5, 0.5, 0.25, 0.2, 0.2, 0.3, 0.2, 0.1, 0.2, "   \
    "0.3, 0.2, 0.12, 0.8, 0.8, 0.2, 0.2, 0.1, 0.1, 0.3, 0.3]\n"                                    \
    "  %x: f32[1,?,4], %l: f32[1,?], %p: f32[1,?], %n: f32[1] = "                                  \
    "tflite::TFLite_Detection_PostProcess(%b, %s, %a) {max_detections=4, num_classes=2, "          \
    "nms_score_threshold=0.1, nms_iou_threshold=0.5, y_scale=10.0, x_scale=10.0, h_scale=5.0, "    \
    "w_scale=5.0, " options "}\n"                                                                  \
    "  return %x, %l, %p, %n }"

static const nrw_case cases[] = {
    {CASE("max_classes_per_detection=2"), 0, 1},
    {CASE("max_classes_per_detection=1, detections_per_class=2, use_regular_nms=1"), 0, 1},
    {0}};

static const nrw_op detect_row = {
    .name = "TFLite_Detection_PostProcess",
    .domain = "tflite",
    .min_in = 3,
    .max_in = 3,
    .min_out = 1,
    .max_out = 4,
    .attrs = attrs,
    .infer = infer,
    .reference = run,
    .onnx = {"TFLite_Detection_PostProcess", 1},
    .cases = cases,
};

NRW_OPS(tflite_detect, &detect_row);
