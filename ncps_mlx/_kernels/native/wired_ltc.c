/* A wired LTC layer over a whole sequence by its list of synapses, forward and backward, one member of a population after
   the other.

   A synapse from x (a neuron or an input) to neuron j adds w E s to p_j and w s to q_j, s = sigmoid(slope (x - midpoint)).
   A solver step of length d is

       v' = (c v + d p) / (c + d q).

   Sequences of a batch do not meet until their gradients are added, so they are taken in blocks of at most BLOCK vectors,
   a sequence in each lane; lanes left over hold zeros and get none. Going back, each sigmoid is computed again rather than
   kept. */

#include "arrays.h"
#include "vectors.h"

#define BLOCK 2

#define HALF 0.5f /* sigmoid through tanh: 1/2 + tanh(x / 2) / 2 */

/* The synapses onto the neurons, those onto neuron j at first[j] to first[j + 1] in the order of C; order: their numbers
   in the model's arrays. */
typedef struct {
    long count;
    const int *first, *source, *order;
    Array slope, midpoint, pushed, conducted; /* pushed: w E, conducted: w */
} Synapses;

typedef struct {
    long members, steps, batch, unfolds, inputs, units; /* N, T, B, K, D, U */
    float dt; /* of a solver step, where it does not vary */
    Sequence x, times, mask; /* times and mask: NULL for none; times of a solver step; the mask is of bytes */
    Array state, capacitance, driven, leaking; /* driven, leaking: p and q of a neuron at rest */
    Synapses inner, sensory;
} Layer;

/* Gradients by synapse (N, S). */
typedef struct {
    float *slope, *midpoint, *pushed, *conducted;
} OfSynapses;

/* Gradients (N, ...), dense; x, times and state: NULL for those that nobody wants. */
typedef struct {
    float *x, *times, *state, *capacitance, *driven, *leaking;
    OfSynapses inner, sensory;
} Gradients;

/* A synapse with its constants multiplied in: tanh(rate x - offset) times p and q; and where it comes from. */
typedef struct {
    float rate, offset, p, q;
    long source;
} Synapse;

/* A member's parameters as the loops read them. */
typedef struct {
    Synapse *inner, *sensory;
    float *capacitance, *p, *q; /* p, q: of a neuron at rest, with the constant half of all its synapses */
} Parameters;

/* What the forward pass keeps of a block, each (steps, features, vectors): inputs, the states before solver steps, then
   the last; q of the steps, and, if time steps vary, p. */
typedef struct {
    vec *x, *state, *q, *p;
} Kept;

static long lay_out_kept(const Layer *l, long wide, vec *block, Kept *kept) {
    long used = 0, each = l->steps * l->unfolds * l->units * wide;
    kept->x = take(block, &used, l->steps * l->inputs * wide);
    kept->state = take(block, &used, each + l->units * wide);
    kept->q = take(block, &used, each);
    kept->p = take(block, &used, l->times.data ? each : 0);
    return used;
}

/* Vectors in the block that begins with vector i of the batch. */
static long wide_at(const Layer *l, long i) {
    long left = vectors_in(l->batch) - i;
    return left < BLOCK ? left : BLOCK;
}

static long kept_vectors(const Layer *l) {
    long sum = 0;
    Kept kept;
    for (long i = 0; i < vectors_in(l->batch); i += BLOCK) sum += lay_out_kept(l, wide_at(l, i), NULL, &kept);
    return sum;
}

/* How many floats of memory a member's forward pass keeps. */
long wired_ltc_kept_floats(const Layer *l) {
    return kept_vectors(l) * LANES;
}

static float of(Array a, long m, long i) { return a.data[m * a.member + i]; }

static void fold_synapses(const Synapses *s, long units, long m, Synapse *to, float *p, float *q) {
    for (long j = 0; j < units; j++)
        for (long i = s->first[j]; i < s->first[j + 1]; i++) {
            long own = s->order[i];
            float rate = HALF * of(s->slope, m, own);
            to[i] = (Synapse){rate, rate * of(s->midpoint, m, own), HALF * of(s->pushed, m, own),
                              HALF * of(s->conducted, m, own), s->source[i]};
            p[j] += to[i].p;
            q[j] += to[i].q;
        }
}

static void fold(const Layer *l, long m, Parameters *to) {
    for (long j = 0; j < l->units; j++) {
        to->capacitance[j] = of(l->capacitance, m, j);
        to->p[j] = of(l->driven, m, j);
        to->q[j] = of(l->leaking, m, j);
    }
    fold_synapses(&l->inner, l->units, m, to->inner, to->p, to->q);
    fold_synapses(&l->sensory, l->units, m, to->sensory, to->p, to->q);
}

/* Floats in whole vectors. */
static float *take_floats(vec *block, long *used, long floats) {
    return (float *)take(block, used, vectors_in(floats));
}

static void lay_out_parameters(const Layer *l, vec *block, long *used, Parameters *p) {
    long each = sizeof(Synapse) / sizeof(float);
    p->inner = (Synapse *)take_floats(block, used, l->inner.count * each);
    p->sensory = (Synapse *)take_floats(block, used, l->sensory.count * each);
    p->capacitance = take_floats(block, used, l->units);
    p->p = take_floats(block, used, l->units);
    p->q = take_floats(block, used, l->units);
}

/* Rows (B, features), each so many floats after the last, from row b on, as columns (features, vectors). */
static void to_columns(const float *rows, long row, long batch, long b, long features, long wide, vec *columns) {
    float *to = (float *)columns;
    long lanes = wide * LANES;
    for (long f = 0; f < features; f++)
        for (long i = 0; i < lanes; i++) to[f * lanes + i] = b + i < batch ? rows[(b + i) * row + f] : 0.0f;
}

static void to_rows(const vec *columns, long batch, long b, long features, long wide, float *rows) {
    const float *from = (const float *)columns;
    long lanes = wide * LANES, count = batch - b < lanes ? batch - b : lanes;
    for (long i = 0; i < count; i++)
        for (long f = 0; f < features; f++) rows[(b + i) * features + f] = from[f * lanes + i];
}

/* The length of a solver step, and all bits where there is a reading, of each sequence of a block. */
static void read_times(const Layer *l, long m, long t, long b, long wide, vec *times, ivec *mask) {
    float *time = (float *)times;
    int *there = (int *)mask;
    for (long i = 0; i < wide * LANES; i++) {
        int inside = b + i < l->batch;
        time[i] = !l->times.data ? l->dt : inside ? *row_of(l->times, m, t, b + i) : 0.0f;
        there[i] = inside && has_reading(l->mask, m, t, b + i) ? -1 : 0;
    }
}

INLINE vec choose(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }

/* Add to p and q (units, wide) what the synapses give from x (., wide). */
INLINE void add_synapses(int wide, const Synapses *s, long units, const Synapse *own, const vec *x, vec *p, vec *q) {
    for (long j = 0; j < units; j++, p += wide, q += wide) {
        vec sum_p[BLOCK], sum_q[BLOCK];
        UNROLL for (int i = 0; i < wide; i++) sum_p[i] = p[i], sum_q[i] = q[i];
        for (long k = s->first[j]; k < s->first[j + 1]; k++) {
            const vec *from = x + own[k].source * wide;
            vec rate = splat(own[k].rate), offset = splat(own[k].offset), to_p = splat(own[k].p), to_q = splat(own[k].q);
            UNROLL for (int i = 0; i < wide; i++) {
                vec y = tanh_of(rate * from[i] - offset);
                sum_p[i] += to_p * y;
                sum_q[i] += to_q * y;
            }
        }
        UNROLL for (int i = 0; i < wide; i++) p[i] = sum_p[i], q[i] = sum_q[i];
    }
}

/* From the gradients of p and q to those of x, and to sums over lanes for each synapse: of the tanh's argument times x, of
   the argument, of what is multiplied into p and into q. */
INLINE void synapses_back(int wide, const Synapses *s, long units, const Synapse *own, const vec *x, const vec *of_p,
                          const vec *of_q, vec *of_x, vec *sums) {
    for (long j = 0; j < units; j++, of_p += wide, of_q += wide)
        for (long k = s->first[j]; k < s->first[j + 1]; k++) {
            const vec *from = x + own[k].source * wide;
            vec *to = of_x + own[k].source * wide, *sum = sums + 4 * k;
            vec rate = splat(own[k].rate), offset = splat(own[k].offset), to_p = splat(own[k].p), to_q = splat(own[k].q);
            vec times_x = sum[0], plain = sum[1], by_p = sum[2], by_q = sum[3];
            UNROLL for (int i = 0; i < wide; i++) {
                vec y = tanh_of(rate * from[i] - offset);
                vec d = (to_p * of_p[i] + to_q * of_q[i]) * (splat(1.0f) - y * y);
                to[i] += rate * d;
                times_x += d * from[i];
                plain += d;
                by_p += y * of_p[i];
                by_q += y * of_q[i];
            }
            sum[0] = times_x;
            sum[1] = plain;
            sum[2] = by_p;
            sum[3] = by_q;
        }
}

typedef struct {
    Parameters own;
    vec *input_p, *input_q, *p, *q, *state; /* (U, BLOCK) */
    Kept kept; /* of a block whose residuals nobody wants: of one step */
} Forward;

static long lay_out_forward(const Layer *l, vec *block, Forward *f) {
    long used = 0, each = l->units * BLOCK;
    lay_out_parameters(l, block, &used, &f->own);
    f->input_p = take(block, &used, each);
    f->input_q = take(block, &used, each);
    f->p = take(block, &used, each);
    f->q = take(block, &used, each);
    f->state = take(block, &used, each);
    f->kept.x = take(block, &used, l->inputs * BLOCK);
    f->kept.state = take(block, &used, each);
    return used;
}

INLINE void forward_block(int wide, const Layer *l, long m, long b, Forward *f, const Kept *kept, float *states,
                          float *last) {
    long units = l->units, size = units * wide;
    const Parameters *own = &f->own;
    vec *state = kept ? kept->state : f->kept.state;
    to_columns(l->state.data + m * l->state.member, units, l->batch, b, units, wide, state);
    for (long t = 0; t < l->steps; t++) {
        vec *x = kept ? kept->x + t * l->inputs * wide : f->kept.x, times[BLOCK];
        ivec mask[BLOCK];
        read_times(l, m, t, b, wide, times, mask);
        to_columns(row_of(l->x, m, t, 0), l->x.row, l->batch, b, l->inputs, wide, x);
        for (long j = 0; j < units; j++)
            UNROLL for (int i = 0; i < wide; i++) {
                f->input_p[j * wide + i] = splat(own->p[j]);
                f->input_q[j * wide + i] = splat(own->q[j]);
            }
        add_synapses(wide, &l->sensory, units, own->sensory, x, f->input_p, f->input_q);
        if (l->mask.data) memcpy(f->state, state, sizeof(vec) * size);
        for (long k = 0; k < l->unfolds; k++) {
            vec *p = f->p, *q = f->q, *next = state;
            if (kept) {
                long at = (t * l->unfolds + k) * size;
                q = kept->q + at;
                p = l->times.data ? kept->p + at : f->p;
                next = state + size;
            }
            memcpy(p, f->input_p, sizeof(vec) * size);
            memcpy(q, f->input_q, sizeof(vec) * size);
            add_synapses(wide, &l->inner, units, own->inner, state, p, q);
            for (long j = 0; j < units; j++) {
                vec c = splat(own->capacitance[j]);
                UNROLL for (int i = 0; i < wide; i++) {
                    long at = j * wide + i;
                    vec new = (c * state[at] + times[i] * p[at]) / (c + times[i] * q[at]);
                    next[at] = new;
                }
            }
            state = next;
        }
        if (l->mask.data)
            for (long j = 0; j < units; j++)
                UNROLL for (int i = 0; i < wide; i++) {
                    long at = j * wide + i;
                    state[at] = choose(mask[i], state[at], f->state[at]);
                }
        if (states) to_rows(state, l->batch, b, units, wide, states + t * l->batch * units);
    }
    to_rows(state, l->batch, b, units, wide, last);
}

/* All states (N, T, B, U), unless that is NULL, and the last (N, B, U); what is kept, unless NULL, is for
   wired_ltc_backward: wired_ltc_kept_floats for each member, aligned as a vector. Returns 0, or 1 if memory is short. */
int wired_ltc_forward(const Layer *l, float *kept, float *states, float *last) {
    Forward f;
    vec *block = allocate(lay_out_forward(l, NULL, &f));
    if (!block) return 1;
    Mode mode = flush_subnormals();
    lay_out_forward(l, block, &f);
    long size = l->batch * l->units;
    vec *next = (vec *)kept;
    for (long m = 0; m < l->members; m++, last += size) {
        fold(l, m, &f.own);
        for (long i = 0; i < vectors_in(l->batch); i += BLOCK) {
            Kept own, *residuals = kept ? &own : NULL;
            long wide = wide_at(l, i);
            if (kept) next += lay_out_kept(l, wide, next, &own);
            if (wide == BLOCK)
                forward_block(BLOCK, l, m, i * LANES, &f, residuals, states, last);
            else
                forward_block(1, l, m, i * LANES, &f, residuals, states, last);
        }
        if (states) states += l->steps * size;
    }
    restore_mode(mode);
    free(block);
    return 0;
}

typedef struct {
    Parameters own;
    vec *state, *before, *p, *q, *input_p, *input_q, *x; /* gradients (U or D, BLOCK); before: of the state before */
    vec *inner, *sensory; /* sums of each synapse (S, 4) */
    vec *capacitance, *sum_p, *sum_q; /* sums of each neuron (U,) */
} Backward;

static long lay_out_backward(const Layer *l, vec *block, Backward *w) {
    long used = 0, each = l->units * BLOCK;
    lay_out_parameters(l, block, &used, &w->own);
    w->state = take(block, &used, each);
    w->before = take(block, &used, each);
    w->p = take(block, &used, each);
    w->q = take(block, &used, each);
    w->input_p = take(block, &used, each);
    w->input_q = take(block, &used, each);
    w->x = take(block, &used, l->inputs * BLOCK);
    w->inner = take(block, &used, 4 * l->inner.count);
    w->sensory = take(block, &used, 4 * l->sensory.count);
    w->capacitance = take(block, &used, l->units);
    w->sum_p = take(block, &used, l->units);
    w->sum_q = take(block, &used, l->units);
    return used;
}

/* One solver step back: w->state from the gradient of the state after it to that of the state before it. */
INLINE void solver_back(int wide, const Layer *l, const vec *times, const vec *state, const vec *p, const vec *q,
                        Backward *w, vec *of_times) {
    long size = l->units * wide;
    const vec *next = state + size;
    for (long j = 0; j < l->units; j++) {
        vec c = splat(w->own.capacitance[j]), of_c = w->capacitance[j];
        UNROLL for (int i = 0; i < wide; i++) {
            long at = j * wide + i;
            vec above = w->state[at] / (c + times[i] * q[at]), below = -above * next[at];
            if (l->times.data) of_times[i] += above * p[at] + below * q[at];
            of_c += above * state[at] + below;
            w->p[at] = times[i] * above;
            w->q[at] = times[i] * below;
            w->input_p[at] += w->p[at];
            w->input_q[at] += w->q[at];
            w->state[at] = c * above;
        }
        w->capacitance[j] = of_c;
    }
    synapses_back(wide, &l->inner, l->units, w->own.inner, state, w->p, w->q, w->state, w->inner);
}

INLINE void backward_block(int wide, const Layer *l, long m, long b, const Kept *kept, const float *by_states,
                           const float *by_last, Backward *w, const Gradients *g) {
    long units = l->units, size = units * wide, batch = l->batch;
    to_columns(by_last, units, batch, b, units, wide, w->state);
    for (long t = l->steps - 1; t >= 0; t--) {
        vec times[BLOCK], of_times[BLOCK] = {{0}};
        ivec mask[BLOCK];
        read_times(l, m, t, b, wide, times, mask);
        if (by_states) {
            to_columns(by_states + t * batch * units, units, batch, b, units, wide, w->before);
            for (long i = 0; i < size; i++) w->state[i] += w->before[i];
        }
        if (l->mask.data)
            for (long j = 0; j < units; j++)
                UNROLL for (int i = 0; i < wide; i++) {
                    long at = j * wide + i;
                    w->before[at] = choose(mask[i], splat(0.0f), w->state[at]);
                    w->state[at] = choose(mask[i], w->state[at], splat(0.0f));
                }
        memset(w->input_p, 0, sizeof(vec) * size);
        memset(w->input_q, 0, sizeof(vec) * size);
        for (long k = l->unfolds - 1; k >= 0; k--) {
            long at = (t * l->unfolds + k) * size;
            solver_back(wide, l, times, kept->state + at, kept->p + (l->times.data ? at : 0), kept->q + at, w, of_times);
        }
        if (l->mask.data)
            for (long i = 0; i < size; i++) w->state[i] += w->before[i];
        memset(w->x, 0, sizeof(vec) * l->inputs * wide);
        synapses_back(wide, &l->sensory, units, w->own.sensory, kept->x + t * l->inputs * wide, w->input_p, w->input_q,
                      w->x, w->sensory);
        for (long j = 0; j < units; j++)
            UNROLL for (int i = 0; i < wide; i++) {
                w->sum_p[j] += w->input_p[j * wide + i];
                w->sum_q[j] += w->input_q[j * wide + i];
            }
        long row = (m * l->steps + t) * batch;
        if (g->x) to_rows(w->x, batch, b, l->inputs, wide, g->x + row * l->inputs);
        if (g->times) to_rows(of_times, batch, b, 1, wide, g->times + row);
    }
    if (g->state) to_rows(w->state, batch, b, units, wide, g->state + m * batch * units);
}

static void unfold_synapses(const Layer *l, const Synapses *s, long m, const Synapse *own, const vec *sums,
                            const Backward *w, const OfSynapses *g) {
    for (long j = 0; j < l->units; j++)
        for (long k = s->first[j]; k < s->first[j + 1]; k++, sums += 4) {
            long at = m * s->count + s->order[k];
            float plain = total(sums[1]);
            g->slope[at] = HALF * (total(sums[0]) - of(s->midpoint, m, s->order[k]) * plain);
            g->midpoint[at] = -own[k].rate * plain;
            g->pushed[at] = HALF * (total(sums[2]) + total(w->sum_p[j]));
            g->conducted[at] = HALF * (total(sums[3]) + total(w->sum_q[j]));
        }
}

static void unfold(const Layer *l, long m, const Backward *w, const Gradients *g) {
    unfold_synapses(l, &l->inner, m, w->own.inner, w->inner, w, &g->inner);
    unfold_synapses(l, &l->sensory, m, w->own.sensory, w->sensory, w, &g->sensory);
    for (long j = 0; j < l->units; j++) {
        g->capacitance[m * l->units + j] = total(w->capacitance[j]);
        g->driven[m * l->units + j] = total(w->sum_p[j]);
        g->leaking[m * l->units + j] = total(w->sum_q[j]);
    }
}

/* Gradients from those by all states (N, T, B, U), unless NULL, and by the last (N, B, U). Returns 0, or 1 if memory is
   short. */
int wired_ltc_backward(const Layer *l, const float *kept, const float *by_states, const float *by_last,
                       const Gradients *g) {
    Backward w;
    vec *block = allocate(lay_out_backward(l, NULL, &w));
    if (!block) return 1;
    Mode mode = flush_subnormals();
    lay_out_backward(l, block, &w);
    long size = l->batch * l->units;
    vec *next = (vec *)kept;
    for (long m = 0; m < l->members; m++, by_last += size) {
        fold(l, m, &w.own);
        memset(w.inner, 0, sizeof(vec) * 4 * l->inner.count);
        memset(w.sensory, 0, sizeof(vec) * 4 * l->sensory.count);
        for (long j = 0; j < l->units; j++) w.capacitance[j] = w.sum_p[j] = w.sum_q[j] = splat(0.0f);
        for (long i = 0; i < vectors_in(l->batch); i += BLOCK) {
            Kept own;
            long wide = wide_at(l, i);
            next += lay_out_kept(l, wide, next, &own);
            if (wide == BLOCK)
                backward_block(BLOCK, l, m, i * LANES, &own, by_states, by_last, &w, g);
            else
                backward_block(1, l, m, i * LANES, &own, by_states, by_last, &w, g);
        }
        unfold(l, m, &w, g);
        if (by_states) by_states += l->steps * size;
    }
    restore_mode(mode);
    free(block);
    return 0;
}
