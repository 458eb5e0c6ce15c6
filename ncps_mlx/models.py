"""The models: stacked CfC or LTC layers with an optional linear readout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ncps_mlx.activations import ACTIVATIONS
from ncps_mlx.backbone import transposed
from ncps_mlx.cfc import HEADS, CfCCell
from ncps_mlx.checks import check_choice, check_flag, check_int, check_number
from ncps_mlx.initializers import Initializer, get_initializer, seeded
from ncps_mlx.ltc import STABILITY, LTCCell, slowest_time_constant
from ncps_mlx.recurrent import Cell, TimeSteps, run_stack
from ncps_mlx.trees import leaves

__all__ = ["CfC", "LTC", "RecurrentModel", "State"]

State = Sequence[tuple[mx.array]]
"""One tuple (h,) per layer, h of shape (B, H), or (H,) without a batch."""


class RecurrentModel(nn.Module):
    """What :class:`CfC` and :class:`LTC` share: shapes, state, the loop over layers and the readout."""

    layers: list[Cell]

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self._config = config
        self.input_size: int = check_int("input_size", config["input_size"])
        if config["hidden_size"] is None:
            raise ValueError("hidden_size must be given, got None.")
        self.hidden_size: int = check_int("hidden_size", config["hidden_size"])
        self.num_layers: int = check_int("num_layers", config["num_layers"])
        self.residual: bool = check_flag("residual", config["residual"])
        self.return_sequences: bool = check_flag("return_sequences", config["return_sequences"])
        check_choice("activation", config["activation"], ACTIVATIONS)
        check_int("backbone_units", config["backbone_units"])
        layers = check_int("backbone_layers", config["backbone_layers"], minimum=0)
        rate = check_number("backbone_dropout", config["backbone_dropout"], low=0, high=1, open_high=True)
        check_dropout_applies(rate, layers)
        self.backbone_dropout = rate
        output_size = config["output_size"]
        self.output_size: int = (
            self.hidden_size if output_size is None else check_int("output_size", output_size)
        )

    def _build(self, initializer: Initializer) -> None:
        """Make the parameters; called under the model's seed."""
        widths = [self.input_size] + [self.hidden_size] * (self.num_layers - 1)
        self.layers = [self._cell(width, initializer) for width in widths]
        if self._config["output_size"] is not None:
            self.readout = {
                "weight": initializer(mx.zeros((self.output_size, self.hidden_size))),
                "bias": mx.zeros((self.output_size,)),
            }

    def _cell(self, input_size: int, initializer: Initializer) -> Cell:
        raise NotImplementedError  # abstract: CfC and LTC each build their own cell

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, defaults included: ``type(model)(**model.config)`` is its twin."""
        return dict(self._config)

    @property
    def parameter_count(self) -> int:
        """How many numbers the model learns."""
        counts: list[int] = [array.size for array in leaves(self.trainable_parameters())]
        return sum(counts)

    def _extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._config.items())

    def __call__(
        self,
        x: mx.array,
        state: State | None = None,
        time_delta: mx.array | float | None = None,
        mask: mx.array | None = None,
    ) -> tuple[mx.array, list[tuple[mx.array]]]:
        """Run the model over sequences.

        Args:
            x: Inputs, (B, T, D), or (T, D) for one sequence.
            state: What an earlier call returned, to go on from there; ``None`` starts at zero.
            time_delta: Time between the readings: a number, (T,), or (B, T); ``None`` means 1.
            mask: (B, T) (or (T,) for one sequence), true where there is a reading. Elsewhere the state is held, and
                repeated in the output. ``None``: everywhere.

        Returns:
            Outputs (B, T, O), or (B, O) of the last reading with ``return_sequences=False``, O being ``output_size`` if
            given and H otherwise; and the state, one tuple (h,) per layer. Without a batch, B is absent throughout.

        Raises:
            ValueError: An array's shape or dtype does not fit.
        """
        single = x.ndim == 2
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or x.shape[-2] < 1:
            raise ValueError(
                f"x must have shape (B, T, {self.input_size}) or (T, {self.input_size}) with T at least 1, "
                f"got {x.shape}."
            )
        if not mx.issubdtype(x.dtype, mx.floating):
            raise ValueError(
                f"x must be of a floating dtype, got {x.dtype}; convert it with x.astype(mx.float32)."
            )
        if single:
            x = x[None]
            state = None if state is None else [(h[None],) for (h,) in state]
            mask = None if mask is None else mask[None]
        batch, steps, _ = x.shape
        if mask is not None and (mask.shape != (batch, steps) or mask.dtype != mx.bool_):
            raise ValueError(
                f"mask must be bool of shape ({batch}, {steps}), got {mask.dtype} of shape {mask.shape}."
            )
        if state is not None:
            self._check_state(state, batch)
        y, last = self.forward(
            x,
            state,
            as_time_steps(time_delta, batch, steps),
            mask,
            rates=self.backbone_dropout if self.training else 0.0,
        )
        return (y[0], [(h[0],) for (h,) in last]) if single else (y, last)

    def forward(
        self,
        x: mx.array,
        state: State | None,
        time_delta: TimeSteps,
        mask: mx.array | None,
        *,
        rates: mx.array | float = 0.0,
        keys: mx.array | None = None,
    ) -> tuple[mx.array, list[tuple[mx.array]]]:
        """:meth:`__call__` without its checks, for populations too: every array may carry a leading axis N.

        Args:
            x: (..., B, T, D).
            state: One tuple per layer, or ``None``.
            time_delta: A number, or (..., B, T).
            mask: (..., B, T), or ``None``.
            rates: Dropout rate: a number, or (N,); 0 for evaluation.
            keys: Dropout keys, (2,) or (N, 2); ``None`` draws from MLX's global stream.
        """
        x = mx.swapaxes(x, -3, -2)
        dt = mx.swapaxes(time_delta, -1, -2)[..., None] if isinstance(time_delta, mx.array) else time_delta
        held = None if mask is None else mx.swapaxes(mask, -1, -2)[..., None]
        if state is None:
            lead = self.layers[0].backbone.bias.shape[:-1] or x.shape[:-3]
            state = [(mx.zeros((*lead, x.shape[-2], self.hidden_size), dtype=x.dtype),) for _ in self.layers]
        h, last = run_stack(
            self.layers,
            x,
            state,
            dt,
            held,
            residual=self.residual,
            sequences=self.return_sequences,
            rates=rates,
            keys=keys,
        )
        y = self._read(h)
        return (mx.swapaxes(y, -3, -2) if self.return_sequences else y), last

    def _read(self, h: mx.array) -> mx.array:
        if "readout" not in self:
            return h
        weight, bias = transposed(self.readout["weight"]), self.readout["bias"][..., None, :]
        *lead, batch, features = h.shape
        if len(lead) < weight.ndim - 1:
            return h @ weight + bias
        flat = h.reshape(*lead[:-1], lead[-1] * batch, features)  # (..., T, B, H): all steps in one product
        return (flat @ weight + bias).reshape(*lead, batch, self.output_size)

    def _check_state(self, state: State, batch: int) -> None:
        wanted = [((batch, self.hidden_size),)] * self.num_layers
        got = [tuple(h.shape for h in layer) for layer in state]
        if got != wanted:
            raise ValueError(
                f"state must be {self.num_layers} tuple(s), one per layer, of one array of shape "
                f"({batch}, {self.hidden_size}), got {got}."
            )


def check_dropout_applies(rate: float, layers: int) -> None:
    """Refuse a dropout rate where there is no backbone to drop from."""
    if rate > 0 and layers == 0:
        raise ValueError(
            f"backbone_dropout must be 0 when backbone_layers is 0, got {rate}: there is no backbone to drop from. "
            "Set backbone_layers to at least 1."
        )


def as_time_steps(time_delta: mx.array | float | None, batch: int, steps: int) -> TimeSteps:
    """Bring ``time_delta`` to one number or (B, T)."""
    if time_delta is None:
        return 1.0
    if isinstance(time_delta, int | float):
        return float(time_delta)
    if not isinstance(time_delta, mx.array):
        raise ValueError(f"time_delta must be a number or an mx.array, got {type(time_delta).__name__}.")
    if time_delta.shape not in ((), (steps,), (batch, steps)):
        raise ValueError(
            f"time_delta must be a number or have shape ({steps},) or ({batch}, {steps}), got {time_delta.shape}."
        )
    return mx.broadcast_to(time_delta, (batch, steps))


class CfC(RecurrentModel):
    r"""Closed-form continuous-time network.

    In mode ``"default"`` each step computes, from four heads f, g, a, b on a backbone of [x, h],

    .. math:: h' = (1 - s) \tanh f + s \tanh g, \qquad s = \sigma(a \Delta t + b).

    Source: Hasani et al., "Closed-form continuous-time neural networks", Nature Machine Intelligence 2022
    (arXiv 2106.13898). The equations and constants are those of ncps 1.0.1.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state of each layer.
        num_layers: Stacked layers; each reads the state of the one below.
        residual: Add to each layer's output, from the second on, its input.
        mode: ``"default"``; ``"no_gate"``, :math:`h' = \tanh f + s \tanh g`; ``"pure"``, one head and
            :math:`h' = A - A e^{-\Delta t(|w| + |f|)} f`.
        activation: Of the backbone's layers: ``"lecun_tanh"``, ``"tanh"``, ``"relu"``, ``"gelu"``, ``"silu"`` or
            ``"sigmoid"``.
        initializer: ``None`` for Xavier uniform, a name (``"he_normal"``), or a callable of ``mlx.nn.init``.
            Biases are 0.
        backbone_units: U, width of the backbone.
        backbone_layers: Its layers, each followed by activation and dropout; with 0 the heads read [x, h] directly.
        backbone_dropout: Probability of dropping each backbone unit at each step, in training mode.
        output_size: O, outputs of a linear readout; ``None`` returns the state itself.
        return_sequences: Return every step's output, or only that of the last reading.
        seed: Of the initial parameters; ``None`` draws from MLX's global stream, as layers of ``mlx.nn`` do.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx import CfC
        >>> model = CfC(3, 11, output_size=2, seed=0)
        >>> y, state = model(mx.zeros((5, 7, 3)), time_delta=mx.ones((5, 7)))
        >>> y.shape, state[0][0].shape, model.parameter_count
        ((5, 7, 2), (5, 11), 7620)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | None = None,
        *,
        num_layers: int = 1,
        residual: bool = False,
        mode: str = "default",
        activation: str = "lecun_tanh",
        initializer: str | Initializer | None = None,
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_dropout: float = 0.0,
        output_size: int | None = None,
        return_sequences: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__({k: v for k, v in locals().items() if k not in ("self", "__class__")})
        check_choice("mode", mode, HEADS)
        self.mode = mode
        with seeded(seed):
            self._build(get_initializer(initializer))

    def _cell(self, input_size: int, initializer: Initializer) -> Cell:
        config = self._config
        return CfCCell(
            input_size,
            self.hidden_size,
            mode=config["mode"],
            activation=config["activation"],
            initializer=initializer,
            backbone_units=config["backbone_units"],
            backbone_layers=config["backbone_layers"],
        )


class LTC(RecurrentModel):
    r"""Liquid time-constant network, in the dense form of the original paper.

    .. math:: \frac{dx}{dt} = -\left(\frac{1}{\tau} + f\right) x + f A,
        \qquad f = a(W \cdot \text{backbone}([u, x]) + b),

    solved by ``ode_unfolds`` semi-implicit Euler steps for each reading.

    Source: Hasani et al., "Liquid time-constant networks", AAAI 2021 (arXiv 2006.04439).

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state of each layer.
        num_layers: Stacked layers; each reads the state of the one below.
        residual: Add to each layer's output, from the second on, its input.
        activation: Of the gate f and of the backbone's layers, named as in :class:`CfC`.
        initializer: ``None`` for Xavier uniform, a name, or a callable of ``mlx.nn.init``. Biases are 0.
        ode_unfolds: Solver steps for each reading.
        time_constant_range: Least and greatest initial time constant, in units of ``time_delta``, drawn log-uniformly.
            ``None`` means (0.1, 0.9) of the slowest that ``stability`` allows: (0.1, 0.9) with tanh, (0.1, 10) where
            any is.
        stability: ``"bounded"`` (default) keeps 1/tau above what a negative activation could take away, so that the
            solver's denominator never vanishes; ``"softplus"`` keeps tau positive and no more; ``"clip"`` cuts 1/tau
            at 0.001; ``"none"`` lets it go.
        backbone_units: U, width of the backbone.
        backbone_layers: Its layers, each followed by activation and dropout; 0 for none.
        backbone_dropout: Probability of dropping each backbone unit at each step, in training mode.
        output_size: O, outputs of a linear readout; ``None`` returns the state itself.
        return_sequences: Return every step's output, or only that of the last reading.
        seed: Of the initial parameters; ``None`` draws from MLX's global stream, as layers of ``mlx.nn`` do.

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
        num_layers: int = 1,
        residual: bool = False,
        activation: str = "tanh",
        initializer: str | Initializer | None = None,
        ode_unfolds: int = 6,
        time_constant_range: tuple[float, float] | None = None,
        stability: str = "bounded",
        backbone_units: int = 128,
        backbone_layers: int = 0,
        backbone_dropout: float = 0.0,
        output_size: int | None = None,
        return_sequences: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__({k: v for k, v in locals().items() if k not in ("self", "__class__")})
        check_int("ode_unfolds", ode_unfolds)
        check_choice("stability", stability, STABILITY)
        self._time_constants = check_time_constants(time_constant_range, activation, stability)
        with seeded(seed):
            self._build(get_initializer(initializer))

    def _cell(self, input_size: int, initializer: Initializer) -> Cell:
        config = self._config
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


def check_time_constants(given: object, activation: str, stability: str) -> tuple[float, float]:
    """Resolve and check ``time_constant_range``."""
    slowest = slowest_time_constant(activation, stability)
    if given is None:
        return (0.1, 10.0) if slowest == float("inf") else (0.1 * slowest, 0.9 * slowest)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(f"time_constant_range must be a pair (least, greatest), got {given!r}.")
    low = check_number("time_constant_range[0]", given[0], low=0, open_low=True)
    high = check_number("time_constant_range[1]", given[1], low=low)
    if high > slowest:
        raise ValueError(
            f"time_constant_range must end at {slowest:g} or below with activation={activation!r} and "
            f"stability='bounded', got {given}. Choose stability='softplus', or an activation that is never negative "
            "such as 'sigmoid', or scale time_delta."
        )
    return low, high
