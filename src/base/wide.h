/* Loops for the vectors that the processor has. */
#ifndef NRW_BASE_WIDE_H
#define NRW_BASE_WIDE_H

/* Marks a function for compilation at several vector widths, chosen when the program loads. What it
 * gives does not depend on the width: floats are neither contracted nor reassociated. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) &&   \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define NRW_WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define NRW_WIDE
#endif

#endif
