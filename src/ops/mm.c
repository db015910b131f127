#include "ops/mm.h"

#include <string.h>

#include "ops/vmath.h"

/* Rows of the right matrix that are gathered at once. */
#define PANEL_ROWS 256

#define REAL         float
#define LANES        16
#define VEC          vec_f32
#define ROWS4        rows4_f32
#define ROWS1        rows1_f32
#define PANEL        panel_f32
#define NARROW_PANEL narrow_panel_f32
#define PACKED       packed_f32
#define MM           nrw_mm_f32
#define DOTS         dots_f32
#define MM_NT        nrw_mm_nt_f32
#include "ops/mm_tmpl.h"

#define REAL         double
#define LANES        8
#define VEC          vec_f64
#define ROWS4        rows4_f64
#define ROWS1        rows1_f64
#define PANEL        panel_f64
#define NARROW_PANEL narrow_panel_f64
#define PACKED       packed_f64
#define MM           nrw_mm_f64
#define DOTS         dots_f64
#define MM_NT        nrw_mm_nt_f64
#include "ops/mm_tmpl.h"

#define REAL         uint64_t
#define LANES        8
#define VEC          vec_u64
#define ROWS4        rows4_u64
#define ROWS1        rows1_u64
#define PANEL        panel_u64
#define NARROW_PANEL narrow_panel_u64
#define PACKED       packed_u64
#define MM           nrw_mm_u64
#include "ops/mm_tmpl.h"
