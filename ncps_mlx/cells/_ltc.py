"""The liquid time-constant cell (LTC), in the dense form of the original paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import mlx.core as mx

from ncps_mlx._kernels.activations import ACTIVATIONS, DERIVATIVES, LOWER_BOUNDS, softplus, softplus_inverse
from ncps_mlx._kernels.custom_vjp import is_eager
from ncps_mlx._kernels.layout import flatten_time, transposed
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.ltc import run_ltc
from ncps_mlx._kernels.ltc_solver import DenseGate, gate_input_scale
from ncps_mlx._kernels.native import NativeBackbone, NativeLTC
from ncps_mlx._kernels.tanh import tanh_for
from ncps_mlx._utils.validation import check_choice, check_int
from ncps_mlx.cells._backbone import Backbone
from ncps_mlx.cells._base import FusedCell, State, Step, TimeSteps
from ncps_mlx.cells._initializers import Initializer
from ncps_mlx.cells._validation import MOST_LAYERS, check_initializer, check_pair, check_size

__all__ = ["LTCCell", "STABILITY", "slowest_time_constant"]

STABILITY = ("bounded", "clip", "softplus", "none")
"""How the leak 1/tau is kept in bounds: see :class:`LTCCell`."""

LEAST_LEAK = 1e-3  # the bound of a clipped leak, and how far an initial leak must lie above a bound greater than 0


def slowest_time_constant(activation: str, stability: str) -> float:
    """The largest time constant that ``stability`` allows an LTC with this activation, in units of ``time_delta``.

    With ``"bounded"``, 1/tau must be greater than the activation's least value is below zero.

    Args:
        activation: Name of the gate's activation.
        stability: As in :class:`ncps_mlx.LTC`.

    Raises:
        ValueError: The activation or the stability is unknown.

    Example:
        >>> from ncps_mlx.cells import slowest_time_constant
        >>> slowest_time_constant("tanh", "bounded")
        1.0
        >>> slowest_time_constant("sigmoid", "bounded"), slowest_time_constant("tanh", "clip")
        (inf, 1000.0)
    """
    check_choice("activation", activation, ACTIVATIONS)
    if check_choice("stability", stability, STABILITY) == "clip":
        return 1.0 / LEAST_LEAK
    least = -LOWER_BOUNDS[activation]
    return 1.0 / least if stability == "bounded" and least > 0 else float("inf")


class LTCCell(FusedCell):
    r"""The parameters and one step of a dense LTC's layer, from which :class:`~ncps_mlx.LTC` is built.

    It takes ``unfolds`` semi-implicit Euler steps of

    .. math:: \frac{dx}{dt} = -\left(\frac{1}{\tau} + f\right) x + f A,
        \qquad f = a(W \cdot \text{backbone}([u, x]) + b),

    namely :math:`x \leftarrow (x + \delta f A) / (1 + \delta (1/\tau + f))` with
    :math:`\delta = \Delta t / \text{unfolds}` and f recomputed in each. The denominator cannot vanish while
    :math:`1/\tau + f \ge 0`, which depends on ``stability``:

    ``"bounded"``
        1/tau = m + softplus(raw), where -m is the least value of the activation (1 for tanh, 0 for sigmoid):
        always stable.
    ``"softplus"``
        1/tau = softplus(raw): the time constant is positive, nothing more.
    ``"clip"``
        1/tau = max(raw, 0.001).
    ``"none"``
        1/tau = raw.

    Written out in NumPy: :doc:`/models/ltc`.

    Source: Hasani et al., "Liquid time-constant networks", AAAI 2021 (arXiv 2006.04439), algorithm 1.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state.
        activation: Of the gate f, and of the backbone's layers.
        initializer: Fills each weight matrix.
        unfolds: Solver steps for each time step.
        time_constants: Smallest and largest initial time constant, in units of ``time_delta``; drawn log-uniformly.
        stability: How 1/tau is kept in bounds.
        backbone_units: U, width of the backbone.
        backbone_layers: Its layers; 0 for none.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.cells import LTCCell
        >>> from mlx.nn.init import glorot_uniform
        >>> cell = LTCCell(
        ...     3,
        ...     11,
        ...     activation="tanh",
        ...     initializer=glorot_uniform(),
        ...     unfolds=6,
        ...     time_constants=(0.1, 0.9),
        ...     stability="bounded",
        ...     backbone_units=16,
        ...     backbone_layers=0,
        ... )
        >>> y, (h,) = cell.run(mx.zeros((7, 5, 3)), (mx.zeros((5, 11)),), 1.0, None, [], sequences=True)
        >>> y.shape, h.shape
        ((7, 5, 11), (5, 11))
        >>> cell.leak().min().item() >= 1  # tanh is never below -1
        True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str,
        initializer: Initializer,
        unfolds: int,
        time_constants: tuple[float, float],
        stability: str,
        backbone_units: int,
        backbone_layers: int,
    ) -> None:
        super().__init__()
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("stability", stability, STABILITY)
        check_initializer("initializer", initializer)
        for name, size in (
            ("input_size", input_size), ("hidden_size", hidden_size), ("backbone_units", backbone_units),
        ):  # fmt: skip
            check_size(name, size)
        backbone_layers = check_int("backbone_layers", backbone_layers, minimum=0, maximum=MOST_LAYERS)
        check_int("unfolds", unfolds, maximum=MOST_LAYERS)
        slowest = slowest_time_constant(activation, stability)
        check_pair("time_constants", time_constants, low=0, open_low=True, high=slowest)
        self._activation_name = activation
        self._activation = ACTIVATIONS[activation]
        self._unfolds = unfolds
        self._stability = stability
        self._least = -LOWER_BOUNDS[activation] if stability == "bounded" else 0.0
        self.hidden_size = self.output_size = hidden_size
        self.backbone = Backbone(
            input_size,
            hidden_size,
            units=backbone_units,
            layers=backbone_layers,
            outputs=[hidden_size],
            activation=activation,
            initializer=initializer,
        )
        low, high = time_constants
        tau = low * (high / low) ** mx.random.uniform(shape=(hidden_size,))
        self.raw_leak = self._raw(1.0 / tau)
        # Targets of the state: excitatory or inhibitory, as the reversal potentials of ncps.
        self.target = 2.0 * mx.random.bernoulli(0.5, (hidden_size,)).astype(mx.float32) - 1.0

    def _raw(self, leak: mx.array) -> mx.array:
        if self._stability in ("clip", "none"):
            return leak
        return softplus_inverse(mx.maximum(leak - self._least, LEAST_LEAK) if self._least > 0 else leak)

    def leak(self) -> mx.array:
        """1/tau of each unit, (..., H)."""
        if self._stability == "none":
            return self.raw_leak
        if self._stability == "clip":
            return mx.maximum(self.raw_leak, LEAST_LEAK)
        return self._least + softplus(self.raw_leak)

    @property
    def dropout_shape(self) -> tuple[int, int]:
        """The backbone's layers and units."""
        return self.backbone.layers, self.backbone.units

    @property
    def leading_axes(self) -> tuple[int, ...]:
        """The parameters' leading axes."""
        return self.backbone.bias.shape[:-1]

    def inputs(self, x: mx.array) -> State:
        """The inputs' part of the first product, (..., T, B, U)."""
        return (self.backbone.inputs(x),)

    def bind(self) -> Step:
        """A function of one step: ``unfolds`` steps of the solver."""
        gate = self.backbone.bind()
        leak = self.leak()[..., None, :]
        target = self.target[..., None, :]
        unfolds, activation = self._unfolds, self._activation

        def step(z: State, state: State, dt: TimeSteps, dropout: Sequence[mx.array]) -> State:
            h = state[0]
            delta = dt / unfolds
            for _ in range(unfolds):
                f = activation(gate(z[0], h, dropout))
                h = (h + delta * f * target) / (1.0 + delta * (leak + f))
            return (h,)

        return step

    @property
    def has_fused_kernel(self) -> bool:
        """Whether the activation's derivative follows from its value."""
        return self._activation_name in DERIVATIVES

    @property
    def has_native_kernel(self) -> bool:
        """Whether C has the activation."""
        return self._activation_name in NativeBackbone.ACTIVATIONS

    def run_fused(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],
        lstm: LSTMArrays | None,
        *,
        sequences: bool,
    ) -> tuple[mx.array, State]:
        """As ``FusedCell.run_fused``."""
        if lstm is None and self.has_native_kernel and is_eager():
            native = NativeLTC(
                x=x,
                state=state[0],
                leak=self.leak(),
                target=self.target,
                backbone=self.backbone.in_c(self._activation_name),
                unfolds=self._unfolds,
                dt=dt / self._unfolds,
                mask=mask,
                dropout=tuple(dropout),
            )
            if native.runs():
                every, end = native.run(sequences=sequences)
                return end if every is None else every, (end,)
        tanh_impl = tanh_for(state[0].dtype)
        scale = gate_input_scale(self._activation_name, tanh_impl)
        leak, target = self.leak()[..., None, :], self.target[..., None, :]
        net = self.backbone
        weights = [scale * transposed(weight) for weight in net.weights]
        biases = [scale * bias[..., None, :] for bias in net.biases]
        *leading, steps, _, _ = x.shape
        unfolds = self._unfolds
        # Divided first: mx.compile (MLX 0.32) fails on rows divided in each of stacked layers (_Map_base::at).
        varying_delta = [flatten_time(dt / unfolds, leading)] if isinstance(dt, mx.array) else []
        delta = None if isinstance(dt, mx.array) else dt / unfolds
        solver_arrays = (
            scale * net.first_weights()[1],
            target,
            flatten_time(scale * self.inputs(x)[0], leading),
            1.0 + (varying_delta[0] if delta is None else delta) * leak,
            *varying_delta,
            *weights,
            *biases,
            *(flatten_time(mask, leading) for mask in dropout),
        )
        make_solver = partial(DenseGate, self._activation_name, tanh_impl, net.layers, delta, steps, unfolds)
        states, last = run_ltc(make_solver, solver_arrays, tanh_impl, state[0], mask, lstm, steps=steps)
        return states if sequences else last[0], last

    def bind_time_constants(self) -> Callable[[State, State], mx.array]:
        """A function from the inputs' contribution and the state to 1 / (1/tau + f), (..., B, H)."""
        gate, leak, activation = self.backbone.bind(), self.leak()[..., None, :], self._activation
        return lambda z, state: 1.0 / (leak + activation(gate(z[0], state[0], ())))

    def resting_time_constants(self) -> mx.array:
        """Tau, (..., H)."""
        return 1.0 / self.leak()
