#include "ops/floats.h"

void *nrw_eval_scratch(nrw_eval *e, int64_t n, size_t size) {
    size_t bytes;
    if (n < 0 || !nrw_mul_size((size_t)n, size, &bytes)) return NULL;
    return nrw_arena_alloc(e->scratch, bytes != 0 ? bytes : 1);
}

#define REAL       float
#define REAL_DTYPE NRW_F32
#define IN         nrw_floats_in
#define OUT        nrw_floats_out
#define DONE       nrw_floats_done
#define TO         nrw_to_f32
#define FROM       nrw_from_f32
#include "ops/floats_tmpl.h"

#define REAL       double
#define REAL_DTYPE NRW_F64
#define IN         nrw_doubles_in
#define OUT        nrw_doubles_out
#define DONE       nrw_doubles_done
#define TO         nrw_to_f64
#define FROM       nrw_from_f64
#include "ops/floats_tmpl.h"
