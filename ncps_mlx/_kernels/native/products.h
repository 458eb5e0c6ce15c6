/* Products of the small matrices of a recurrent network, whose sums stay in registers.

   A tile of a result is TILE rows by one panel of up to PANEL vectors. Each of its numbers is summed in the order of
   depth, so a row's bits depend neither on the other rows nor on how many there are. */

#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "vectors.h"

#if LANES == 16 || defined(__aarch64__) /* 32 registers */
#define TILE 8
#define PANEL 3
#else
#define TILE 6
#define PANEL 2
#endif

/* How many of the vectors that are left form the next panel: never one alone if it can be helped. */
INLINE long panel_width(long left) {
    if (left <= PANEL) return left;
    return PANEL == 3 && left == 4 ? 2 : PANEL;
}

/* c = start + a b, then + a2 b2: a by its strides, b vectors one panel wide. */
INLINE void tile(int rows, int width, const float *a, long a_row, long a_depth, long depth, const float *a2, long a2_row,
                 long depth2, const vec *b, long b_depth, const vec *start, long start_row, vec *c, long c_row) {
    vec sum[TILE][PANEL];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < width; j++) sum[r][j] = start[r * start_row + j];
    for (long k = 0; k < depth; k++, a += a_depth, b += b_depth) {
        vec right[PANEL];
        UNROLL for (int j = 0; j < width; j++) right[j] = b[j];
        UNROLL for (int r = 0; r < rows; r++) {
            vec left = splat(a[r * a_row]);
            UNROLL for (int j = 0; j < width; j++) sum[r][j] += left * right[j];
        }
    }
    for (long k = 0; k < depth2; k++, a2++, b += b_depth) {
        vec right[PANEL];
        UNROLL for (int j = 0; j < width; j++) right[j] = b[j];
        UNROLL for (int r = 0; r < rows; r++) {
            vec left = splat(a2[r * a2_row]);
            UNROLL for (int j = 0; j < width; j++) sum[r][j] += left * right[j];
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < width; j++) c[r * c_row + j] = sum[r][j];
}

INLINE void tiles(int width, long rows, const float *a, long a_row, long a_depth, long depth, const float *a2,
                  long a2_row, long depth2, const vec *b, long b_depth, const vec *start, long start_row, vec *c,
                  long c_row) {
    long r = 0;
#define ROWS(count)                                                                                                    \
    tile(count, width, a + r * a_row, a_row, a_depth, depth, a2 + r * a2_row, a2_row, depth2, b, b_depth,              \
         start + r * start_row, start_row, c + r * c_row, c_row);                                                      \
    r += count
    while (r + TILE <= rows) { ROWS(TILE); }
    if (r + 4 <= rows) { ROWS(4); }
    if (r + 2 <= rows) { ROWS(2); }
    if (r + 1 <= rows) { ROWS(1); }
#undef ROWS
}

/* A left factor: its rows, each of so many numbers. */
typedef struct {
    const float *data;
    long row, depth;
} Rows;

#define NO_ROWS ((Rows){NULL, 0, 0})

/* c (rows, columns) = start + [a, a2] b, with b packed; start_row 0: the same row for all. */
static void multiply(long rows, Rows a, Rows a2, const vec *packed, const vec *start, long start_row, vec *c,
                     long columns) {
    for (long j = 0, width; j < columns; j += width) {
        width = panel_width(columns - j);
#define WIDTH(count)                                                                                                   \
    case count:                                                                                                        \
        tiles(count, rows, a.data, a.row, 1, a.depth, a2.data, a2.row, a2.depth, packed, count, start + j, start_row,  \
              c + j, columns);                                                                                         \
        break
        switch (width) {
            WIDTH(1);
            WIDTH(2);
#if PANEL == 3
            WIDTH(3);
#endif
        }
#undef WIDTH
        packed += (a.depth + a2.depth) * width;
    }
}

/* c (count, columns) += a^T b, over rows: a's rows hold count numbers or more. */
static void add_outer(long count, const float *a, long a_row, long rows, const vec *b, vec *c, long columns) {
    for (long j = 0, width; j < columns; j += width) {
        width = panel_width(columns - j);
#define WIDTH(number)                                                                                                  \
    case number:                                                                                                       \
        tiles(number, count, a, 1, a_row, rows, a, 0, 0, b + j, columns, c + j, columns, c + j, columns);              \
        break
        switch (width) {
            WIDTH(1);
            WIDTH(2);
#if PANEL == 3
            WIDTH(3);
#endif
        }
#undef WIDTH
    }
}

/* Lay a matrix (depth, columns) out panel by panel, as multiply reads it. */
static void pack(const vec *matrix, long depth, long columns, vec *packed) {
    for (long j = 0, width; j < columns; j += width) {
        width = panel_width(columns - j);
        for (long k = 0; k < depth; k++)
            for (long i = 0; i < width; i++) *packed++ = matrix[k * columns + j + i];
    }
}

/* The same for the transpose of some rows of a matrix (., columns): depth becomes all its numbers in a row. */
static void pack_transposed(const vec *matrix, long first, long count, long columns, vec *packed) {
    long depth = columns * LANES, vectors = vectors_in(count);
    const float *from = (const float *)matrix + first * depth;
    for (long j = 0, width; j < vectors; j += width) {
        width = panel_width(vectors - j);
        long lanes = width * LANES;
        float *to = (float *)packed;
        for (long i = 0; i < lanes; i++) {
            long row = j * LANES + i;
            for (long k = 0; k < depth; k++) to[k * lanes + i] = row < count ? from[row * depth + k] : 0.0f;
        }
        packed += depth * width;
    }
}

#endif
