/* The arrays of a population as Python hands them over (_arrays.py). */

#ifndef ARRAYS_H
#define ARRAYS_H

/* One array of each member, the next member's so many floats later. */
typedef struct {
    const float *data;
    long member;
} Array;

/* A sequence (T, B, .) of each member, by strides; NULL for none. */
typedef struct {
    const void *data;
    long member, step, row;
} Sequence;

static inline const float *row_of(Sequence s, long m, long t, long b) {
    return (const float *)s.data + m * s.member + t * s.step + b * s.row;
}

/* Of a mask of bytes; where there is none, everything is a reading. */
static inline int has_reading(Sequence mask, long m, long t, long b) {
    return !mask.data || ((const unsigned char *)mask.data)[m * mask.member + t * mask.step + b * mask.row];
}

#endif
