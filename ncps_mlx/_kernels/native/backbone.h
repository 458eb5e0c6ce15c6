/* The perceptron on [x, h] in a dense cell: products whose constants are multiplied into their weights.

   Product 0 reads the inputs and the state, product i the layer below it. Rows of numbers are padded to whole vectors,
   with zeros that stay zeros or meet zeros. */

#ifndef BACKBONE_H
#define BACKBONE_H

#include "arrays.h"
#include "products.h"

enum { TANH, RELU, SIGMOID }; /* activations */

#define HALF 0.5f /* sigmoid through tanh: its argument's factor */

/* Weights as the model has them, (out, in). */
typedef struct {
    long inputs, units, width, layers, outputs; /* D, H, U, backbone layers, outputs of the last product */
    long activation;
    float inner, outer; /* its factors inside and outside a tanh */
    Array input_weight, recurrent_weight;
    const Array *weights; /* of the products after the first */
    const Array *biases; /* of all products */
    const Array *dropout; /* masks (T, B, U) of the backbone's layers, or NULL */
} Backbone;

/* Gradients (N, ...), dense. */
typedef struct {
    float *input_weight, *recurrent_weight;
    float *const *weights, *const *biases;
} OfBackbone;

/* Vectors in a row of a state, of a backbone layer. */
static inline long state_row(const Backbone *n) { return vectors_in(n->units); }
static inline long width_row(const Backbone *n) { return vectors_in(n->width); }

/* Numbers that product i reads, and results it has in the model. */
static inline long depth_of(const Backbone *n, long i) { return i ? n->width : n->inputs + n->units; }
static inline long outputs_of(const Backbone *n, long i) { return i < n->layers ? n->width : n->outputs; }

/* The factor of the values that product i reads from a layer below it. */
static inline float below_of(const Backbone *n, long i) { return i ? n->outer : 1.0f; }

/* Vectors in the largest of the products' matrices (depth + 1, columns), given those in a row of the last. */
static long largest_matrix(const Backbone *n, long last_row) {
    long largest = 0;
    for (long i = 0; i <= n->layers; i++) {
        long size = (depth_of(n, i) + 1) * (i < n->layers ? width_row(n) : last_row);
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Add a row of product i's weights, times a factor and that of what it reads, to a column of a matrix (depth + 1,
   columns); its bias, times the factor, comes last. */
static void fold_row(const Backbone *n, long i, long m, long row, float factor, float *column, long columns) {
    float scale = factor * below_of(n, i);
    column[depth_of(n, i) * columns] += factor * n->biases[i].data[m * n->biases[i].member + row];
    if (i) {
        const float *from = n->weights[i - 1].data + m * n->weights[i - 1].member + row * n->width;
        for (long k = 0; k < n->width; k++) column[k * columns] += scale * from[k];
        return;
    }
    const float *from = n->input_weight.data + m * n->input_weight.member + row * n->inputs;
    for (long k = 0; k < n->inputs; k++) column[k * columns] += scale * from[k];
    from = n->recurrent_weight.data + m * n->recurrent_weight.member + row * n->units;
    column += n->inputs * columns;
    for (long k = 0; k < n->units; k++) column[k * columns] += scale * from[k];
}

/* The gradient of that row from that of the column. */
static void unfold_row(const Backbone *n, long i, long m, long row, float factor, const float *column, long columns,
                       const OfBackbone *g) {
    float scale = factor * below_of(n, i);
    long at = m * outputs_of(n, i) + row;
    g->biases[i][at] = factor * column[depth_of(n, i) * columns];
    if (i) {
        for (long k = 0; k < n->width; k++) g->weights[i - 1][at * n->width + k] = scale * column[k * columns];
        return;
    }
    for (long k = 0; k < n->inputs; k++) g->input_weight[at * n->inputs + k] = scale * column[k * columns];
    column += n->inputs * columns;
    for (long k = 0; k < n->units; k++) g->recurrent_weight[at * n->units + k] = scale * column[k * columns];
}

/* A product whose results go through the activation, as a matrix (depth + 1, columns): from values to arguments. */
static void fold_product(const Backbone *n, long i, long m, vec *matrix) {
    long count = outputs_of(n, i), columns = vectors_in(count) * LANES;
    memset(matrix, 0, sizeof(float) * (depth_of(n, i) + 1) * columns);
    for (long j = 0; j < count; j++) fold_row(n, i, m, j, n->inner, (float *)matrix + j, columns);
}

static void unfold_product(const Backbone *n, long i, long m, const vec *matrix, const OfBackbone *g) {
    long count = outputs_of(n, i), columns = vectors_in(count) * LANES;
    for (long j = 0; j < count; j++) unfold_row(n, i, m, j, n->inner, (const float *)matrix + j, columns, g);
}

INLINE vec activation_of(long activation, vec x) {
    if (activation == TANH) return tanh_of(x);
    if (activation == RELU) return greatest(splat(0.0f), x);
    return splat(HALF) + splat(HALF) * tanh_of(splat(HALF) * x);
}

static void activate(long activation, vec *x, long count) {
    if (activation == TANH)
        for (long i = 0; i < count; i++) x[i] = tanh_of(x[i]);
    else
        for (long i = 0; i < count; i++) x[i] = activation_of(activation, x[i]);
}

/* The activation's derivative, from its value. */
INLINE vec slope_of(long activation, vec y) {
    if (activation == TANH) return splat(1.0f) - y * y;
    if (activation == SIGMOID) return y * (splat(1.0f) - y);
    return (vec)((ivec)splat(1.0f) & (ivec)(y > splat(0.0f)));
}

/* The dropout masks (B, U) of layer i at one step. */
static inline const float *dropout_of(const Backbone *n, long i, long m, long t, long batch) {
    return n->dropout[i].data + m * n->dropout[i].member + t * batch * n->width;
}

/* to = from times a dropout mask of rows (B, U). */
static void drop(const Backbone *n, const float *mask, long batch, const vec *from, vec *to) {
    for (long b = 0; b < batch; b++, mask += n->width)
        for (long j = 0; j < width_row(n); j++) *to++ = *from++ * load_part(mask + j * LANES, n->width - j * LANES);
}

/* Padded rows from dense ones, and back. */
static void pad(const float *from, long count, long units, vec *rows) {
    for (long r = 0; r < count; r++)
        for (long j = 0; j < units; j += LANES) *rows++ = load_part(from + r * units + j, units - j);
}

static void add_padded(const float *from, long count, long units, vec *rows) {
    for (long r = 0; r < count; r++)
        for (long j = 0; j < units; j += LANES) *rows++ += load_part(from + r * units + j, units - j);
}

static void unpad(const vec *rows, long count, long units, float *to) {
    for (long r = 0; r < count; r++, rows += vectors_in(units))
        for (long j = 0; j < units; j += LANES) store_part(to + r * units + j, rows[j / LANES], units - j);
}

/* The inputs of some steps as dense rows. */
static void gather_inputs(Sequence x, long m, long first, long steps, long batch, long inputs, float *to) {
    for (long t = first; t < first + steps; t++)
        for (long b = 0; b < batch; b++, to += inputs) memcpy(to, row_of(x, m, t, b), sizeof(float) * inputs);
}

INLINE void add_columns(int wide, const vec *rows, long count, long columns, vec *sum) {
    vec own[4];
    UNROLL for (int j = 0; j < wide; j++) own[j] = sum[j];
    for (long r = 0; r < count; r++, rows += columns)
        UNROLL for (int j = 0; j < wide; j++) own[j] += rows[j];
    UNROLL for (int j = 0; j < wide; j++) sum[j] = own[j];
}

static void add_rows(const vec *rows, long count, long columns, vec *sum) {
    long j = 0;
    for (; j + 4 <= columns; j += 4) add_columns(4, rows + j, count, columns, sum + j);
    for (; j < columns; j++) add_columns(1, rows + j, count, columns, sum + j);
}

#endif
