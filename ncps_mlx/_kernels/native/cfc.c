/* A dense CfC layer over a whole sequence, forward and backward, one member of a population after the other.

   A backbone of any number of layers, then the heads f, g and a gate:

       h' = f + s (g - f)  or  f + s g,   s = sigmoid(a dt + b) = 1/2 + tanh((a dt + b) / 2) / 2.

   Where the time step does not vary, it is multiplied into the weights, and the heads a and b are one. */

#include "backbone.h"

typedef struct {
    long members, steps, batch; /* N, T, B */
    long gated; /* whether f fades as g comes */
    float dt; /* the time step, where it does not vary */
    Sequence x, times, mask; /* the mask is of bytes */
    Array state;
    Backbone net;
} Layer;

/* Gradients (N, ...), dense; x, times and state: NULL for those that nobody wants. */
typedef struct {
    float *x, *times, *state;
    OfBackbone net;
} Gradients;

/* Vectors in a row of the heads, and of product i's results. */
static long head_count(const Layer *l) { return l->times.data ? 4 : 3; }
static long head_row(const Layer *l) { return head_count(l) * state_row(&l->net); }
static long result_row(const Layer *l, long i) { return i < l->net.layers ? width_row(&l->net) : head_row(l); }

/* What the forward pass keeps of a member for the backward pass: for every step the state before it, each backbone
   layer, and the heads: f, g, the gate's tanh and, if time steps vary, a. */
typedef struct {
    vec *state, *backbone, *heads;
} Kept;

static long lay_out_kept(const Layer *l, vec *block, Kept *kept) {
    long used = 0, rows = l->steps * l->batch;
    kept->state = take(block, &used, rows * state_row(&l->net));
    kept->backbone = take(block, &used, l->net.layers * rows * width_row(&l->net));
    kept->heads = take(block, &used, rows * head_row(l));
    return used;
}

/* The factor of a head's argument; of the gate's where time steps do not vary, that of a. */
static float head_factor(const Layer *l, long head) {
    return head < 2 ? 1.0f : head == 2 && !l->times.data ? HALF * l->dt : HALF;
}

/* Product i as a matrix (depth + 1, columns) that reads values and gives arguments; below it its bias. */
static void fold(const Layer *l, long i, long m, vec *matrix) {
    const Backbone *n = &l->net;
    if (i < n->layers) {
        fold_product(n, i, m, matrix);
        return;
    }
    long columns = head_row(l) * LANES;
    memset(matrix, 0, sizeof(float) * (depth_of(n, i) + 1) * columns);
    for (long head = 0; head < head_count(l); head++)
        for (long j = 0; j < n->units; j++) {
            float *column = (float *)(matrix + head * state_row(n)) + j;
            fold_row(n, i, m, head * n->units + j, head_factor(l, head), column, columns);
            if (head == 2 && !l->times.data) fold_row(n, i, m, 3 * n->units + j, HALF, column, columns);
        }
}

/* Gradients of product i's weights and bias from that of the matrix that fold made. */
static void unfold(const Layer *l, long i, long m, const vec *matrix, const OfBackbone *g) {
    const Backbone *n = &l->net;
    if (i < n->layers) {
        unfold_product(n, i, m, matrix, g);
        return;
    }
    long columns = head_row(l) * LANES;
    for (long head = 0; head < head_count(l); head++)
        for (long j = 0; j < n->units; j++) {
            const float *column = (const float *)(matrix + head * state_row(n)) + j;
            unfold_row(n, i, m, head * n->units + j, head_factor(l, head), column, columns, g);
            if (head == 2 && !l->times.data) unfold_row(n, i, m, 3 * n->units + j, HALF, column, columns, g);
        }
}

/* Heads from arguments to values, in place, and the next state of each row. */
static void apply_heads(const Layer *l, long m, long t, vec *heads, const vec *state, vec *next) {
    long n = state_row(&l->net);
    vec half = splat(HALF);
    for (long b = 0; b < l->batch; b++, heads += head_row(l), state += n, next += n) {
        int reads = has_reading(l->mask, m, t, b);
        vec time = l->times.data ? splat(*row_of(l->times, m, t, b)) : splat(1.0f);
        for (long j = 0; j < n; j++) {
            vec f = tanh_of(heads[j]), g = tanh_of(heads[n + j]), a = heads[2 * n + j];
            vec gate = tanh_of(l->times.data ? a * time + heads[3 * n + j] : a);
            vec s = half + half * gate;
            heads[j] = f;
            heads[n + j] = g;
            heads[2 * n + j] = gate;
            if (l->times.data) heads[3 * n + j] = a;
            next[j] = reads ? f + s * (l->gated ? g - f : g) : state[j];
        }
    }
}

typedef struct {
    vec *matrix, *state, *backbone, *heads, *dropped, **packed, **biases;
} Forward;

/* What is kept is written where it stays; else into memory for one step. */
static long lay_out_forward(const Layer *l, vec *block, Forward *f, int keeps) {
    const Backbone *n = &l->net;
    long used = 0;
    f->matrix = take(block, &used, largest_matrix(n, result_row(l, n->layers)));
    f->state = take(block, &used, l->batch * state_row(n));
    f->dropped = take(block, &used, n->dropout ? l->batch * width_row(n) : 0);
    f->backbone = take(block, &used, keeps ? 0 : l->batch * width_row(n) * n->layers);
    f->heads = take(block, &used, keeps ? 0 : l->batch * head_row(l));
    for (long i = 0; i <= n->layers; i++) {
        f->biases[i] = take(block, &used, result_row(l, i));
        f->packed[i] = take(block, &used, depth_of(n, i) * result_row(l, i));
    }
    return used;
}

static void forward_member(const Layer *l, long m, Forward *f, const Kept *kept, float *states, float *last) {
    const Backbone *n = &l->net;
    long state_size = l->batch * state_row(n), width_size = l->batch * width_row(n);
    for (long i = 0; i <= n->layers; i++) {
        fold(l, i, m, f->matrix);
        pack(f->matrix, depth_of(n, i), result_row(l, i), f->packed[i]);
        memcpy(f->biases[i], f->matrix + depth_of(n, i) * result_row(l, i), sizeof(vec) * result_row(l, i));
    }
    pad(l->state.data + m * l->state.member, l->batch, n->units, kept ? kept->state : f->state);
    for (long t = 0; t < l->steps; t++) {
        vec *state = kept ? kept->state + t * state_size : f->state;
        vec *next = kept && t + 1 < l->steps ? state + state_size : f->state;
        vec *heads = kept ? kept->heads + t * l->batch * head_row(l) : f->heads;
        Rows a = {row_of(l->x, m, t, 0), l->x.row, n->inputs}, a2 = {(float *)state, state_row(n) * LANES, n->units};
        for (long i = 0; i < n->layers; i++) {
            vec *y = kept ? kept->backbone + (i * l->steps + t) * width_size : f->backbone + i * width_size;
            multiply(l->batch, a, a2, f->packed[i], f->biases[i], 0, y, width_row(n));
            activate(n->activation, y, width_size);
            if (n->dropout) {
                drop(n, dropout_of(n, i, m, t, l->batch), l->batch, y, f->dropped);
                y = f->dropped;
            }
            a = (Rows){(float *)y, width_row(n) * LANES, n->width};
            a2 = NO_ROWS;
        }
        multiply(l->batch, a, a2, f->packed[n->layers], f->biases[n->layers], 0, heads, head_row(l));
        apply_heads(l, m, t, heads, state, next);
        if (states) unpad(next, l->batch, n->units, states + t * l->batch * n->units);
    }
    unpad(f->state, l->batch, n->units, last);
}

/* Few enough for their rows to lie in the cache. */
static long steps_in_chunk(const Layer *l) {
    long steps = (255 + l->batch) / l->batch;
    return steps < l->steps ? steps : l->steps;
}

typedef struct {
    vec *matrix, *zeros, *state, *to_inputs, *from_inputs, *dropped, **packed, **arguments, **sums;
    float *inputs;
} Backward;

static long lay_out_backward(const Layer *l, vec *block, Backward *w) {
    const Backbone *n = &l->net;
    long used = 0, rows = steps_in_chunk(l) * l->batch;
    w->matrix = take(block, &used, largest_matrix(n, result_row(l, n->layers)));
    w->zeros = take(block, &used, width_row(n) + vectors_in(n->inputs));
    w->state = take(block, &used, l->batch * state_row(n));
    w->to_inputs = take(block, &used, vectors_in(n->inputs) * LANES * result_row(l, 0));
    w->from_inputs = take(block, &used, l->batch * vectors_in(n->inputs));
    w->dropped = take(block, &used, n->dropout ? rows * width_row(n) : 0);
    w->inputs = (float *)take(block, &used, vectors_in(rows * n->inputs));
    for (long i = 0; i <= n->layers; i++) {
        w->arguments[i] = take(block, &used, rows * result_row(l, i));
        w->sums[i] = take(block, &used, (depth_of(n, i) + 1) * result_row(l, i));
        w->packed[i] = take(block, &used, (i ? width_row(n) : state_row(n)) * LANES * result_row(l, i));
    }
    return used;
}

/* From the gradient of the next state to those of the heads' arguments; what bypasses the step stays. */
static void heads_back(const Layer *l, long m, long t, const vec *heads, vec *state, vec *to, float *times) {
    long n = state_row(&l->net);
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
    const Backbone *n = &l->net;
    long rows = steps * l->batch, width_size = l->batch * width_row(n);
    gather_inputs(l->x, m, first, steps, l->batch, n->inputs, w->inputs);
    for (long i = 0; i <= n->layers; i++) {
        long columns = result_row(l, i);
        const vec *d = w->arguments[i];
        vec *sums = w->sums[i];
        if (i) {
            const vec *y = kept->backbone + ((i - 1) * l->steps + first) * width_size;
            for (long t = 0; n->dropout && t < steps; t++)
                drop(n, dropout_of(n, i - 1, m, first + t, l->batch), l->batch, y + t * width_size,
                     w->dropped + t * width_size);
            if (n->dropout) y = w->dropped;
            add_outer(n->width, (const float *)y, width_row(n) * LANES, rows, d, sums, columns);
        } else {
            const float *states = (const float *)(kept->state + first * l->batch * state_row(n));
            add_outer(n->inputs, w->inputs, n->inputs, rows, d, sums, columns);
            add_outer(n->units, states, state_row(n) * LANES, rows, d, sums + n->inputs * columns, columns);
        }
        add_rows(d, rows, columns, sums + depth_of(n, i) * columns);
    }
}

/* Step t back, in its chunk: w->state from the gradient of the state after it to that of the state before it. */
static void step_back(const Layer *l, long m, long t, long in_chunk, const Kept *kept, Backward *w, const Gradients *g) {
    const Backbone *n = &l->net;
    long width_size = l->batch * width_row(n), place = (m * l->steps + t) * l->batch, row = in_chunk * l->batch;
    vec *d = w->arguments[n->layers] + row * head_row(l);
    if (t) {
        fetch_ahead(kept->heads + (t - 1) * l->batch * head_row(l), l->batch * head_row(l));
        for (long i = 0; i < n->layers; i++)
            fetch_ahead(kept->backbone + (i * l->steps + t - 1) * width_size, width_size);
    }
    heads_back(l, m, t, kept->heads + t * l->batch * head_row(l), w->state, d, g->times ? g->times + place : NULL);
    for (long i = n->layers; i > 0; i--) {
        Rows a = {(float *)d, result_row(l, i) * LANES, result_row(l, i) * LANES};
        const vec *y = kept->backbone + ((i - 1) * l->steps + t) * width_size;
        d = w->arguments[i - 1] + row * width_row(n);
        multiply(l->batch, a, NO_ROWS, w->packed[i], w->zeros, 0, d, width_row(n));
        for (long j = 0; j < width_size; j++) d[j] *= slope_of(n->activation, y[j]);
        if (n->dropout) drop(n, dropout_of(n, i - 1, m, t, l->batch), l->batch, d, d);
    }
    Rows a = {(float *)d, result_row(l, 0) * LANES, result_row(l, 0) * LANES};
    multiply(l->batch, a, NO_ROWS, w->packed[0], w->state, state_row(n), w->state, state_row(n));
    if (!g->x) return;
    multiply(l->batch, a, NO_ROWS, w->to_inputs, w->zeros, 0, w->from_inputs, vectors_in(n->inputs));
    unpad(w->from_inputs, l->batch, n->inputs, g->x + place * n->inputs);
}

static void begin_backward(const Layer *l, long m, Backward *w) {
    const Backbone *n = &l->net;
    for (long i = 0; i <= n->layers; i++) {
        fold(l, i, m, w->matrix);
        pack_transposed(w->matrix, i ? 0 : n->inputs, i ? n->width : n->units, result_row(l, i), w->packed[i]);
        if (!i) pack_transposed(w->matrix, 0, n->inputs, result_row(l, i), w->to_inputs);
        memset(w->sums[i], 0, sizeof(vec) * (depth_of(n, i) + 1) * result_row(l, i));
    }
}

static void end_backward(const Layer *l, long m, const Backward *w, const Gradients *g) {
    for (long i = 0; i <= l->net.layers; i++) unfold(l, i, m, w->sums[i], &g->net);
}

#define KERNEL(action) cfc_##action
#include "dense.h"
