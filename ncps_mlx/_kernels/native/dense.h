/* The passes of a dense layer: its members one after the other, its steps forward, and back in chunks.

   Included at the end of a file that names its functions by KERNEL and has

       Layer, Gradients, Kept, Forward, Backward
       lay_out_kept, lay_out_forward, lay_out_backward    what is kept and where passes work, as take counts it
       forward_member                                      all steps of a member
       steps_in_chunk                                      steps back before the weights' gradients are added up
       begin_backward, end_backward                        from a member's weights, to their gradients
       step_back, add_chunk                                one step back; a chunk's rows to the gradients of the weights */

#ifndef DENSE_H
#define DENSE_H

/* How many floats of memory a member's forward pass keeps. */
long KERNEL(kept_floats)(const Layer *l) {
    Kept kept;
    return lay_out_kept(l, NULL, &kept) * LANES;
}

/* All states (N, T, B, H), unless that is NULL, and the last (N, B, H); what is kept, unless NULL, is for the backward
   pass: kept_floats for each member, aligned as a vector. Returns 0, or 1 if memory is short. */
int KERNEL(forward)(const Layer *l, float *kept, float *states, float *last) {
    long products = l->net.layers + 1, size = l->batch * l->net.units;
    vec *pointers[2 * products];
    Forward f = {.packed = pointers, .biases = pointers + products};
    vec *block = allocate(lay_out_forward(l, NULL, &f, kept != NULL));
    if (!block) return 1;
    Mode mode = flush_subnormals();
    lay_out_forward(l, block, &f, kept != NULL);
    for (long m = 0; m < l->members; m++) {
        Kept own;
        if (kept) lay_out_kept(l, (vec *)(kept + m * KERNEL(kept_floats)(l)), &own);
        forward_member(l, m, &f, kept ? &own : NULL, states ? states + m * l->steps * size : NULL, last + m * size);
    }
    restore_mode(mode);
    free(block);
    return 0;
}

static void backward_member(const Layer *l, long m, const Kept *kept, const float *by_states, const float *by_last,
                            Backward *w, const Gradients *g) {
    const Backbone *n = &l->net;
    long end = l->steps, chunk = steps_in_chunk(l), size = l->batch * n->units;
    begin_backward(l, m, w);
    pad(by_last, l->batch, n->units, w->state);
    for (long t = l->steps - 1; t >= 0; t--) {
        long first = end > chunk ? end - chunk : 0;
        if (by_states) add_padded(by_states + t * size, l->batch, n->units, w->state);
        step_back(l, m, t, t - first, kept, w, g);
        if (t == first) {
            add_chunk(l, m, first, end - first, kept, w);
            end = first;
        }
    }
    if (g->state) unpad(w->state, l->batch, n->units, g->state + m * size);
    end_backward(l, m, w, g);
}

/* Gradients from those by all states (N, T, B, H), unless NULL, and by the last (N, B, H). Returns 0, or 1 if memory is
   short. */
int KERNEL(backward)(const Layer *l, const float *kept, const float *by_states, const float *by_last, const Gradients *g) {
    long products = l->net.layers + 1, size = l->batch * l->net.units;
    vec *pointers[3 * products];
    Backward w = {.packed = pointers, .arguments = pointers + products, .sums = pointers + 2 * products};
    vec *block = allocate(lay_out_backward(l, NULL, &w));
    if (!block) return 1;
    Mode mode = flush_subnormals();
    lay_out_backward(l, block, &w);
    memset(w.zeros, 0, sizeof(vec) * (width_row(&l->net) + vectors_in(l->net.inputs)));
    for (long m = 0; m < l->members; m++) {
        Kept own;
        lay_out_kept(l, (vec *)(kept + m * KERNEL(kept_floats)(l)), &own);
        backward_member(l, m, &own, by_states ? by_states + m * l->steps * size : NULL, by_last + m * size, &w, g);
    }
    restore_mode(mode);
    free(block);
    return 0;
}

#endif
