"""The LTC on a circuit: conductance synapses, solved semi-implicitly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import mlx.core as mx
import numpy as np

from ncps_mlx._kernels.activations import softplus, softplus_inverse
from ncps_mlx._kernels.custom_vjp import is_eager
from ncps_mlx._kernels.layout import flatten_time
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.ltc import run_ltc
from ncps_mlx._kernels.ltc_solver import Synapses as SynapseSolver
from ncps_mlx._kernels.ltc_solver import synapse_sums
from ncps_mlx._kernels.native import NativeSynapses, NativeWiredLTC, SynapseList
from ncps_mlx._kernels.tanh import MLX, TanhImplementation, tanh_for
from ncps_mlx._utils.validation import check_choice, check_int, check_mapping
from ncps_mlx.cells._backbone import all_steps
from ncps_mlx.cells._base import FusedCell, State, Step, TimeSteps
from ncps_mlx.cells._validation import MOST_LAYERS, check_circuit, check_pair
from ncps_mlx.wirings._base import Array, Circuit

__all__ = ["INITIAL_RANGES", "MAPPINGS", "WiredLTCCell"]

MAPPINGS = ("affine", "linear", "none")
"""How inputs and outputs are mapped: with weight and bias, with a weight, not at all."""

INITIAL_RANGES: dict[str, tuple[float, float]] = {
    "leak": (0.694, 1.313),
    "resting": (-0.2, 0.2),
    "capacitance": (0.913, 1.037),
    "weight": (0.694, 1.313),
    "slope": (3.0, 8.0),
    "midpoint": (0.3, 0.8),
}
"""Ranges of a wired LTC's initial parameters, drawn uniformly: those of ncps (PyTorch), after its softplus."""

EPSILON = 1e-8  # as in ncps: keeps the denominator above zero where nothing leaks and no synapse acts


LARGEST_MATRIX = 2**28
"""The most numbers in a matrix of synapses by neurons: 1 GiB."""


class WiredLTCCell(FusedCell):
    r"""Neurons that leak, and synapses whose conductance depends on the neuron they come from.

    .. math:: c_i \frac{dx_i}{dt} = g_i (v_i - x_i) + \sum_j w_{ji}\, \sigma(s_{ji} (x_j - m_{ji})) (E_{ji} - x_i)

    with capacitance c, leak g, resting potential v, and for each synapse from j to i a weight w, slope s, midpoint m
    and reversal potential E; the same for the inputs' synapses. Each time step is solved in ``unfolds`` semi-implicit
    steps of :math:`\delta = \Delta t / \text{unfolds}`,

    .. math:: x_i \leftarrow \frac{c_i x_i + \delta (g_i v_i + \sum_j w_{ji} \sigma_{ji} E_{ji})}
        {c_i + \delta (g_i + \sum_j w_{ji} \sigma_{ji} + 10^{-8})},

    which is ncps's step multiplied by :math:`\delta`, and so also defined at :math:`\Delta t = 0`. c, g and w are the
    softplus of a parameter, and so stay positive in training. Only synapses that exist have parameters.

    All synapses are computed together, as a layer of S sigmoid units between two products: from U neurons, to 2U sums.

    Written out in NumPy: :doc:`/models/ltc`.

    Source: Hasani et al., "Liquid time-constant networks", AAAI 2021; Lechner et al., "Neural circuit policies
    enabling auditable autonomy", 2020; as ncps 1.0.1.

    Args:
        circuit: The synapses.
        unfolds: Solver steps for each time step.
        input_mapping: ``"affine"`` (x * weight + bias), ``"linear"`` or ``"none"``.
        output_mapping: The same for the motor neurons' states.
        initial_ranges: Smallest and largest initial value by name, in place of those of :data:`INITIAL_RANGES`.
        time_constants: Smallest and largest initial time constant at rest, c/g, drawn log-uniformly; with ``None`` it
            follows from the ranges of capacitance and leak.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.cells import WiredLTCCell
        >>> from ncps_mlx import AutoNCP
        >>> cell = WiredLTCCell(
        ...     AutoNCP(11, 2).build(3),
        ...     unfolds=6,
        ...     input_mapping="affine",
        ...     output_mapping="none",
        ...     initial_ranges={},
        ...     time_constants=None,
        ... )
        >>> y, (h,) = cell.run(mx.zeros((7, 5, 3)), (mx.zeros((5, 11)),), 1.0, None, [], sequences=True)
        >>> y.shape, h.shape, cell.resting_time_constants().shape
        ((7, 5, 2), (5, 11), (11,))
    """

    def __init__(
        self,
        circuit: Circuit,
        *,
        unfolds: int,
        input_mapping: str,
        output_mapping: str,
        initial_ranges: Mapping[str, tuple[float, float]],
        time_constants: tuple[float, float] | None,
    ) -> None:
        super().__init__()
        check_circuit(circuit)
        check_int("unfolds", unfolds, maximum=MOST_LAYERS)
        check_choice("input_mapping", input_mapping, MAPPINGS)
        check_choice("output_mapping", output_mapping, MAPPINGS)
        ranges = dict(INITIAL_RANGES)
        for name, pair in check_mapping("initial_ranges", initial_ranges, "pairs (least, greatest)").items():
            check_choice("initial_ranges", name, INITIAL_RANGES)
            positive = name in ("leak", "capacitance", "weight")
            low = 0.0 if positive else -math.inf
            ranges[name] = check_pair(f"initial_ranges[{name!r}]", pair, low=low, open_low=positive)
        if time_constants is not None:
            time_constants = check_pair("time_constants", time_constants, low=0, open_low=True)
        self.hidden_size, self.output_size = circuit.units, circuit.output_size
        self._unfolds = unfolds
        def draw(name: str, count: int) -> mx.array:
            return mx.random.uniform(*ranges[name], shape=(count,))

        units = circuit.units
        leak = draw("leak", units)
        self.raw_leak = softplus_inverse(leak)
        self.resting = draw("resting", units)
        if time_constants is None:
            capacitance = draw("capacitance", units)
        else:
            low, high = time_constants
            capacitance = leak * low * (high / low) ** mx.random.uniform(shape=(units,))
        self.raw_capacitance = softplus_inverse(capacitance)
        self._synapses = Synapses(circuit.adjacency)
        self._sensory = Synapses(circuit.sensory_adjacency)
        for prefix, synapses in (("", self._synapses), ("sensory_", self._sensory)):
            self[f"{prefix}raw_weight"] = softplus_inverse(draw("weight", synapses.count))
            self[f"{prefix}slope"] = draw("slope", synapses.count)
            self[f"{prefix}midpoint"] = draw("midpoint", synapses.count)
            self[f"{prefix}reversal"] = mx.array(synapses.polarity)
        for name, mapping, size in (
            ("input", input_mapping, circuit.input_size),
            ("output", output_mapping, circuit.output_size),
        ):
            if mapping != "none":
                self[f"{name}_weight"] = mx.ones((size,))
            if mapping == "affine":
                self[f"{name}_bias"] = mx.zeros((size,))

    @property
    def leading_axes(self) -> tuple[int, ...]:
        """The parameters' leading axes."""
        return self.raw_leak.shape[:-1]

    def inputs(self, x: mx.array) -> State:
        """What the inputs' synapses add to the two sums, (..., T, B, 2U)."""
        tanh_impl = tanh_for(x.dtype)
        arrays = self.synapses("sensory_", tanh_impl)
        return (all_steps(lambda each: synapse_sums(tanh_impl, self.mapped("input", each), *arrays), x),)

    def outputs(self, h: mx.array) -> mx.array:
        """The motor neurons' states, mapped."""
        return self.mapped("output", h[..., : self.output_size])

    def mapped(self, name: str, x: mx.array) -> mx.array:
        """Apply the input's or the output's mapping to (..., B, features)."""
        for part in ("weight", "bias"):
            key = f"{name}_{part}"
            if key in self:
                values = self[key]
                values = values.reshape(*values.shape[:-1], *[1] * (x.ndim - values.ndim), values.shape[-1])
                x = x * values if part == "weight" else x + values
        return x

    def synapses(self, prefix: str, tanh_impl: TanhImplementation) -> tuple[mx.array, mx.array, mx.array, mx.array]:
        """All synapses as a layer between two products, with the constants of ``tanh_impl`` folded in.

        Returns:
            ``pre_weights`` from sources to synapses (..., from, S); the ``offset`` to subtract (..., 1, S);
            ``post_weights`` from synapses to the sums of w s E and w s (..., S, 2U); the ``base`` to add (..., 1, 2U).
        """
        synapses = self._sensory if prefix else self._synapses
        slope = tanh_impl.sigmoid_input_scale * self[f"{prefix}slope"][..., None, :]
        weight = softplus(self[f"{prefix}raw_weight"])[..., None]
        sources, targets = (each.astype(slope.dtype) for each in (synapses.sources, synapses.targets))
        pushed = weight * self[f"{prefix}reversal"][..., None] * targets
        post_weights = mx.concatenate([pushed, weight * targets], axis=-1)
        offset = slope * self[f"{prefix}midpoint"][..., None, :]
        constant, gain = tanh_impl.sigmoid_affine
        base = constant * post_weights.sum(axis=-2, keepdims=True)
        return sources * slope, offset, gain * post_weights, base

    def bind_synapses(self, prefix: str) -> Callable[[mx.array], mx.array]:
        """A function from the sources' states (..., B, from) to both sums (..., B, 2U)."""
        pre_weights, offset, post_weights, base = self.synapses(prefix, MLX)
        return lambda v: mx.tanh(v @ pre_weights - offset) @ post_weights + base

    def leak_and_capacitance(self) -> tuple[mx.array, mx.array]:
        """The leak g and the capacitance c, each (..., U) and positive."""
        return softplus(self.raw_leak), softplus(self.raw_capacitance)

    def bind(self) -> Step:
        """A function of one step: ``unfolds`` steps of the solver."""
        act = self.bind_synapses("")
        leak, capacitance = (each[..., None, :] for each in self.leak_and_capacitance())
        driven = leak * self.resting[..., None, :]
        leaking = leak + EPSILON
        unfolds = self._unfolds

        def step(z: State, state: State, dt: TimeSteps, _dropout: Sequence[mx.array]) -> State:
            v = state[0]
            delta = dt / unfolds
            for _ in range(unfolds):
                pushed, conducted = mx.split(act(v) + z[0], 2, axis=-1)
                v = (capacitance * v + delta * (driven + pushed)) / (
                    capacitance + delta * (leaking + conducted)
                )
            return (v,)

        return step

    @property
    def has_native_kernel(self) -> bool:
        """C has all settings."""
        return True

    def run_fused(
        self,
        x: mx.array,
        state: State,
        dt: TimeSteps,
        mask: mx.array | None,
        dropout: Sequence[mx.array],  # noqa: ARG002  # no backbone, so no dropout
        lstm: LSTMArrays | None,
        *,
        sequences: bool,
    ) -> tuple[mx.array, State]:
        """As ``FusedCell.run_fused``."""
        if lstm is None and is_eager():
            native = self._native(x, state[0], dt, mask)
            if native.runs():
                every, end = native.run(sequences=sequences)
                return self.outputs(end if every is None else every), (end,)
        *leading, steps, _, _ = x.shape
        unfolds, tanh_impl = self._unfolds, tanh_for(state[0].dtype)
        leak, capacitance = (each[..., None, :] for each in self.leak_and_capacitance())
        resting = mx.concatenate([leak * self.resting[..., None, :], leak + EPSILON], axis=-1)
        pre_weights, offset, post_weights, base = self.synapses("", tanh_impl)
        # Both sums over the capacitance: the numerator is v + p, the denominator 1 + q.
        scale = mx.concatenate([1.0 / capacitance] * 2, axis=-1)
        sums = flatten_time(self.inputs(x)[0], leading) + (base + resting)
        if isinstance(dt, mx.array):
            delta = flatten_time(dt / unfolds, leading)  # divided first: see cells/_ltc.py
            solver_arrays = [pre_weights, offset, post_weights * scale, scale * sums, delta]
        else:
            scale = scale * (dt / unfolds)
            one = mx.repeat(mx.array([0.0, 1.0], dtype=sums.dtype), sums.shape[-1] // 2)
            solver_arrays = [pre_weights, offset, post_weights * scale, scale * sums + one]
        make_solver = partial(SynapseSolver, tanh_impl, steps, unfolds)
        states, last = run_ltc(make_solver, solver_arrays, tanh_impl, state[0], mask, lstm, steps=steps)
        return self.outputs(states if sequences else last[0]), last

    def _native(self, x: mx.array, v: mx.array, dt: TimeSteps, mask: mx.array | None) -> NativeWiredLTC:
        leak, capacitance = self.leak_and_capacitance()

        def synapses(prefix: str, synapses: Synapses) -> NativeSynapses:
            weight = softplus(self[f"{prefix}raw_weight"])
            return NativeSynapses(
                listed=synapses.by_target,
                slope=self[f"{prefix}slope"],
                midpoint=self[f"{prefix}midpoint"],
                pushed=weight * self[f"{prefix}reversal"],
                conducted=weight,
            )

        return NativeWiredLTC(
            x=self.mapped("input", x),
            state=v,
            capacitance=capacitance,
            driven=leak * self.resting,
            leaking=leak + EPSILON,
            inner=synapses("", self._synapses),
            sensory=synapses("sensory_", self._sensory),
            unfolds=self._unfolds,
            dt=dt / self._unfolds,
            mask=mask,
        )

    def bind_time_constants(self) -> Callable[[State, State], mx.array]:
        """A function from the inputs' contribution and the state to c / (g + sum of w s), (..., B, U)."""
        act = self.bind_synapses("")
        leak, capacitance = (each[..., None, :] for each in self.leak_and_capacitance())
        return lambda z, state: capacitance / (leak + mx.split(act(state[0]) + z[0], 2, axis=-1)[1])

    def resting_time_constants(self) -> mx.array:
        """The time constants at rest, c / g (..., U)."""
        leak, capacitance = self.leak_and_capacitance()
        return capacitance / leak


class Synapses:
    """The synapses of one matrix, in the order of ``np.argwhere``.

    Attributes:
        count: S.
        polarity: 1 or -1 for each (S,).
        sources: The neuron each comes from, one-hot (from, S).
        targets: The neuron each goes to, one-hot (S, to).
        by_target: The same as lists.
    """

    def __init__(self, adjacency: Array) -> None:
        self.count = int(np.count_nonzero(adjacency))
        if max(adjacency.shape) * self.count > LARGEST_MATRIX:
            raise ValueError(
                f"wiring must have at most {LARGEST_MATRIX} synapses times neurons for an LTC, got {self.count} "
                f"synapses from {adjacency.shape[0]} to {adjacency.shape[1]}. Choose a sparser or a smaller one."
            )
        pairs = np.argwhere(adjacency)
        self.polarity = adjacency[adjacency != 0].astype(np.float32)
        self.by_target = SynapseList(pairs, adjacency.shape[1])
        each = np.arange(self.count)
        self.sources = ones_at(pairs[:, 0], each, (adjacency.shape[0], self.count))
        self.targets = ones_at(each, pairs[:, 1], (self.count, adjacency.shape[1]))


def ones_at(rows: Array, columns: Array, shape: tuple[int, int]) -> mx.array:
    """A matrix of ones in these places, and zeros."""
    matrix = np.zeros(shape, dtype=np.float32)
    matrix[rows, columns] = 1
    return mx.array(matrix)
