/* Products of four unsigned by four signed bytes, added to a lane of int32 (AVX-512 VNNI). */
#ifndef NRW_KERNELS_X86_DPBUSD_H
#define NRW_KERNELS_X86_DPBUSD_H

/* Defines `name` for a type of vectors. gcc 12 copies the accumulators of the intrinsic back and
 * forth; the instruction itself does not. */
#define NRW_DPBUSD(name, V)                                                                        \
    static inline __attribute__((always_inline)) V name(V acc, V u, V s) {                         \
        __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(s));                               \
        return acc;                                                                                \
    }

#endif
