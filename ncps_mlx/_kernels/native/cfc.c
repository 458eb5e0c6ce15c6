/* A dense CfC layer over a whole sequence, forward and backward, one member of a population after the other.

   A backbone of any number of layers, then the heads f, g and a gate:

       h' = f + s (g - f)  or  f + s g,   s = sigmoid(a dt + b) = 1/2 + tanh((a dt + b) / 2) / 2.

   Product 0 reads the inputs and the state, product i the layer below it; the last gives the heads. The functions'
   constants are multiplied into the weights (fold) and back out of their gradients (unfold); where the time step does
   not vary, so is that, and the heads a and b are one. Rows of H or U numbers are padded to whole vectors, with zeros
   that stay zeros or meet zeros. */

#include "arrays.h"
#include "products.h"

enum { TANH, RELU, SIGMOID }; /* the backbone's activation */

#define HALF 0.5f /* sigmoid through tanh: its argument's factor */

/* The layer; weights as the model has them, (out, in). */
typedef struct {
    long members, steps, batch, inputs, units, width, layers; /* N, T, B, D, H, U and the backbone's layers */
    long activation;
    long gated; /* whether f fades as g comes */
    float inner, outer; /* the activation's factors inside and outside its tanh */
    float dt; /* the time step, where it does not vary */
    Sequence x, times, mask; /* times and mask: NULL for none; the mask is of bytes */
    Array state, input_weight, recurrent_weight;
    const Array *weights; /* of the products after the first */
    const Array *biases; /* of all products */
    const Array *dropout; /* masks (T, B, U) of the backbone's layers, or NULL */
} Layer;

/* Gradients (N, ...), dense; of what is NULL, none. */
typedef struct {
    float *x, *times, *state, *input_weight, *recurrent_weight;
    float *const *weights, *const *biases;
} Gradients;

/* Vectors in a row of the state, a backbone layer, the heads. */
static long state_row(const Layer *l) { return vectors_in(l->units); }
static long width_row(const Layer *l) { return vectors_in(l->width); }
static long head_count(const Layer *l) { return l->times.data ? 4 : 3; }
static long head_row(const Layer *l) { return head_count(l) * state_row(l); }
static long result_row(const Layer *l, long i) { return i < l->layers ? width_row(l) : head_row(l); }
static long depth_of(const Layer *l, long i) { return i ? l->width : l->inputs + l->units; }

/* What the forward pass keeps of a member for the backward pass: for every step the state before it, each backbone
   layer, and the heads: f, g, and the gate's tanh after, if time steps vary, a. */
typedef struct {
    vec *state, *backbone, *heads;
} Kept;

static long lay_out_kept(const Layer *l, vec *block, Kept *kept) {
    long used = 0, rows = l->steps * l->batch;
    kept->state = take(block, &used, rows * state_row(l));
    kept->backbone = take(block, &used, l->layers * rows * width_row(l));
    kept->heads = take(block, &used, rows * head_row(l));
    return used;
}

/* How many floats of memory a member's forward pass keeps. */
long cfc_kept_floats(const Layer *l) {
    Kept kept;
    return lay_out_kept(l, NULL, &kept) * LANES;
}

/* The columns of the heads: the number of the model's row and the factor of the argument. */
static long head_source(const Layer *l, long head, float *factor) {
    *factor = head < 2 ? 1.0f : head == 2 && !l->times.data ? HALF * l->dt : HALF;
    return head * l->units;
}

typedef struct {
    const float *first, *second; /* rows of weights from the inputs, from the state; or from the layer below */
    long first_count, second_count;
    const float *bias;
} Parameters;

static Parameters parameters_of(const Layer *l, long i, long m) {
    Parameters p = {NULL, NULL, l->inputs, l->units, l->biases[i].data + m * l->biases[i].member};
    if (i) {
        p.first = l->weights[i - 1].data + m * l->weights[i - 1].member;
        p.first_count = l->width;
        p.second_count = 0;
    } else {
        p.first = l->input_weight.data + m * l->input_weight.member;
        p.second = l->recurrent_weight.data + m * l->recurrent_weight.member;
    }
    return p;
}

/* Add a row of a product's weights, times a factor, to a column of a matrix (depth + 1, columns): last its bias. */
static void fold_row(const Parameters *p, long row, float factor, float bias_factor, float *column, long columns) {
    for (long k = 0; k < p->first_count; k++) column[k * columns] += factor * p->first[row * p->first_count + k];
    column += p->first_count * columns;
    for (long k = 0; k < p->second_count; k++) column[k * columns] += factor * p->second[row * p->second_count + k];
    column[p->second_count * columns] += bias_factor * p->bias[row];
}

/* Product i's weights, and below them its bias, as a matrix (depth + 1, columns) that reads values and gives arguments. */
static void fold(const Layer *l, long i, long m, vec *matrix) {
    Parameters p = parameters_of(l, i, m);
    long columns = result_row(l, i) * LANES;
    float *to = (float *)matrix, below = i ? l->outer : 1.0f, factor;
    memset(to, 0, sizeof(float) * (depth_of(l, i) + 1) * columns);
    if (i < l->layers) {
        for (long j = 0; j < l->width; j++) fold_row(&p, j, l->inner * below, l->inner, to + j, columns);
        return;
    }
    for (long head = 0; head < head_count(l); head++) {
        long source = head_source(l, head, &factor);
        float *column = to + head * state_row(l) * LANES;
        for (long j = 0; j < l->units; j++) {
            fold_row(&p, source + j, factor * below, factor, column + j, columns);
            if (head == 2 && !l->times.data) fold_row(&p, source + l->units + j, HALF * below, HALF, column + j, columns);
        }
    }
}

static void unfold_row(const Layer *l, long i, const Gradients *g, long m, long row, float factor, float bias_factor,
                       const float *column, long columns) {
    long outputs = i < l->layers ? l->width : 4 * l->units;
    g->biases[i][m * outputs + row] = bias_factor * column[depth_of(l, i) * columns];
    if (i) {
        float *to = g->weights[i - 1] + (m * outputs + row) * l->width;
        for (long k = 0; k < l->width; k++) to[k] = factor * column[k * columns];
        return;
    }
    float *to = g->input_weight + (m * outputs + row) * l->inputs;
    for (long k = 0; k < l->inputs; k++) to[k] = factor * column[k * columns];
    to = g->recurrent_weight + (m * outputs + row) * l->units;
    for (long k = 0; k < l->units; k++) to[k] = factor * column[(l->inputs + k) * columns];
}

/* Gradients of product i's weights and bias from that of the matrix that fold made. */
static void unfold(const Layer *l, long i, long m, const vec *matrix, const Gradients *g) {
    long columns = result_row(l, i) * LANES;
    const float *from = (const float *)matrix;
    float below = i ? l->outer : 1.0f, factor;
    if (i < l->layers) {
        for (long j = 0; j < l->width; j++) unfold_row(l, i, g, m, j, l->inner * below, l->inner, from + j, columns);
        return;
    }
    for (long head = 0; head < head_count(l); head++) {
        long source = head_source(l, head, &factor);
        const float *column = from + head * state_row(l) * LANES;
        for (long j = 0; j < l->units; j++) {
            unfold_row(l, i, g, m, source + j, factor * below, factor, column + j, columns);
            if (head == 2 && !l->times.data)
                unfold_row(l, i, g, m, source + l->units + j, HALF * below, HALF, column + j, columns);
        }
    }
}

INLINE vec activate(long activation, vec x) {
    if (activation == TANH) return tanh_of(x);
    if (activation == RELU) return greatest(splat(0.0f), x);
    return splat(HALF) + splat(HALF) * tanh_of(splat(HALF) * x);
}

/* Its derivative, from its value. */
INLINE vec slope(long activation, vec y) {
    if (activation == TANH) return splat(1.0f) - y * y;
    if (activation == SIGMOID) return y * (splat(1.0f) - y);
    return (vec)((ivec)splat(1.0f) & (ivec)(y > splat(0.0f)));
}

static const float *dropout_of(const Layer *l, long i, long m, long t) {
    return l->dropout[i].data + m * l->dropout[i].member + t * l->batch * l->width;
}

/* to = from times a dropout mask of rows (B, U). */
static void drop(const Layer *l, const float *mask, const vec *from, vec *to) {
    for (long b = 0; b < l->batch; b++, mask += l->width)
        for (long j = 0; j < width_row(l); j++) *to++ = *from++ * load_part(mask + j * LANES, l->width - j * LANES);
}

/* Heads from arguments to values, in place, and the next state of each row. */
static void apply_heads(const Layer *l, long m, long t, vec *heads, const vec *state, vec *next) {
    long n = state_row(l);
    for (long b = 0; b < l->batch; b++, heads += head_row(l), state += n, next += n) {
        int reads = has_reading(l->mask, m, t, b);
        vec time = l->times.data ? splat(*row_of(l->times, m, t, b)) : splat(1.0f);
        for (long j = 0; j < n; j++) {
            vec f = tanh_of(heads[j]), g = tanh_of(heads[n + j]), a = heads[2 * n + j];
            vec gate = tanh_of(l->times.data ? a * time + heads[3 * n + j] : a);
            vec s = splat(HALF) + splat(HALF) * gate;
            heads[j] = f;
            heads[n + j] = g;
            heads[2 * n + j] = gate;
            if (l->times.data) heads[3 * n + j] = a;
            next[j] = reads ? f + s * (l->gated ? g - f : g) : state[j];
        }
    }
}

static void unpad(const vec *rows, long count, long units, float *to) {
    for (long r = 0; r < count; r++, rows += vectors_in(units))
        for (long j = 0; j < units; j += LANES) store_part(to + r * units + j, rows[j / LANES], units - j);
}

static void pad(const float *from, long count, long units, vec *rows) {
    for (long r = 0; r < count; r++)
        for (long j = 0; j < units; j += LANES) *rows++ = load_part(from + r * units + j, units - j);
}

/* Of each product, its weights in either direction and its bias. */
static long lay_out_products(const Layer *l, vec *block, long *used, vec **packed) {
    for (long i = 0; i <= l->layers; i++) packed[i] = take(block, used, depth_of(l, i) * result_row(l, i));
    return *used;
}

static long largest_matrix(const Layer *l) {
    long largest = 0;
    for (long i = 0; i <= l->layers; i++) {
        long size = (depth_of(l, i) + 1) * result_row(l, i);
        largest = size > largest ? size : largest;
    }
    return largest;
}

typedef struct {
    vec *matrix, *state, *backbone, *heads, *dropped, **packed, **biases;
} Forward;

/* What is kept is written where it stays; else into memory for one step. */
static long lay_out_forward(const Layer *l, vec *block, Forward *f, int keeps) {
    long used = 0;
    f->matrix = take(block, &used, largest_matrix(l));
    f->state = take(block, &used, l->batch * state_row(l));
    f->dropped = take(block, &used, l->dropout ? l->batch * width_row(l) : 0);
    f->backbone = take(block, &used, keeps ? 0 : l->batch * width_row(l) * l->layers);
    f->heads = take(block, &used, keeps ? 0 : l->batch * head_row(l));
    for (long i = 0; i <= l->layers; i++) f->biases[i] = take(block, &used, result_row(l, i));
    return lay_out_products(l, block, &used, f->packed);
}

static void forward_member(const Layer *l, long m, Forward *f, vec *kept_block, float *states, float *last) {
    long state_size = l->batch * state_row(l), width_size = l->batch * width_row(l);
    Kept kept;
    if (kept_block) lay_out_kept(l, kept_block, &kept);
    for (long i = 0; i <= l->layers; i++) {
        fold(l, i, m, f->matrix);
        pack(f->matrix, depth_of(l, i), result_row(l, i), f->packed[i]);
        memcpy(f->biases[i], f->matrix + depth_of(l, i) * result_row(l, i), sizeof(vec) * result_row(l, i));
    }
    pad(l->state.data + m * l->state.member, l->batch, l->units, kept_block ? kept.state : f->state);
    for (long t = 0; t < l->steps; t++) {
        vec *state = kept_block ? kept.state + t * state_size : f->state;
        vec *next = kept_block && t + 1 < l->steps ? state + state_size : f->state;
        vec *heads = kept_block ? kept.heads + t * l->batch * head_row(l) : f->heads;
        Rows a = {row_of(l->x, m, t, 0), l->x.row, l->inputs}, a2 = {(float *)state, state_row(l) * LANES, l->units};
        for (long i = 0; i < l->layers; i++) {
            vec *y = kept_block ? kept.backbone + (i * l->steps + t) * width_size : f->backbone + i * width_size;
            multiply(l->batch, a, a2, f->packed[i], f->biases[i], 0, y, width_row(l));
            if (l->activation == TANH)
                for (long j = 0; j < width_size; j++) y[j] = tanh_of(y[j]);
            else
                for (long j = 0; j < width_size; j++) y[j] = activate(l->activation, y[j]);
            if (l->dropout) {
                drop(l, dropout_of(l, i, m, t), y, f->dropped);
                y = f->dropped;
            }
            a = (Rows){(float *)y, width_row(l) * LANES, l->width};
            a2 = (Rows){a.data, 0, 0};
        }
        multiply(l->batch, a, a2, f->packed[l->layers], f->biases[l->layers], 0, heads, head_row(l));
        apply_heads(l, m, t, heads, state, next);
        if (states) unpad(next, l->batch, l->units, states + t * l->batch * l->units);
    }
    unpad(f->state, l->batch, l->units, last);
}

/* All states (N, T, B, H), unless that is NULL, and the last (N, B, H); what is kept, unless NULL, is for
   cfc_backward: cfc_kept_floats for each member, aligned as a vector. Returns 0, or 1 if memory is short. */
int cfc_forward(const Layer *l, float *kept, float *states, float *last) {
    vec *pointers[2 * (l->layers + 1)];
    Forward f = {.packed = pointers, .biases = pointers + l->layers + 1};
    vec *block = allocate(lay_out_forward(l, NULL, &f, kept != NULL));
    if (!block) return 1;
    Mode mode = flush_subnormals();
    lay_out_forward(l, block, &f, kept != NULL);
    long size = l->batch * l->units;
    for (long m = 0; m < l->members; m++) {
        vec *own = kept ? (vec *)(kept + m * cfc_kept_floats(l)) : NULL;
        forward_member(l, m, &f, own, states ? states + m * l->steps * size : NULL, last + m * size);
    }
    restore_mode(mode);
    free(block);
    return 0;
}

/* Steps that are gone back before the weights' gradients are added up: few enough to lie in the cache. */
static long chunk_steps(const Layer *l) {
    long steps = (255 + l->batch) / l->batch;
    return steps < l->steps ? steps : l->steps;
}

typedef struct {
    vec *matrix, *state, *to_inputs, *from_inputs, *dropped, **packed, **arguments, **sums;
    float *inputs;
} Backward;

static long lay_out_backward(const Layer *l, vec *block, Backward *w) {
    long used = 0, rows = chunk_steps(l) * l->batch;
    w->matrix = take(block, &used, largest_matrix(l));
    w->state = take(block, &used, l->batch * state_row(l));
    w->to_inputs = take(block, &used, vectors_in(l->inputs) * LANES * result_row(l, 0));
    w->from_inputs = take(block, &used, l->batch * vectors_in(l->inputs));
    w->dropped = take(block, &used, l->dropout ? rows * width_row(l) : 0);
    w->inputs = (float *)take(block, &used, vectors_in(rows * l->inputs));
    for (long i = 0; i <= l->layers; i++) {
        w->arguments[i] = take(block, &used, rows * result_row(l, i));
        w->sums[i] = take(block, &used, (depth_of(l, i) + 1) * result_row(l, i));
        long inputs = i ? width_row(l) : state_row(l);
        w->packed[i] = take(block, &used, inputs * LANES * result_row(l, i));
    }
    return used;
}

/* From the gradient of the next state to those of the heads' arguments; what bypasses the step stays. */
static void heads_back(const Layer *l, long m, long t, const vec *heads, vec *state, vec *to, float *times) {
    long n = state_row(l);
    vec one = splat(1.0f), half = splat(HALF), zero = splat(0.0f);
    for (long b = 0; b < l->batch; b++, heads += head_row(l), state += n, to += head_row(l)) {
        if (!has_reading(l->mask, m, t, b)) {
            memset(to, 0, sizeof(vec) * head_row(l));
            if (times) times[b] = 0.0f;
            continue;
        }
        vec time = l->times.data ? splat(*row_of(l->times, m, t, b)) : one, by_time = zero;
        for (long j = 0; j < n; j++) {
            vec f = heads[j], g = heads[n + j], gate = heads[2 * n + j], d = state[j], s = half + half * gate;
            vec of_gate = half * d * (l->gated ? g - f : g) * (one - gate * gate);
            to[j] = (l->gated ? d * (one - s) : d) * (one - f * f);
            to[n + j] = d * s * (one - g * g);
            to[2 * n + j] = of_gate * time;
            if (l->times.data) {
                to[3 * n + j] = of_gate;
                by_time += of_gate * heads[3 * n + j];
            }
            state[j] = zero;
        }
        if (times) times[b] = total(by_time);
    }
}

/* Add a chunk's rows to the gradients of the weights. */
static void add_chunk(const Layer *l, long m, long first, long steps, const Kept *kept, Backward *w) {
    long rows = steps * l->batch, width_size = l->batch * width_row(l);
    float *x = w->inputs;
    for (long t = first; t < first + steps; t++)
        for (long b = 0; b < l->batch; b++, x += l->inputs) memcpy(x, row_of(l->x, m, t, b), sizeof(float) * l->inputs);
    for (long i = 0; i <= l->layers; i++) {
        long columns = result_row(l, i);
        const vec *d = w->arguments[i];
        vec *sums = w->sums[i], *of_bias = sums + depth_of(l, i) * columns;
        if (i) {
            const vec *y = kept->backbone + ((i - 1) * l->steps + first) * width_size;
            if (l->dropout) {
                for (long t = 0; t < steps; t++)
                    drop(l, dropout_of(l, i - 1, m, first + t), y + t * width_size, w->dropped + t * width_size);
                y = w->dropped;
            }
            add_outer(l->width, (const float *)y, width_row(l) * LANES, rows, d, sums, columns);
        } else {
            const vec *states = kept->state + first * l->batch * state_row(l);
            add_outer(l->inputs, w->inputs, l->inputs, rows, d, sums, columns);
            add_outer(l->units, (const float *)states, state_row(l) * LANES, rows, d, sums + l->inputs * columns, columns);
        }
        for (long r = 0; r < rows; r++)
            for (long j = 0; j < columns; j++) of_bias[j] += d[r * columns + j];
    }
}

static void backward_member(const Layer *l, long m, const vec *kept_block, const float *by_states, const float *by_last,
                            Backward *w, const Gradients *g) {
    long chunk = chunk_steps(l), width_size = l->batch * width_row(l), end = l->steps, n = state_row(l);
    Kept kept;
    lay_out_kept(l, (vec *)kept_block, &kept);
    for (long i = 0; i <= l->layers; i++) {
        fold(l, i, m, w->matrix);
        pack_transposed(w->matrix, i ? 0 : l->inputs, i ? l->width : l->units, result_row(l, i), w->packed[i]);
        if (!i) pack_transposed(w->matrix, 0, l->inputs, result_row(l, i), w->to_inputs);
        memset(w->sums[i], 0, sizeof(vec) * (depth_of(l, i) + 1) * result_row(l, i));
    }
    pad(by_last, l->batch, l->units, w->state);
    for (long t = l->steps - 1; t >= 0; t--) {
        long first = end - chunk > 0 ? end - chunk : 0, row = (t - first) * l->batch;
        if (by_states) {
            const float *from = by_states + t * l->batch * l->units;
            for (long b = 0; b < l->batch; b++, from += l->units)
                for (long j = 0; j < n; j++) w->state[b * n + j] += load_part(from + j * LANES, l->units - j * LANES);
        }
        vec *d = w->arguments[l->layers] + row * head_row(l);
        float *times = g->times ? g->times + (m * l->steps + t) * l->batch : NULL;
        heads_back(l, m, t, kept.heads + t * l->batch * head_row(l), w->state, d, times);
        for (long i = l->layers; i > 0; i--) {
            Rows a = {(float *)d, result_row(l, i) * LANES, result_row(l, i) * LANES}, none = {a.data, 0, 0};
            const vec *y = kept.backbone + ((i - 1) * l->steps + t) * width_size;
            d = w->arguments[i - 1] + row * width_row(l);
            memset(d, 0, sizeof(vec) * width_size);
            multiply(l->batch, a, none, w->packed[i], d, width_row(l), d, width_row(l));
            for (long j = 0; j < width_size; j++) d[j] *= slope(l->activation, y[j]);
            if (l->dropout) drop(l, dropout_of(l, i - 1, m, t), d, d);
        }
        Rows a = {(float *)d, result_row(l, 0) * LANES, result_row(l, 0) * LANES}, none = {a.data, 0, 0};
        multiply(l->batch, a, none, w->packed[0], w->state, n, w->state, n);
        if (g->x) {
            long columns = vectors_in(l->inputs);
            memset(w->from_inputs, 0, sizeof(vec) * l->batch * columns);
            multiply(l->batch, a, none, w->to_inputs, w->from_inputs, columns, w->from_inputs, columns);
            unpad(w->from_inputs, l->batch, l->inputs, g->x + (m * l->steps + t) * l->batch * l->inputs);
        }
        if (t == first) {
            add_chunk(l, m, first, end - first, &kept, w);
            end = first;
        }
    }
    unpad(w->state, l->batch, l->units, g->state + m * l->batch * l->units);
    for (long i = 0; i <= l->layers; i++) unfold(l, i, m, w->sums[i], g);
}

/* Gradients from those by all states (N, T, B, H), unless NULL, and by the last (N, B, H). Returns 0, or 1 if memory is
   short. */
int cfc_backward(const Layer *l, const float *kept, const float *by_states, const float *by_last, const Gradients *g) {
    vec *pointers[3 * (l->layers + 1)];
    Backward w = {.packed = pointers, .arguments = pointers + l->layers + 1, .sums = pointers + 2 * (l->layers + 1)};
    vec *block = allocate(lay_out_backward(l, NULL, &w));
    if (!block) return 1;
    Mode mode = flush_subnormals();
    lay_out_backward(l, block, &w);
    long size = l->batch * l->units;
    for (long m = 0; m < l->members; m++) {
        const vec *own = (const vec *)(kept + m * cfc_kept_floats(l));
        backward_member(l, m, own, by_states ? by_states + m * l->steps * size : NULL, by_last + m * size, &w, g);
    }
    restore_mode(mode);
    free(block);
    return 0;
}
