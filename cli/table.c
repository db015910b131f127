/* The one table of commands and options: parsing, help, man page and completion come from it. */
#include "cli.h"

#define DATA_OPTIONS                                                                               \
    {.name = "labels", .value = "FILE", .help = "labels: .npy of class numbers, or .csv"},         \
        {.name = "samples", .value = "N", .help = "use at most N samples"},                        \
        {.name = "preprocess",                                                                     \
         .value = "SPEC",                                                                          \
         .help =                                                                                   \
             "what to do to samples: \"scale=1/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 "  \
             "layout=nchw|nhwc resize=256 crop=224\""}

#define DATA_HELP                                                                                  \
    "samples: x.npy (first axis), x.npz (an array per input), a folder of images, x.csv, random:N"

const cli_option cli_common[] = {
    {.name = "threads", .value = "N", .help = "threads to use; all processors by default"},
    {.name = "max-ram",
     .value = "SIZE",
     .help = "allocate at most this much (512M, 2G); fail beyond"},
    {.name = "cpu",
     .value = "TIER",
     .help =
         "cap the instruction set (as NRW_CPU does): scalar, avx2, avxvnni, avx512vnni, amx, or "
         "neon, dotprod, i8mm"},
    {.name = "seed", .value = "N", .help = "seed of everything random"},
    {.name = "quiet", .letter = 'q', .help = "no progress bar"},
    {.name = "json", .help = "print one JSON object instead of text"},
    {.name = "help", .letter = 'h', .help = "show this text"},
    {0},
};

static const cli_option inspect_options[] = {
    {.name = "text", .help = "print the graph in the text form; long constants are left out"},
    {0},
};

#define SHAPE_OPTION                                                                               \
    {.name = "shape",                                                                              \
     .value = "[NAME=]DIMS",                                                                       \
     .repeats = true,                                                                              \
     .help = "fix open lengths of an input, as 1,128; ? leaves one open"}

static const cli_option convert_options[] = {
    SHAPE_OPTION,
    {.name = "style",
     .value = "STYLE",
     .choices = "qdq|qoperator",
     .help = "how quantized values are written to .onnx; qdq by default"},
    {0},
};

static const cli_option quantize_options[] = {
    {.name = "output", .letter = 'o', .value = "FILE", .help = "the quantized model; needed"},
    {.name = "mode",
     .value = "MODE",
     .choices = "auto|static|dynamic|weights|fp16|bf16",
     .help = "auto: static with data, dynamic without"},
    {.name = "data", .value = "DATA", .help = DATA_HELP},
    DATA_OPTIONS,
    {.name = "bits",
     .value = "BITS",
     .choices = "w8a8|w8a16|w4a8|w4a16|w4a4",
     .help = "bits of weights and activations; w8a8 by default"},
    {.name = "granularity",
     .value = "HOW",
     .help = "what shares a scale in weights: channel (default), tensor, or block:N"},
    {.name = "calibrator",
     .value = "HOW",
     .help = "how ranges are found: minmax, moving, percentile[:P], entropy, mse"},
    SHAPE_OPTION,
    {.name = "target",
     .value = "NAME",
     .choices = "onnxruntime|tflite",
     .help = "the runtime to make it for; by the output's extension"},
    {.name = "io",
     .value = "TYPE",
     .choices = "float|int8",
     .help = "what callers give and get where inputs and outputs are quantized; float by default"},
    {.name = "max-loss",
     .value = "LOSS",
     .help = "exit with status 1 when more is lost on the data (0.5%)"},
    {.name = "style",
     .value = "STYLE",
     .choices = "qdq|qoperator",
     .help = "how quantized values are written to .onnx; qdq by default"},
    {.name = "clamp-weights",
     .help = "NaN weights become 0, infinite ones the largest finite; otherwise they are refused"},
    {.name = "recipe", .value = "FILE", .help = "follow the choices of a recipe (JSON)"},
    {.name = "save-recipe", .value = "FILE", .help = "write the choices that were followed"},
    {0},
};

static const cli_option run_options[] = {
    {.name = "input",
     .value = "[NAME=]FILE.npy",
     .repeats = true,
     .help = "the value of an input; NAME may be left out where there is one"},
    {.name = "output", .letter = 'o', .value = "OUT.npz", .help = "the outputs, by name; needed"},
    {0},
};

static const cli_option eval_options[] = {
    {.name = "data", .value = "DATA", .help = DATA_HELP},
    DATA_OPTIONS,
    {.name = "reference", .value = "MODEL", .help = "the float model to compare with"},
    {.name = "metric",
     .value = "METRIC",
     .choices = "top1|top5|auc|agreement|sqnr|cosine",
     .help = "top1 with labels, else agreement or sqnr with a reference"},
    {0},
};

static const cli_option compare_options[] = {
    {.name = "data", .value = "DATA", .help = DATA_HELP},
    DATA_OPTIONS,
    {0},
};

static const cli_option bench_options[] = {
    {.name = "input",
     .value = "[NAME=]FILE.npy",
     .repeats = true,
     .help = "the value of an input; random otherwise, and an open length is 1 (224 in images)"},
    {.name = "seconds", .value = "S", .help = "how long to measure; 2 by default"},
    {.name = "profile", .help = "time spent in each step as well"},
    {0},
};

static const cli_option none[] = {{0}};

static const cli_option help_options[] = {
    {.name = "man", .help = "the manual page (roff)"},
    {.name = "completion", .help = "completion for bash"},
    {0},
};

const cli_command cli_commands[] = {
    {"inspect", "MODEL", "what is in a model", 1, 1, inspect_options, cmd_inspect},
    {"convert", "IN OUT", "write a model in the format of OUT's extension", 2, 2, convert_options,
     cmd_convert},
    {"quantize", "MODEL -o OUT", "make a small, fast copy of a float model", 1, 1, quantize_options,
     cmd_quantize},
    {"run", "MODEL --input FILE.npy -o OUT.npz", "run a model once", 1, 1, run_options, cmd_run},
    {"eval", "MODEL --data DATA", "measure a model on data", 1, 1, eval_options, cmd_eval},
    {"compare", "FLOAT QUANT --data DATA", "which layer loses what", 2, 2, compare_options,
     cmd_compare},
    {"bench", "MODEL", "measure latency", 1, 1, bench_options, cmd_bench},
    {"ops", "", "operators that Narrow runs", 0, 0, none, cmd_ops},
    {"help", "[COMMAND]", "help on a command", 0, 1, help_options, cli_help_command},
    {0},
};
