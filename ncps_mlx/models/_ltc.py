"""``LTC``: the liquid time-constant network."""

from __future__ import annotations

from collections.abc import Mapping

import mlx.core as mx

from ncps_mlx._kernels.activations import ACTIVATIONS
from ncps_mlx._utils.validation import check_choice, check_number
from ncps_mlx.cells._base import Cell
from ncps_mlx.cells._initializers import Initializer, get_initializer, seeded
from ncps_mlx.cells._ltc import STABILITY, LTCCell, slowest_time_constant
from ncps_mlx.cells._stack import reverse_time
from ncps_mlx.cells._validation import MOST_LAYERS
from ncps_mlx.cells._wired_ltc import INITIAL_RANGES, MAPPINGS, WiredLTCCell
from ncps_mlx.models._base import BACKBONE, RecurrentModel, time_first
from ncps_mlx.models._own import register_model
from ncps_mlx.models._validation import store_int
from ncps_mlx.wirings._base import Wiring

__all__ = ["LTC"]

DENSE_LTC = {**BACKBONE, "activation": "tanh", "backbone_layers": 0, "stability": "bounded"}
WIRED_LTC = {"input_mapping": "affine", "output_mapping": "affine", "initial_ranges": None}
"""Arguments that apply only without a wiring, or only with one, with their defaults."""

LARGEST_INITIAL = 1e12  # of an initial value, or of its inverse: single precision can compute with it


@register_model
class LTC(RecurrentModel):
    r"""Liquid time-constant network: a recurrent model that solves a differential equation at each reading.

    This is the dense form of the original paper:

    .. math:: \frac{dx}{dt} = -\left(\frac{1}{\tau} + f\right) x + f A,
        \qquad f = a(W \cdot \text{backbone}([u, x]) + b),

    solved by ``ode_unfolds`` semi-implicit Euler steps for each reading. With ``wiring``, neurons with conductance
    synapses instead. A reading acts for the whole of its time step, so that after a long one the state no longer tells
    how long it was: at irregular times take ``mixed_memory=True``. :doc:`/models/ltc` has every equation and the effect
    of each argument; :doc:`/guide/ltc` helps to choose.

    Source: Hasani et al., "Liquid time-constant networks", AAAI 2021 (arXiv 2006.04439).

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state of each layer. Give this, or ``wiring``.
        wiring: A :class:`~ncps_mlx.wirings.Wiring` such as ``AutoNCP(19, 4)``: neurons with
            conductance synapses (:class:`~ncps_mlx.cells.WiredLTCCell`). The output is that of the motor neurons.
        num_layers: Stacked layers; each reads the output of the one below.
        share_layers: The layers from the second on share their parameters.
        residual: Add its input to each layer's output, from the second on.
        bidirectional: Run a second set of layers backward in time and join the outputs of both. Backward, a reading's
            time step is the time to the reading after it.
        mixed_memory: Run an LSTM step, of as many units, before each step of the cell; the state is then (h, c). It
            takes a reading in at once, however short the time step.
        activation: Nonlinearity of the gate f and of the backbone's layers, named as in :class:`CfC`.
        initializer: How weight matrices are drawn: ``None`` for Xavier uniform, a name (``"he_normal"``), or a callable
            of ``mlx.nn.init``. Biases are 0.
        ode_unfolds: Solver steps for each reading.
        time_constant_range: Smallest and largest initial time constant, in units of ``time_delta``, drawn
            log-uniformly. ``None`` means (0.1, 10) where ``stability`` allows that, else 0.1 and 0.9 times the largest
            it allows (with tanh (0.1, 0.9)); with a wiring, what the ranges of capacitance and leak give. These hold at
            rest: gates and synapses make them shorter or longer (:meth:`time_constants`).
        stability: What keeps the time constants tau in bounds. ``"bounded"`` (default) holds 1/tau above what a
            negative activation could take away, so that the solver's denominator never vanishes; ``"softplus"`` keeps
            tau positive, nothing more; ``"clip"`` keeps 1/tau at 0.001 or above; ``"none"`` leaves it unbounded.
        backbone_units: U, width of the backbone.
        backbone_layers: Layers of the backbone, each followed by activation and dropout; 0 for none.
        backbone_dropout: Probability of dropping each backbone unit at each step, in training mode.
        input_mapping: With a wiring, the map of each input before its synapses: ``"affine"`` (x * weight + bias),
            ``"linear"`` (x * weight) or ``"none"``.
        output_mapping: With a wiring, the map of each motor neuron before it is read, by the same names.
        initial_ranges: With a wiring, smallest and largest initial value by name, in place of those of
            :data:`~ncps_mlx.cells.INITIAL_RANGES`: ``{"slope": (3, 8)}``.
        output_size: O, outputs of a linear readout; ``None`` returns the state itself (the motor neurons', mapped).
        return_sequences: Return the output of every step, or only that of the last reading.
        seed: Seed of the initial parameters; ``None`` draws from MLX's global stream, as layers of ``mlx.nn`` do.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx import LTC
        >>> model = LTC(3, 11, output_size=2, return_sequences=False, seed=0)
        >>> y, state = model(mx.zeros((5, 7, 3)), time_delta=0.5)
        >>> y.shape, model.parameter_count
        ((5, 2), 211)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | None = None,
        *,
        wiring: Wiring | None = None,
        num_layers: int = 1,
        share_layers: bool = False,
        residual: bool = False,
        bidirectional: bool = False,
        mixed_memory: bool = False,
        activation: str = "tanh",
        initializer: str | Initializer | None = None,
        ode_unfolds: int = 6,
        time_constant_range: tuple[float, float] | None = None,
        stability: str = "bounded",
        backbone_units: int = 128,
        backbone_layers: int = 0,
        backbone_dropout: float = 0.0,
        input_mapping: str = "affine",
        output_mapping: str = "affine",
        initial_ranges: Mapping[str, tuple[float, float]] | None = None,
        output_size: int | None = None,
        return_sequences: bool = True,
        seed: int | None = None,
    ) -> None:
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        super().__init__(config, DENSE_LTC, WIRED_LTC)
        check_choice("activation", activation, ACTIVATIONS)
        store_int(config, "ode_unfolds", maximum=MOST_LAYERS)
        check_choice("stability", stability, STABILITY)
        check_choice("input_mapping", input_mapping, MAPPINGS)
        check_choice("output_mapping", output_mapping, MAPPINGS)
        self._ranges = check_ranges(initial_ranges, time_constant_range)
        if initial_ranges is not None:
            config["initial_ranges"] = self._ranges
        if wiring is None or time_constant_range is not None:
            slowest = float("inf") if wiring is not None else slowest_time_constant(activation, stability)
            self._time_constants = check_time_constants(time_constant_range, slowest, stability)
            if time_constant_range is not None:
                config["time_constant_range"] = self._time_constants
        with seeded(config["seed"]):
            self._build(get_initializer(initializer))

    def _cell(self, input_size: int, initializer: Initializer) -> Cell:
        config = self._config
        if self.wiring is not None:
            return WiredLTCCell(
                self.wiring.build(input_size),
                unfolds=config["ode_unfolds"],
                input_mapping=config["input_mapping"],
                output_mapping=config["output_mapping"],
                initial_ranges=self._ranges,
                time_constants=None if config["time_constant_range"] is None else self._time_constants,
            )
        return LTCCell(
            input_size,
            self.hidden_size,
            activation=config["activation"],
            initializer=initializer,
            unfolds=config["ode_unfolds"],
            time_constants=self._time_constants,
            stability=config["stability"],
            backbone_units=config["backbone_units"],
            backbone_layers=config["backbone_layers"],
        )

    def time_constants(
        self,
        x: mx.array | None = None,
        time_delta: mx.array | float | None = None,
        mask: mx.array | None = None,
    ) -> list[mx.array]:
        """How fast each neuron forgets: at rest, or driven by inputs.

        Args:
            x: Inputs, (B, T, D); ``None`` for the time constants at rest.
            time_delta: As in a call.
            mask: As in a call.

        Returns:
            For each layer (H,) without ``x``, or (B, T, H) after each reading, in units of ``time_delta``, or on the
            scale of the model's ``time_scaler``. In a bidirectional model those of both directions, (..., 2H). For one
            sequence, without B.

        Raises:
            ValueError: As in a call.

        Example:
            >>> import mlx.core as mx
            >>> from ncps_mlx import LTC
            >>> model = LTC(3, 11, time_constant_range=(0.2, 0.8), seed=0)
            >>> (resting,) = model.time_constants()
            >>> resting.shape, 0.2 <= resting.min().item() and resting.max().item() <= 0.8
            ((11,), True)
            >>> model.time_constants(mx.ones((5, 7, 3)))[0].shape
            (5, 7, 11)
        """
        if x is None:
            return [
                mx.concatenate([cell.resting_time_constants() for cell in cells], axis=-1)
                for cells in self._stack()
            ]
        x, steps, mask, _, single = self._check_call(x, time_delta, mask)
        x, dt, mask = time_first(x, steps, mask)
        per_layer: list[mx.array] = []
        for i, (cells, state) in enumerate(zip(self._stack(), self._zero_state(x), strict=True)):
            values: list[mx.array] = []
            outputs: list[mx.array] = []
            for backward, cell in enumerate(cells):
                sequence = reverse_time(x, dt, mask) if backward else (x, dt, mask)
                read = cell.bind_time_constants()
                pairs, _ = cell.over_time(
                    sequence[0],
                    state[: cell.state_size],
                    *sequence[1:],
                    [],
                    lambda z, new, read=read: (read(z, new), new[0]),  # type: ignore[misc]  # bound at once
                )
                for target, each in zip((values, outputs), zip(*pairs, strict=True), strict=True):
                    stacked = mx.stack(list(each), axis=-3)
                    target.append(stacked[..., ::-1, :, :] if backward else stacked)
            per_layer.append(mx.swapaxes(mx.concatenate(values, axis=-1), -3, -2))
            y = mx.concatenate([c.outputs(h) for c, h in zip(cells, outputs, strict=True)], axis=-1)
            x = y + x if self.residual and i else y
        return [each[0] for each in per_layer] if single else per_layer


def check_ranges(initial_ranges: object, time_constant_range: object) -> dict[str, tuple[float, float]]:
    """Check ``initial_ranges``."""
    if initial_ranges is None:
        return {}
    if not isinstance(initial_ranges, Mapping):
        raise ValueError(f"initial_ranges must be a mapping of names to pairs, got {initial_ranges!r}.")
    checked = {}
    for name, pair in initial_ranges.items():
        check_choice("initial_ranges", name, INITIAL_RANGES)
        where = f"initial_ranges[{name!r}]"
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"{where} must be a pair (least, greatest), got {pair!r}.")
        positive = name in ("leak", "capacitance", "weight")
        low = check_number(f"{where}[0]", pair[0], low=0.0 if positive else -LARGEST_INITIAL, open_low=positive)
        checked[name] = low, check_number(f"{where}[1]", pair[1], low=low, high=LARGEST_INITIAL)
    if "capacitance" in checked and time_constant_range is not None:
        raise ValueError(
            "initial_ranges must leave out 'capacitance' with time_constant_range, which draws it from the leak, got "
            f"{initial_ranges!r}."
        )
    return checked


def check_time_constants(time_constant_range: object, slowest: float, stability: str) -> tuple[float, float]:
    """Check ``time_constant_range`` or choose it; ``slowest`` is the largest that ``stability`` allows."""
    if time_constant_range is None:
        return (0.1, 10.0) if slowest > 10.0 else (0.1 * slowest, 0.9 * slowest)
    if not isinstance(time_constant_range, tuple | list) or len(time_constant_range) != 2:
        raise ValueError(f"time_constant_range must be a pair (least, greatest), got {time_constant_range!r}.")
    low = check_number("time_constant_range[0]", time_constant_range[0], low=1 / LARGEST_INITIAL)
    high = check_number("time_constant_range[1]", time_constant_range[1], low=low, high=LARGEST_INITIAL)
    if high > slowest:
        where, cure = f"stability={stability!r}", "stability='softplus'"
        if stability == "bounded":
            where = f"this activation and {where}"
            cure = "an activation that is never negative such as 'sigmoid'"
        raise ValueError(
            f"time_constant_range must end at {slowest:g} or below with {where}, got {time_constant_range}. "
            f"Choose {cure}, or scale time_delta."
        )
    return low, high
