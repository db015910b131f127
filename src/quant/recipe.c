#include "quant/recipe.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"

static const char *const mode_names[] = {"auto", "static", "dynamic", "weights", "fp16", "bf16"};
static const char *const granularity_names[] = {"channel", "tensor", "block"};
static const char *const calibrator_names[] = {"default",    "minmax",  "moving",
                                               "percentile", "entropy", "mse"};
static const char *const target_names[] = {"default", "onnxruntime", "tflite"};
#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static const nrw_recipe defaults = {.mode = NRW_MODE_STATIC,
                                    .calibrator = NRW_CALIBRATE_MINMAX,
                                    .percentile = 99.99,
                                    .smooth = true,
                                    .correct_bias = true};

const nrw_override *nrw_recipe_override(const nrw_recipe *r, const char *name, bool is_node) {
    for (int i = 0; i < r->n_overrides; i++) {
        const nrw_override *o = &r->overrides[i];
        if (o->is_node == is_node && strcmp(o->name, name) == 0) return o;
    }
    return NULL;
}

static nrw_status check(nrw_recipe *r, nrw_error *err) {
    const bool halves = r->mode == NRW_MODE_FP16 || r->mode == NRW_MODE_BF16;
    if (r->weight_bits == 0) r->weight_bits = halves ? 16 : 8;
    if (r->activation_bits == 0) {
        r->activation_bits = halves ? 16 : r->mode == NRW_MODE_WEIGHTS ? 32 : 8;
    }
    const int w = r->weight_bits, a = r->activation_bits;
    /* Its 16-bit kernels know no zero point. */
    if (r->target == NRW_TARGET_TFLITE && a == 16 && r->mode == NRW_MODE_STATIC)
        r->symmetric = true;
    if (r->target == NRW_TARGET_TFLITE && r->mode == NRW_MODE_BF16)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "tflite has no kernels for bfloat16; use fp16");
    if (halves) {
        if (w != 16)
            NRW_FAIL(err, NRW_ERR_ARGUMENT, "half-precision modes have 16 bits, not %d", w);
        return NRW_OK;
    }
    if (w != 8 && w != 4)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "weights of %d bits: 8 and 4 are possible", w);
    if (r->mode == NRW_MODE_STATIC && a != 8 && a != 16)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "activations of %d bits: 8 and 16 are possible", a);
    if (r->mode == NRW_MODE_DYNAMIC && a != 8)
        NRW_FAIL(err, NRW_ERR_ARGUMENT,
                 "activations of %d bits: the dynamic mode measures 8-bit ones only", a);
    if (r->granularity == NRW_PER_BLOCK && r->block == 0) r->block = 32;
    if (r->granularity == NRW_PER_BLOCK && (r->block < 16 || (r->block & (r->block - 1)) != 0))
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "block of %lld: a power of two, 16 or more, is needed",
                 (long long)r->block);
    if (r->granularity == NRW_PER_BLOCK && r->mode != NRW_MODE_WEIGHTS)
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "blocks of weights need the weights mode");
    if (!(r->percentile > 50 && r->percentile <= 100))
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "percentile %g: more than 50, at most 100", r->percentile);
    return NRW_OK;
}

nrw_status nrw_recipe_make(nrw_arena *arena, const nrw_quantize_options *o, bool have_data,
                           nrw_recipe *r, nrw_error *err) {
    *r = defaults;
    if (o->recipe != NULL)
        NRW_TRY_CTX(err, nrw_recipe_load(arena, o->recipe, r, err), "%s", o->recipe);
    if (o->mode != NRW_MODE_AUTO && o->mode != r->mode) {
        r->mode = o->mode;
        r->weight_bits = r->activation_bits = 0;
    } else if (o->mode == NRW_MODE_AUTO && o->recipe == NULL) {
        r->mode = have_data ? NRW_MODE_STATIC : NRW_MODE_DYNAMIC;
    }
    if (o->target != NRW_TARGET_DEFAULT) r->target = o->target;
    if (o->integer_io) r->integer_io = true;
    if (o->weight_bits != 0) r->weight_bits = o->weight_bits;
    if (o->activation_bits != 0) r->activation_bits = o->activation_bits;
    if (o->granularity != NRW_PER_CHANNEL) r->granularity = o->granularity;
    if (o->block != 0) r->block = o->block;
    if (o->calibrator != NRW_CALIBRATE_DEFAULT) r->calibrator = o->calibrator;
    if (o->percentile != 0) r->percentile = o->percentile;
    if (o->preprocess != NULL) r->preprocess = o->preprocess;
    if (o->clamp_weights) r->clamp_weights = true;
    if (o->samples != 0) r->samples = o->samples;
    if (o->seed != 0) r->seed = o->seed;
    if (r->weight_bits != 0 && r->weight_bits < 8) r->search_weights = true;
    return check(r, err);
}

/* Reading.
 * ------------------------------------------------------------------------------------------- */

static nrw_status read_name(const json_t *v, const char *key, const char *const *names, int n,
                            int *out, nrw_error *err) {
    const char *s = json_string_value(v);
    for (int i = 0; s != NULL && i < n; i++) {
        if (strcmp(names[i], s) == 0) {
            *out = i;
            return NRW_OK;
        }
    }
    NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: '%s' is not one of its values", key,
             s != NULL ? s : "(not a string)");
}

static nrw_status read_int(const json_t *v, const char *key, int64_t *out, nrw_error *err) {
    if (!json_is_integer(v)) NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: a whole number is needed", key);
    *out = json_integer_value(v);
    return NRW_OK;
}

static nrw_status read_small(const json_t *v, const char *key, int *out, nrw_error *err) {
    int64_t x = 0;
    NRW_TRY(read_int(v, key, &x, err));
    if (x < 0 || x > 64) NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: %lld", key, (long long)x);
    *out = (int)x;
    return NRW_OK;
}

static nrw_status read_number(const json_t *v, const char *key, double *out, nrw_error *err) {
    if (!json_is_number(v)) NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: a number is needed", key);
    *out = json_number_value(v);
    return NRW_OK;
}

static nrw_status read_bool(const json_t *v, const char *key, bool *out, nrw_error *err) {
    if (!json_is_boolean(v)) NRW_FAIL(err, NRW_ERR_ARGUMENT, "%s: true or false is needed", key);
    *out = json_is_true(v);
    return NRW_OK;
}

static nrw_status read_override(const json_t *v, nrw_override *o, nrw_error *err) {
    const char *key;
    json_t *x;
    json_object_foreach((json_t *)v, key, x) {
        if (strcmp(key, "float") == 0) {
            NRW_TRY(read_bool(x, key, &o->keep_float, err));
        } else if (strcmp(key, "range") == 0 && !o->is_node) {
            if (!json_is_array(x) || json_array_size(x) != 2)
                NRW_FAIL(err, NRW_ERR_ARGUMENT, "range: two numbers are needed");
            NRW_TRY(read_number(json_array_get(x, 0), key, &o->lo, err));
            NRW_TRY(read_number(json_array_get(x, 1), key, &o->hi, err));
            if (!(o->lo <= o->hi)) NRW_FAIL(err, NRW_ERR_ARGUMENT, "range: the ends are swapped");
            o->has_range = true;
        } else if (strcmp(key, "weight_bits") == 0 && o->is_node) {
            NRW_TRY(read_small(x, key, &o->weight_bits, err));
        } else {
            NRW_FAIL(err, NRW_ERR_ARGUMENT, "unknown key '%s'", key);
        }
    }
    return NRW_OK;
}

static nrw_status read_overrides(nrw_arena *arena, const json_t *v, bool is_node, nrw_recipe *r,
                                 nrw_error *err) {
    if (!json_is_object(v)) NRW_FAIL(err, NRW_ERR_ARGUMENT, "an object is needed");
    const size_t n = json_object_size(v) + (size_t)r->n_overrides;
    nrw_override *all = nrw_arena_calloc(arena, n + 1, sizeof *all);
    if (all == NULL) NRW_OOM(err);
    if (r->n_overrides > 0) memcpy(all, r->overrides, (size_t)r->n_overrides * sizeof *all);
    const char *key;
    json_t *x;
    json_object_foreach((json_t *)v, key, x) {
        nrw_override *o = &all[r->n_overrides++];
        o->is_node = is_node;
        o->name = nrw_arena_strdup(arena, key);
        if (o->name == NULL) NRW_OOM(err);
        if (!json_is_object(x)) NRW_FAIL(err, NRW_ERR_ARGUMENT, "'%s': an object is needed", key);
        NRW_TRY_CTX(err, read_override(x, o, err), "'%s'", key);
    }
    r->overrides = all;
    return NRW_OK;
}

static nrw_status read_key(nrw_arena *arena, const char *key, const json_t *v, nrw_recipe *r,
                           nrw_error *err) {
    int name = 0;
    int64_t number = 0;
    if (strcmp(key, "narrow_recipe") == 0) {
        NRW_TRY(read_int(v, key, &number, err));
        if (number != 1)
            NRW_FAIL(err, NRW_ERR_UNSUPPORTED, "recipe version %lld", (long long)number);
    } else if (strcmp(key, "mode") == 0) {
        NRW_TRY(read_name(v, key, mode_names, COUNT(mode_names), &name, err));
        if (name == NRW_MODE_AUTO) NRW_FAIL(err, NRW_ERR_ARGUMENT, "mode: auto is not a recipe");
        r->mode = (nrw_mode)name;
    } else if (strcmp(key, "target") == 0) {
        NRW_TRY(read_name(v, key, target_names, COUNT(target_names), &name, err));
        r->target = (nrw_target)name;
    } else if (strcmp(key, "integer_io") == 0) {
        return read_bool(v, key, &r->integer_io, err);
    } else if (strcmp(key, "weight_bits") == 0) {
        return read_small(v, key, &r->weight_bits, err);
    } else if (strcmp(key, "activation_bits") == 0) {
        return read_small(v, key, &r->activation_bits, err);
    } else if (strcmp(key, "granularity") == 0) {
        return read_name(v, key, granularity_names, COUNT(granularity_names), &r->granularity, err);
    } else if (strcmp(key, "block") == 0) {
        return read_int(v, key, &r->block, err);
    } else if (strcmp(key, "calibrator") == 0) {
        NRW_TRY(read_name(v, key, calibrator_names + 1, COUNT(calibrator_names) - 1, &name, err));
        r->calibrator = (nrw_calibrator)(name + 1);
    } else if (strcmp(key, "percentile") == 0) {
        return read_number(v, key, &r->percentile, err);
    } else if (strcmp(key, "symmetric_activations") == 0) {
        return read_bool(v, key, &r->symmetric, err);
    } else if (strcmp(key, "search_weights") == 0) {
        return read_bool(v, key, &r->search_weights, err);
    } else if (strcmp(key, "smooth") == 0) {
        return read_bool(v, key, &r->smooth, err);
    } else if (strcmp(key, "correct_bias") == 0) {
        return read_bool(v, key, &r->correct_bias, err);
    } else if (strcmp(key, "clamp_weights") == 0) {
        return read_bool(v, key, &r->clamp_weights, err);
    } else if (strcmp(key, "samples") == 0) {
        return read_int(v, key, &r->samples, err);
    } else if (strcmp(key, "seed") == 0) {
        NRW_TRY(read_int(v, key, &number, err));
        r->seed = (uint64_t)number;
    } else if (strcmp(key, "preprocess") == 0) {
        if (!json_is_string(v)) NRW_FAIL(err, NRW_ERR_ARGUMENT, "preprocess: text is needed");
        r->preprocess = nrw_arena_strdup(arena, json_string_value(v));
        if (r->preprocess == NULL) NRW_OOM(err);
    } else if (strcmp(key, "nodes") == 0 || strcmp(key, "values") == 0) {
        NRW_TRY_CTX(err, read_overrides(arena, v, key[0] == 'n', r, err), "%s", key);
    } else {
        NRW_FAIL(err, NRW_ERR_ARGUMENT, "unknown key '%s'", key);
    }
    return NRW_OK;
}

nrw_status nrw_recipe_parse(nrw_arena *arena, const char *text, size_t n, nrw_recipe *out,
                            nrw_error *err) {
    json_error_t where;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    if (root == NULL)
        NRW_FAIL(err, NRW_ERR_FORMAT, "line %d, column %d: %s", where.line, where.column,
                 where.text);
    *out = defaults;
    nrw_status s = NRW_OK;
    if (!json_is_object(root)) {
        s = nrw_error_set(err, NRW_ERR_FORMAT, "a recipe is an object");
        goto done;
    }
    const char *key;
    json_t *v;
    json_object_foreach(root, key, v) {
        if ((s = read_key(arena, key, v, out, err)) != NRW_OK) goto done;
    }
    s = check(out, err);
done:
    json_decref(root);
    return s;
}

nrw_status nrw_recipe_load(nrw_arena *arena, const char *path, nrw_recipe *out, nrw_error *err) {
    nrw_mapping m;
    NRW_TRY(nrw_map_file(path, &m, err));
    nrw_status s = nrw_recipe_parse(arena, (const char *)m.data, m.size, out, err);
    nrw_unmap_file(&m);
    return s;
}

/* Writing.
 * ------------------------------------------------------------------------------------------- */

static json_t *override_json(const nrw_override *o) {
    json_t *j = json_object();
    if (o->keep_float) json_object_set_new(j, "float", json_true());
    if (o->has_range) json_object_set_new(j, "range", json_pack("[f,f]", o->lo, o->hi));
    if (o->weight_bits != 0) json_object_set_new(j, "weight_bits", json_integer(o->weight_bits));
    return j;
}

static json_t *recipe_json(const nrw_recipe *r) {
    json_t *j = json_object(), *nodes = json_object(), *values = json_object();
    json_object_set_new(j, "narrow_recipe", json_integer(1));
    json_object_set_new(j, "mode", json_string(mode_names[r->mode]));
    if (r->target != NRW_TARGET_DEFAULT)
        json_object_set_new(j, "target", json_string(target_names[r->target]));
    if (r->integer_io) json_object_set_new(j, "integer_io", json_true());
    json_object_set_new(j, "weight_bits", json_integer(r->weight_bits));
    json_object_set_new(j, "activation_bits", json_integer(r->activation_bits));
    json_object_set_new(j, "granularity", json_string(granularity_names[r->granularity]));
    if (r->block != 0) json_object_set_new(j, "block", json_integer(r->block));
    json_object_set_new(j, "calibrator", json_string(calibrator_names[r->calibrator]));
    json_object_set_new(j, "percentile", json_real(r->percentile));
    json_object_set_new(j, "symmetric_activations", json_boolean(r->symmetric));
    json_object_set_new(j, "search_weights", json_boolean(r->search_weights));
    json_object_set_new(j, "smooth", json_boolean(r->smooth));
    json_object_set_new(j, "correct_bias", json_boolean(r->correct_bias));
    json_object_set_new(j, "clamp_weights", json_boolean(r->clamp_weights));
    json_object_set_new(j, "samples", json_integer(r->samples));
    json_object_set_new(j, "seed", json_integer((json_int_t)r->seed));
    if (r->preprocess != NULL) json_object_set_new(j, "preprocess", json_string(r->preprocess));
    for (int i = 0; i < r->n_overrides; i++) {
        const nrw_override *o = &r->overrides[i];
        json_object_set_new(o->is_node ? nodes : values, o->name, override_json(o));
    }
    json_object_set_new(j, "nodes", nodes);
    json_object_set_new(j, "values", values);
    return j;
}

static int append(const char *text, size_t n, void *user) {
    nrw_strbuf_add(user, text, n);
    return 0;
}

nrw_status nrw_recipe_save(const nrw_allocator *a, const nrw_recipe *r, const char *path,
                           nrw_error *err) {
    nrw_strbuf text;
    nrw_strbuf_init(&text, a);
    json_t *j = recipe_json(r);
    const int bad = json_dump_callback(j, append, &text, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(j);
    nrw_strbuf_puts(&text, "\n");
    nrw_output *o = NULL;
    nrw_status s = NRW_OK;
    if (bad != 0 || text.failed) {
        s = nrw_error_set(err, NRW_ERR_MEMORY, "out of memory");
        goto done;
    }
    if ((s = nrw_output_open(a, path, &o, err)) != NRW_OK) goto done;
    if ((s = nrw_output_write(o, text.data, text.size, err)) != NRW_OK) goto done;
    s = nrw_output_commit(o, err);
    o = NULL;
done:
    nrw_output_abort(o);
    nrw_strbuf_free(&text);
    return s;
}
