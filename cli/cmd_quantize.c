/* narrow quantize: a small, fast copy of a float model, and what it cost. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Without labels the loss is measured against the float model, on at most so many samples. */
enum { UNLABELLED_SAMPLES = 32 };

typedef struct job {
    const char *input, *output;
    nrw_quantize_options options;
    nrw_quantize_result result;
    nrw_model *model, *quantized;
    nrw_dataset *data;
    double max_loss; /* NaN: none asked for */
    double seconds;
} job;

static bool parse_granularity(cli *c, nrw_quantize_options *o) {
    const char *text = cli_value(c, "granularity", "channel");
    char *end = NULL;
    if (strcmp(text, "channel") == 0) return true;
    if (strcmp(text, "tensor") == 0) {
        o->granularity = NRW_PER_TENSOR;
        return true;
    }
    if (strncmp(text, "block:", 6) == 0) {
        o->granularity = NRW_PER_BLOCK;
        o->block = strtol(text + 6, &end, 10);
        if (*end == 0 && o->block >= 2 && o->block <= 1 << 20) return true;
    }
    cli_refuse(c, "--granularity: '%s' is none of channel, tensor, block:N", text);
    return false;
}

static bool parse_calibrator(cli *c, nrw_quantize_options *o) {
    const char *text = cli_value(c, "calibrator", NULL);
    static const char *const names[] = {"minmax", "moving", "percentile", "entropy", "mse"};
    if (text == NULL) return true;
    for (int i = 0; i < 5; i++) {
        if (strcmp(text, names[i]) == 0) {
            o->calibrator = (nrw_calibrator)(NRW_CALIBRATE_MINMAX + i);
            return true;
        }
    }
    char *end = NULL;
    if (strncmp(text, "percentile:", 11) == 0) {
        o->calibrator = NRW_CALIBRATE_PERCENTILE;
        o->percentile = strtod(text + 11, &end);
        if (end != text + 11 && *end == 0 && o->percentile > 50 && o->percentile <= 100)
            return true;
    }
    cli_refuse(c, "--calibrator: '%s' is none of minmax, moving, percentile[:P], entropy, mse",
               text);
    return false;
}

static nrw_target target(const cli *c, const char *output) {
    static const nrw_target named[] = {NRW_TARGET_ONNXRUNTIME, NRW_TARGET_TFLITE};
    const size_t n = strlen(output);
    const bool tflite = n > 7 && strcmp(output + n - 7, ".tflite") == 0;
    const int choice = cli_choice(c, "target", -1);
    if (choice >= 0) return named[choice];
    return tflite ? NRW_TARGET_TFLITE : NRW_TARGET_DEFAULT;
}

static int parse_options(cli *c, job *j) {
    nrw_quantize_options *o = &j->options;
    static const int weights[] = {8, 8, 4, 4, 4}, activations[] = {8, 16, 8, 16, 4};
    int bits = cli_choice(c, "bits", -1);
    int64_t seed = 0;
    j->max_loss = NAN;
    o->mode = (nrw_mode)cli_choice(c, "mode", NRW_MODE_AUTO);
    if (bits >= 0) {
        o->weight_bits = weights[bits];
        o->activation_bits = activations[bits];
    }
    o->target = target(c, j->output);
    o->integer_io = cli_choice(c, "io", 0) == 1;
    o->recipe = cli_value(c, "recipe", NULL);
    o->save_recipe = cli_value(c, "save-recipe", NULL);
    o->preprocess = cli_value(c, "preprocess", NULL);
    o->clamp_weights = cli_flag(c, "clamp-weights");
    if (!parse_granularity(c, o) || !parse_calibrator(c, o) ||
        !cli_int(c, "seed", 0, INT64_MAX, &seed) ||
        !cli_int(c, "samples", 1, INT64_MAX, &o->samples) ||
        !cli_double(c, "max-loss", 0, 1, &j->max_loss))
        return EXIT_REFUSED;
    o->seed = (uint64_t)seed;
    if (!isnan(j->max_loss) && cli_value(c, "data", NULL) == NULL)
        return cli_refuse(c, "--max-loss needs --data to measure on");
    return EXIT_DONE;
}

/* The share of accuracy lost, or what stands for it where there are no labels. */
static double drop(const nrw_evaluation *e) {
    if (e->metric == NRW_METRIC_AGREEMENT) return 1 - e->value;
    if (e->metric == NRW_METRIC_SQNR) return 1 - e->cosine;
    return e->reference_value - e->value;
}

static const char *mode_name(nrw_mode m) {
    static const char *const names[] = {"auto", "static", "dynamic", "weights", "fp16", "bf16"};
    return names[m];
}

static json_t *json_loss(const job *j) {
    if (!j->result.measured) return json_null();
    const nrw_evaluation *e = &j->result.loss;
    double reference = e->metric == NRW_METRIC_AGREEMENT ? 1 : e->reference_value;
    return json_pack("{s:s, s:o, s:o, s:o, s:[o,o], s:I, s:o, s:o, s:o}", "metric",
                     nrw_metric_name(e->metric), "float", cli_number(reference), "quantized",
                     cli_number(e->value), "drop", cli_number(drop(e)), "ci95",
                     cli_number(e->ci_low), cli_number(e->ci_high), "n", (json_int_t)e->samples,
                     "agreement", cli_number(e->agreement), "sqnr_db", cli_number(e->sqnr_db),
                     "cosine", cli_number(e->cosine));
}

static void print_table(const job *j, int64_t before, int64_t after) {
    const nrw_evaluation *e = &j->result.loss;
    printf("%-14s %12s %12s\n", "", "float", mode_name(j->result.mode));
    printf("%-14s %9.2f MB %9.2f MB   %.2fx\n", "size", (double)before / 1e6, (double)after / 1e6,
           (double)after / (double)before);
    if (j->result.measured && e->metric != NRW_METRIC_AGREEMENT && e->metric != NRW_METRIC_SQNR) {
        printf(
            "%-14s %11.2f%% %11.2f%%   %+.2f points (95 %% interval of the latter %.2f to %.2f)\n",
            nrw_metric_name(e->metric), 100 * e->reference_value, 100 * e->value,
            100 * (e->value - e->reference_value), 100 * e->ci_low, 100 * e->ci_high);
    }
    if (j->result.measured)
        printf("%-14s agreement %.2f %%, SQNR %.1f dB, cosine %.5f on %lld samples\n",
               "against float", 100 * e->agreement, e->sqnr_db, e->cosine, (long long)e->samples);
    printf("%-14s %lld in integers, %lld in float\n", "nodes", (long long)j->result.quantized_nodes,
           (long long)j->result.float_nodes);
    printf("wrote %s in %.1f s, %.0f MB at most\n", j->output, j->seconds,
           (double)cli_peak_rss_kb() / 1024);
}

static int work(cli *c, job *j) {
    double start = cli_now();
    int status = cli_load(c, j->input, &j->model);
    if (status == EXIT_DONE) status = cli_shapes(c, j->model);
    if (status == EXIT_DONE && cli_value(c, "data", NULL) != NULL)
        status = cli_open_data(c, j->model, &j->data);
    if (status != EXIT_DONE) return status;
    int64_t before = cli_file_size(j->input);
    j->options.measure =
        j->data != NULL && nrw_dataset_has_labels(j->data) ? -1 : UNLABELLED_SAMPLES;
    if (nrw_quantize(j->model, &j->options, j->data, &j->quantized, &j->result, &c->error) !=
        NRW_OK)
        return cli_failed(c);
    nrw_save_options save = {.onnx_style = (nrw_onnx_style)cli_choice(c, "style", NRW_ONNX_QDQ)};
    if (nrw_save(j->quantized, j->output, &save, &c->error) != NRW_OK) return cli_failed(c);
    j->seconds = cli_now() - start;
    int64_t after = cli_file_size(j->output);
    char bits[16];
    snprintf(bits, sizeof bits, "w%da%d", j->result.weight_bits, j->result.activation_bits);
    progress_clear(c->progress);
    if (c->json) {
        cli_print_json(json_pack(
            "{s:s, s:I, s:I, s:s, s:s, s:I, s:f, s:f, s:o, s:I, s:I}", "output", j->output,
            "size_bytes", (json_int_t)after, "float_size_bytes", (json_int_t)before, "mode",
            mode_name(j->result.mode), "bits", bits, "samples", (json_int_t)j->result.samples,
            "seconds", j->seconds, "peak_rss_mb", (double)cli_peak_rss_kb() / 1024, "loss",
            json_loss(j), "quantized_nodes", (json_int_t)j->result.quantized_nodes, "float_nodes",
            (json_int_t)j->result.float_nodes));
    } else {
        print_table(j, before, after);
    }
    return j->result.measured && drop(&j->result.loss) > j->max_loss ? EXIT_NOT_REACHED : EXIT_DONE;
}

int cmd_quantize(cli *c) {
    job j = {.input = c->positional[0], .output = cli_value(c, "output", NULL)};
    if (j.output == NULL) return cli_refuse(c, "narrow quantize needs -o FILE for its output");
    int status = parse_options(c, &j);
    if (status == EXIT_DONE) status = cli_open(c);
    if (status == EXIT_DONE) status = work(c, &j);
    nrw_model_free(j.quantized);
    nrw_dataset_free(j.data);
    nrw_model_free(j.model);
    return status;
}
