/* The order of the passes. */
#include <string.h>

#include "passes/for_plans.h"
#include "passes/pass.h"

static const nrw_pass *const import_passes[] = {
    &nrw_pass_freeze_defaults,
    &nrw_pass_infer_shapes,
    &nrw_pass_fold_constants,
    &nrw_pass_dead_code,
    NULL,
};

static const nrw_pass *const turn_passes[] = {
    &nrw_pass_infer_shapes,
    &nrw_pass_sink_transposes,
    &nrw_pass_merge_transposes,
    &nrw_pass_fold_constants,
    &nrw_pass_identity,
    &nrw_pass_dead_code,
    NULL,
};

static const nrw_pass *const run_passes[] = {
    &nrw_pass_infer_shapes, &nrw_pass_fold_constants, /* shapes first: folding needs to know how
                                                         large results get */
    &nrw_pass_identity,     &nrw_pass_merge_transposes, &nrw_pass_fold_batch_norm,
    &nrw_pass_fold_pad,     &nrw_pass_bias_matmul,      &nrw_pass_fold_clamp,
    &nrw_pass_fuse_gelu,    &nrw_pass_dead_code,        NULL,
};

static const nrw_pass *const quantize_passes[] = {
    &nrw_pass_infer_shapes,
    &nrw_pass_fold_constants,
    &nrw_pass_merge_constants,
    &nrw_pass_identity,
    &nrw_pass_merge_transposes,
    &nrw_pass_fold_batch_norm, /* before weights are quantized: the folded ones are what counts */
    &nrw_pass_fold_pad,
    &nrw_pass_bias_matmul,
    &nrw_pass_dead_code,
    &nrw_pass_infer_shapes,
    NULL,
};

static const nrw_pass *const export_passes[] = {
    &nrw_pass_identity,
    &nrw_pass_fold_clamp,
    &nrw_pass_dead_code,
    NULL,
};

static const nrw_pass *const shrink_passes[] = {
    &nrw_pass_merge_constants, /* equal scales, mostly */
    &nrw_pass_palette_constants, &nrw_pass_drop_defaults, &nrw_pass_short_names, NULL,
};

static const nrw_pass *const unshrink_passes[] = {
    &nrw_pass_unpack_palettes,
    &nrw_pass_dead_code,
    NULL,
};

static const nrw_pass *const *const pipelines[] = {
    [NRW_PIPELINE_IMPORT] = import_passes,     [NRW_PIPELINE_TURN] = turn_passes,
    [NRW_PIPELINE_RUN] = run_passes,           [NRW_PIPELINE_QUANTIZE] = quantize_passes,
    [NRW_PIPELINE_EXPORT] = export_passes,     [NRW_PIPELINE_SHRINK] = shrink_passes,
    [NRW_PIPELINE_UNSHRINK] = unshrink_passes,
};

nrw_status nrw_run_pass(nrw_model *m, const nrw_pass *pass, const nrw_pass_watch *watch,
                        nrw_error *err) {
    nrw_arena scratch;
    nrw_arena_init(&scratch, m->arena.allocator);
    bool changed = false;
    nrw_status s = pass->run(m, &scratch, &changed, err);
    nrw_arena_free(&scratch);
    NRW_TRY(s);
    if (watch == NULL) return NRW_OK;
    if (watch->seen != NULL) watch->seen(watch->user, pass->name, changed, m);
    if (watch->verify) NRW_TRY_CTX(err, nrw_graph_verify(m, err), "after pass %s", pass->name);
    return NRW_OK;
}

nrw_status nrw_run_pipeline(nrw_model *m, nrw_pipeline pipeline, const nrw_pass_watch *watch,
                            nrw_error *err) {
    for (const nrw_pass *const *p = pipelines[pipeline]; *p != NULL; p++) {
        NRW_TRY(nrw_run_pass(m, *p, watch, err));
    }
    return NRW_OK;
}

const nrw_pass *nrw_pass_find(const char *name) {
    for (size_t i = 0; i < sizeof pipelines / sizeof *pipelines; i++) {
        for (const nrw_pass *const *p = pipelines[i]; *p != NULL; p++) {
            if (strcmp((*p)->name, name) == 0) return *p;
        }
    }
    return NULL;
}

static nrw_plan_pass *const plan_passes[] = {
    nrw_unsigned_bytes, /* what comes after it knows only those */
    nrw_fuse_tables,
    nrw_fuse_matmul_gelu,
    nrw_fuse_attention,
    nrw_channels_last,
    nrw_fuse_residuals,
    nrw_fuse_conv_tables, /* what is added to excludes a table, and comes first */
    nrw_alias_transposes, /* after transposes had their chance to cancel */
    NULL,
};

nrw_status nrw_ready_for_plan(nrw_model *m, const struct nrw_kernels *kn, nrw_error *err) {
    for (nrw_plan_pass *const *p = plan_passes; *p != NULL; p++) NRW_TRY((*p)(m, kn, err));
    return NRW_OK;
}
