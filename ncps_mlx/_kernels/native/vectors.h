/* Vectors of floats as wide as the processor's, tanh on them, and arithmetic without subnormal numbers. */

#ifndef VECTORS_H
#define VECTORS_H

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

#define ALIGNMENT 64 /* bytes: a cache line, and no vector is longer */
#define INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int ivec __attribute__((vector_size(4 * LANES))); /* what a comparison gives: all bits or none */

INLINE vec splat(float x) {
#if LANES == 16
    return (vec)_mm512_set1_ps(x);
#elif LANES == 8
    return (vec)_mm256_set1_ps(x);
#else
    return (vec){x, x, x, x};
#endif
}

/* From memory that need not be aligned. */
INLINE vec load(const float *from) {
    vec x;
    memcpy(&x, from, sizeof x);
    return x;
}

/* The first numbers of a row that ends before the vector does; the rest are zeros. A count beyond the vector is a whole. */
INLINE vec load_part(const float *from, long count) {
    if (count >= LANES) return load(from);
#if LANES == 16
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
#else
    vec x = {0};
    for (int i = 0; i < LANES; i++)
        if (i < count) x[i] = from[i];
    return x;
#endif
}

INLINE void store_part(float *to, vec x, long count) {
    if (count >= LANES) {
        memcpy(to, &x, sizeof x);
        return;
    }
#if LANES == 16
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)x);
#else
    for (int i = 0; i < LANES; i++)
        if (i < count) to[i] = x[i];
#endif
}

/* The smaller and the larger of two; NaN where x is. */
INLINE vec least(vec bound, vec x) {
#if LANES == 16
    return (vec)_mm512_min_ps((__m512)bound, (__m512)x);
#elif LANES == 8
    return (vec)_mm256_min_ps((__m256)bound, (__m256)x);
#elif defined(__x86_64__)
    return (vec)_mm_min_ps((__m128)bound, (__m128)x);
#elif defined(__aarch64__)
    return (vec)vminq_f32((float32x4_t)bound, (float32x4_t)x);
#else
    for (int i = 0; i < LANES; i++) x[i] = x[i] > bound[i] ? bound[i] : x[i];
    return x;
#endif
}

INLINE vec greatest(vec bound, vec x) {
    return -least(-bound, -x);
}

INLINE float total(vec x) {
    float sum = 0.0f;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

/* As rational_tanh.py, where the coefficients come from: an error of at most 3.5e-7. */
INLINE vec tanh_of(vec x) {
    x = greatest(splat(-7.9f), least(splat(7.9f), x));
    vec u = x * x, square = u * u;
    vec above = (splat(0.999999973f) + splat(0.134444373f) * u)
              + ((splat(0.00357167904f) + splat(2.19031396e-05f) * u) + splat(1.52592956e-08f) * square) * square;
    vec below = (splat(1.0f) + splat(0.467777594f) * u)
              + ((splat(0.0261643479f) + splat(0.000341171544f) * u) + splat(8.53039049e-07f) * square) * square;
    return x * (above / below);
}

/* Subnormal numbers, such as vanishing gradients, take some processors a hundred times as long: they become zeros here,
   and the caller's mode comes back. */
#if defined(__x86_64__)
typedef unsigned int Mode;
INLINE Mode flush_subnormals(void) {
    Mode before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
INLINE void restore_mode(Mode before) { _mm_setcsr(before); }
#elif defined(__aarch64__)
typedef unsigned long long Mode;
INLINE Mode flush_subnormals(void) {
    Mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (1ull << 24)));
    return before;
}
INLINE void restore_mode(Mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int Mode;
INLINE Mode flush_subnormals(void) { return 0; }
INLINE void restore_mode(Mode before) { (void)before; }
#endif

INLINE long vectors_in(long floats) { return (floats + LANES - 1) / LANES; }

/* Ask for memory that is read soon, so that it is there by then. */
INLINE void fetch_ahead(const vec *from, long vectors) {
    const char *byte = (const char *)from;
    for (long i = 0; i < vectors * (long)sizeof(vec); i += ALIGNMENT) __builtin_prefetch(byte + i);
}

/* The next part of a block of memory; counts only, while there is no block. */
INLINE vec *take(vec *block, long *used, long vectors) {
    vec *part = block ? block + *used : NULL;
    *used += vectors + (vectors & 1); /* pairs, so that even vectors of 32 bytes begin at a cache line */
    return part;
}

INLINE vec *allocate(long vectors) {
    void *memory = NULL;
    return posix_memalign(&memory, ALIGNMENT, sizeof(vec) * (vectors ? vectors : 1)) ? NULL : memory;
}

#endif
