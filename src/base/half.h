/* Conversions between float and the narrow floating types. All round to nearest, ties to even,
 * unless said. Types as in ONNX's specification ("Float stored in 8 bits", "Float stored in 4
 * bits"). */
#ifndef NRW_BASE_HALF_H
#define NRW_BASE_HALF_H

#include <stdbool.h>
#include <stdint.h>

float nrw_f16_to_f32(uint16_t h);
uint16_t nrw_f32_to_f16(float f);
float nrw_bf16_to_f32(uint16_t h);
uint16_t nrw_f32_to_bf16(float f); /* NaN stays NaN */

/* saturate: out-of-range values become the largest finite one; else NaN or infinity as the type has
 * it. */
float nrw_f8e4m3fn_to_f32(uint8_t v);
uint8_t nrw_f32_to_f8e4m3fn(float f, bool saturate);
float nrw_f8e4m3fnuz_to_f32(uint8_t v);
uint8_t nrw_f32_to_f8e4m3fnuz(float f, bool saturate);
float nrw_f8e5m2_to_f32(uint8_t v);
uint8_t nrw_f32_to_f8e5m2(float f, bool saturate);
float nrw_f8e5m2fnuz_to_f32(uint8_t v);
uint8_t nrw_f32_to_f8e5m2fnuz(float f, bool saturate);
/* E8M0 holds powers of two only; mode: 0 up (away from zero magnitude), 1 down, 2 nearest. */
float nrw_f8e8m0_to_f32(uint8_t v);
uint8_t nrw_f32_to_f8e8m0(float f, bool saturate, int mode);
float nrw_f4e2m1_to_f32(uint8_t v); /* low 4 bits */
uint8_t nrw_f32_to_f4e2m1(float f); /* always saturates */

#endif
