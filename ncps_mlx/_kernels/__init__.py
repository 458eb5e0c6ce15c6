"""Fast versions of the cells: custom gradients and cheaper functions, for speed alone.

You need to read this package only to make training faster, never to understand a model: each kernel computes what a
cell of :mod:`ncps_mlx.cells` states in a few lines, and is tested against it.

========================= =============================================================================================
``activations.py``        activations by name, their least values and derivatives
``tanh.py``               the ways to compute tanh and sigmoid, and the choice among them
``rational_tanh.py``      one of these: a quotient of polynomials that MLX compiles
``custom_vjp.py``         functions with a custom gradient; a forward pass taken in advance
``layout.py``             sequences as rows, split and joined by time
``cfc.py``                a dense CfC layer: constants folded into weights
``cfc_scan.py``           its loop over time, forward and backward
``wired_cfc.py``          the layers of a CfC on a circuit, after an LSTM
``ltc.py``                an LTC layer, forward and backward
``ltc_solver.py``         its solver step: a dense gate, or synapses
``lstm.py``               an LSTM step before each step of a cell (mixed memory)
``native/``               the layers in C: sources, compiling, calling
========================= =============================================================================================

Words: a *residual* is what a forward pass keeps for the backward pass; *slopes* are derivatives of one step's pointwise
parts; ``grad_x`` is the loss's gradient with respect to x; *rows* are the steps of a sequence one after the other.
Shapes: T steps, B batch, H state, U other units, R rows; "..." is () or the (N,) of a population.
"""
