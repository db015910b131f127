/* Rounding by an addition. */
#ifndef NRW_BASE_RINT_H
#define NRW_BASE_RINT_H

/* 1.5 * 2^23. x + NRW_RINT_MAGIC holds the nearest integer, ties to even, in its low bits, for
 * |x| < 2^22; subtracting it again gives the integer as a float. */
#define NRW_RINT_MAGIC 12582912.0f

#endif
