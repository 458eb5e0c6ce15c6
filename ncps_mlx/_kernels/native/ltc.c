/* A dense LTC layer over a whole sequence, forward and backward, one member of a population after the other.

   A solver step of length d is

       h' = (h + d f A) / (1 + d (leak + f)),

   where f is the activation of the last product of the perceptron on [x, h]. The inputs' part of its first product is
   the same in all solver steps of a time step. */

#include "backbone.h"

typedef struct {
    long members, steps, batch, unfolds; /* N, T, B, K */
    float dt; /* of a solver step, where it does not vary */
    Sequence x, times, mask; /* times: of a solver step; the mask is of bytes */
    Array state, leak, target;
    Backbone net;
} Layer;

/* Gradients (N, ...), dense; x, times and state: NULL for those that nobody wants. */
typedef struct {
    float *x, *times, *state, *leak, *target;
    OfBackbone net;
} Gradients;

/* Vectors in a row of product i's results. */
static long result_row(const Layer *l, long i) { return i < l->net.layers ? width_row(&l->net) : state_row(&l->net); }

/* What the forward pass keeps of a member: the states before all solver steps and the last, and in the steps each
   backbone layer and the gate's activation. */
typedef struct {
    vec *state, *backbone, *gate;
} Kept;

static long lay_out_kept(const Layer *l, vec *block, Kept *kept) {
    long used = 0, rows = l->steps * l->unfolds * l->batch;
    kept->state = take(block, &used, (rows + l->batch) * state_row(&l->net));
    kept->backbone = take(block, &used, l->net.layers * rows * width_row(&l->net));
    kept->gate = take(block, &used, rows * state_row(&l->net));
    return used;
}

/* What is kept of product i. */
static vec *kept_values(const Layer *l, const Kept *kept, long i) {
    long rows = l->steps * l->unfolds * l->batch;
    return i < l->net.layers ? kept->backbone + i * rows * width_row(&l->net) : kept->gate;
}

static vec time_of(const Layer *l, long m, long t, long b) {
    return splat(l->times.data ? *row_of(l->times, m, t, b) : l->dt);
}

typedef struct {
    vec *matrix, *state, *values, *dropped, *from_inputs, *of_inputs, *leak, *target, **packed, **biases;
} Forward;

/* What is kept is written where it stays; else into memory for one step. */
static long lay_out_forward(const Layer *l, vec *block, Forward *f, int keeps) {
    const Backbone *n = &l->net;
    long used = 0;
    f->matrix = take(block, &used, largest_matrix(n, result_row(l, n->layers)));
    f->state = take(block, &used, 2 * l->batch * state_row(n));
    f->values = take(block, &used, keeps ? 0 : l->batch * (n->layers * width_row(n) + state_row(n)));
    f->dropped = take(block, &used, n->dropout ? l->batch * width_row(n) : 0);
    f->from_inputs = take(block, &used, n->inputs * result_row(l, 0));
    f->of_inputs = take(block, &used, l->batch * result_row(l, 0));
    f->leak = take(block, &used, state_row(n));
    f->target = take(block, &used, state_row(n));
    for (long i = 0; i <= n->layers; i++) {
        f->biases[i] = take(block, &used, result_row(l, i));
        f->packed[i] = take(block, &used, (i ? n->width : n->units) * result_row(l, i));
    }
    return used;
}

static void fold(const Layer *l, long m, Forward *f) {
    const Backbone *n = &l->net;
    for (long i = 0; i <= n->layers; i++) {
        long columns = result_row(l, i), inputs = i ? 0 : n->inputs;
        fold_product(n, i, m, f->matrix);
        if (!i) pack(f->matrix, n->inputs, columns, f->from_inputs);
        pack(f->matrix + inputs * columns, depth_of(n, i) - inputs, columns, f->packed[i]);
        memcpy(f->biases[i], f->matrix + depth_of(n, i) * columns, sizeof(vec) * columns);
    }
    pad(l->leak.data + m * l->leak.member, 1, n->units, f->leak);
    pad(l->target.data + m * l->target.member, 1, n->units, f->target);
}

/* The gate and the next state; step: the number of the solver step among all that are kept, or 0. */
static void solver_step(const Layer *l, long m, long t, long step, Forward *f, const Kept *kept, const vec *state, vec *next) {
    const Backbone *n = &l->net;
    Rows a = {(float *)state, state_row(n) * LANES, n->units};
    vec *y = NULL;
    for (long i = 0; i <= n->layers; i++) {
        long columns = result_row(l, i), size = l->batch * columns;
        y = kept ? kept_values(l, kept, i) + step * size : f->values + i * l->batch * width_row(n);
        multiply(l->batch, a, NO_ROWS, f->packed[i], i ? f->biases[i] : f->of_inputs, i ? 0 : columns, y, columns);
        activate(n->activation, y, size);
        a = (Rows){(float *)y, columns * LANES, n->width};
        if (n->dropout && i < n->layers) {
            drop(n, dropout_of(n, i, m, t, l->batch), l->batch, y, f->dropped);
            a.data = (float *)f->dropped;
        }
    }
    vec one = splat(1.0f), outer = splat(n->outer);
    for (long b = 0; b < l->batch; b++) {
        vec time = time_of(l, m, t, b);
        for (long j = 0; j < state_row(n); j++) {
            vec gate = outer * *y++;
            *next++ = (*state++ + time * gate * f->target[j]) / (one + time * (f->leak[j] + gate));
        }
    }
}

static void forward_member(const Layer *l, long m, Forward *f, const Kept *kept, float *states, float *last) {
    const Backbone *n = &l->net;
    long row = state_row(n), size = l->batch * row;
    vec *state = kept ? kept->state : f->state, *before = f->state + size;
    fold(l, m, f);
    pad(l->state.data + m * l->state.member, l->batch, n->units, state);
    for (long t = 0; t < l->steps; t++) {
        Rows x = {row_of(l->x, m, t, 0), l->x.row, n->inputs};
        multiply(l->batch, x, NO_ROWS, f->from_inputs, f->biases[0], 0, f->of_inputs, result_row(l, 0));
        if (l->mask.data) memcpy(before, state, sizeof(vec) * size);
        for (long k = 0; k < l->unfolds; k++) {
            vec *next = kept ? state + size : state;
            solver_step(l, m, t, t * l->unfolds + k, f, kept, state, next);
            state = next;
        }
        for (long b = 0; b < l->batch; b++)
            if (!has_reading(l->mask, m, t, b)) memcpy(state + b * row, before + b * row, sizeof(vec) * row);
        if (states) unpad(state, l->batch, n->units, states + t * l->batch * n->units);
    }
    unpad(state, l->batch, n->units, last);
}

/* Few enough for their rows to lie in the cache. */
static long steps_in_chunk(const Layer *l) {
    long rows = l->batch * l->unfolds, steps = (255 + rows) / rows;
    return steps < l->steps ? steps : l->steps;
}

typedef struct {
    vec *matrix, *zeros, *state, *bypass, *to_inputs, *by_inputs, *from_inputs, *dropped, *leak, *target;
    vec *of_leak, *of_target, **packed, **arguments, **sums; /* of_: sums over rows */
    float *inputs;
} Backward;

static long lay_out_backward(const Layer *l, vec *block, Backward *w) {
    const Backbone *n = &l->net;
    long used = 0, chunk = steps_in_chunk(l) * l->batch, rows = chunk * l->unfolds;
    w->matrix = take(block, &used, largest_matrix(n, result_row(l, n->layers)));
    w->zeros = take(block, &used, width_row(n) + vectors_in(n->inputs));
    w->state = take(block, &used, l->batch * state_row(n));
    w->bypass = take(block, &used, l->batch * state_row(n));
    w->to_inputs = take(block, &used, vectors_in(n->inputs) * LANES * result_row(l, 0));
    w->by_inputs = take(block, &used, chunk * result_row(l, 0));
    w->from_inputs = take(block, &used, l->batch * vectors_in(n->inputs));
    w->dropped = take(block, &used, n->dropout ? rows * width_row(n) : 0);
    w->inputs = (float *)take(block, &used, vectors_in(chunk * n->inputs));
    w->leak = take(block, &used, state_row(n));
    w->target = take(block, &used, state_row(n));
    w->of_leak = take(block, &used, state_row(n));
    w->of_target = take(block, &used, state_row(n));
    for (long i = 0; i <= n->layers; i++) {
        w->arguments[i] = take(block, &used, rows * result_row(l, i));
        w->sums[i] = take(block, &used, (depth_of(n, i) + 1) * result_row(l, i));
        w->packed[i] = take(block, &used, (i ? width_row(n) : state_row(n)) * LANES * result_row(l, i));
    }
    return used;
}

static void begin_backward(const Layer *l, long m, Backward *w) {
    const Backbone *n = &l->net;
    for (long i = 0; i <= n->layers; i++) {
        fold_product(n, i, m, w->matrix);
        pack_transposed(w->matrix, i ? 0 : n->inputs, i ? n->width : n->units, result_row(l, i), w->packed[i]);
        if (!i) pack_transposed(w->matrix, 0, n->inputs, result_row(l, i), w->to_inputs);
        memset(w->sums[i], 0, sizeof(vec) * (depth_of(n, i) + 1) * result_row(l, i));
    }
    pad(l->leak.data + m * l->leak.member, 1, n->units, w->leak);
    pad(l->target.data + m * l->target.member, 1, n->units, w->target);
    memset(w->of_leak, 0, sizeof(vec) * state_row(n));
    memset(w->of_target, 0, sizeof(vec) * state_row(n));
}

/* From the gradient of the next state to that of the gate's argument, and what goes straight to the state. */
static void gate_back(const Layer *l, long m, long t, const vec *y, const vec *next, Backward *w, vec *to, float *times) {
    const Backbone *n = &l->net;
    vec one = splat(1.0f), outer = splat(n->outer), *state = w->state;
    for (long b = 0; b < l->batch; b++) {
        vec time = time_of(l, m, t, b), by_time = splat(0.0f);
        for (long j = 0; j < state_row(n); j++, state++, next++, y++) {
            vec gate = outer * *y, above = *state / (one + time * (w->leak[j] + gate)), below = -above * *next;
            by_time += above * gate * w->target[j] + below * (w->leak[j] + gate);
            w->of_target[j] += time * above * gate;
            w->of_leak[j] += time * below;
            *to++ = time * (above * w->target[j] + below) * outer * slope_of(n->activation, *y);
            *state = above;
        }
        if (times) times[b] += total(by_time);
    }
}

/* One solver step back, its rows in the chunk from row on: w->state from the gradient of the state after it to that of
   the state before it. */
static void solver_back(const Layer *l, long m, long t, long step, long row, const Kept *kept, Backward *w, vec *by_inputs,
                        float *times) {
    const Backbone *n = &l->net;
    long state_size = l->batch * state_row(n), width_size = l->batch * width_row(n);
    vec *d = w->arguments[n->layers] + row * state_row(n);
    gate_back(l, m, t, kept_values(l, kept, n->layers) + step * state_size, kept->state + (step + 1) * state_size, w, d,
              times);
    for (long i = n->layers; i > 0; i--) {
        Rows a = {(float *)d, result_row(l, i) * LANES, result_row(l, i) * LANES};
        const vec *y = kept_values(l, kept, i - 1) + step * width_size;
        d = w->arguments[i - 1] + row * width_row(n);
        multiply(l->batch, a, NO_ROWS, w->packed[i], w->zeros, 0, d, width_row(n));
        for (long j = 0; j < width_size; j++) d[j] *= slope_of(n->activation, y[j]);
        if (n->dropout) drop(n, dropout_of(n, i - 1, m, t, l->batch), l->batch, d, d);
    }
    Rows a = {(float *)d, result_row(l, 0) * LANES, result_row(l, 0) * LANES};
    multiply(l->batch, a, NO_ROWS, w->packed[0], w->state, state_row(n), w->state, state_row(n));
    for (long j = 0; j < l->batch * result_row(l, 0); j++) by_inputs[j] += d[j];
}

/* Add a chunk's rows to the gradients of the weights. */
static void add_chunk(const Layer *l, long m, long first, long steps, const Kept *kept, Backward *w) {
    const Backbone *n = &l->net;
    long rows = steps * l->unfolds * l->batch, begin = first * l->unfolds * l->batch, columns = result_row(l, 0);
    const float *states = (const float *)(kept->state + begin * state_row(n));
    gather_inputs(l->x, m, first, steps, l->batch, n->inputs, w->inputs);
    add_outer(n->inputs, w->inputs, n->inputs, steps * l->batch, w->by_inputs, w->sums[0], columns);
    add_outer(n->units, states, state_row(n) * LANES, rows, w->arguments[0], w->sums[0] + n->inputs * columns, columns);
    add_rows(w->by_inputs, steps * l->batch, columns, w->sums[0] + depth_of(n, 0) * columns);
    for (long i = 1; i <= n->layers; i++) {
        const vec *y = kept_values(l, kept, i - 1) + begin * width_row(n);
        long size = l->batch * width_row(n);
        for (long k = 0; n->dropout && k < steps * l->unfolds; k++)
            drop(n, dropout_of(n, i - 1, m, first + k / l->unfolds, l->batch), l->batch, y + k * size,
                 w->dropped + k * size);
        if (n->dropout) y = w->dropped;
        columns = result_row(l, i);
        add_outer(n->width, (const float *)y, width_row(n) * LANES, rows, w->arguments[i], w->sums[i], columns);
        add_rows(w->arguments[i], rows, columns, w->sums[i] + n->width * columns);
    }
}

/* Time step t back, in its chunk. */
static void step_back(const Layer *l, long m, long t, long in_chunk, const Kept *kept, Backward *w, const Gradients *g) {
    const Backbone *n = &l->net;
    long row = state_row(n), place = (m * l->steps + t) * l->batch;
    vec *by_inputs = w->by_inputs + in_chunk * l->batch * result_row(l, 0);
    float *times = g->times ? g->times + place : NULL;
    if (times) memset(times, 0, sizeof(float) * l->batch);
    memset(by_inputs, 0, sizeof(vec) * l->batch * result_row(l, 0));
    memset(w->bypass, 0, sizeof(vec) * l->batch * row);
    for (long b = 0; b < l->batch; b++)
        if (!has_reading(l->mask, m, t, b)) {
            memcpy(w->bypass + b * row, w->state + b * row, sizeof(vec) * row);
            memset(w->state + b * row, 0, sizeof(vec) * row);
        }
    for (long k = l->unfolds - 1; k >= 0; k--)
        solver_back(l, m, t, t * l->unfolds + k, (in_chunk * l->unfolds + k) * l->batch, kept, w, by_inputs, times);
    for (long i = 0; i < l->batch * row; i++) w->state[i] += w->bypass[i];
    if (!g->x) return;
    Rows a = {(float *)by_inputs, result_row(l, 0) * LANES, result_row(l, 0) * LANES};
    multiply(l->batch, a, NO_ROWS, w->to_inputs, w->zeros, 0, w->from_inputs, vectors_in(n->inputs));
    unpad(w->from_inputs, l->batch, n->inputs, g->x + place * n->inputs);
}

static void end_backward(const Layer *l, long m, const Backward *w, const Gradients *g) {
    const Backbone *n = &l->net;
    unpad(w->of_leak, 1, n->units, g->leak + m * n->units);
    unpad(w->of_target, 1, n->units, g->target + m * n->units);
    for (long i = 0; i <= n->layers; i++) unfold_product(n, i, m, w->sums[i], &g->net);
}

#define KERNEL(action) ltc_##action
#include "dense.h"
