"""The closed-form continuous-time cell (CfC)."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx._kernels.activations import ACTIVATIONS, DERIVATIVES
from ncps_mlx._kernels.cfc import LayerArrays, LayerSpec, combine_heads, run_cfc
from ncps_mlx._kernels.custom_vjp import is_eager
from ncps_mlx._kernels.layout import transposed
from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.native import NativeBackbone, NativeCfC
from ncps_mlx._utils.validation import check_choice, check_int
from ncps_mlx.cells._backbone import Backbone
from ncps_mlx.cells._base import FusedCell, State, Step, TimeSteps
from ncps_mlx.cells._initializers import Initializer
from ncps_mlx.cells._validation import MOST_LAYERS, check_initializer, check_size, check_weight_mask

__all__ = ["CfCCell", "HEADS"]

HEADS: dict[str, int] = {"default": 4, "no_gate": 4, "pure": 1}
"""How many heads, of H outputs each, a mode reads from the backbone."""


class CfCCell(FusedCell):
    r"""The parameters and one step of a CfC's layer, from which :class:`~ncps_mlx.CfC` is built.

    .. math::

        \text{default:}&\quad h' = (1 - s) f + s g, \quad s = \sigma(a \Delta t + b) \\
        \text{no_gate:}&\quad h' = f + s g \\
        \text{pure:}&\quad h' = A - A e^{-\Delta t (|w_\tau| + |p|)} p

    with :math:`f = \tanh(\cdot)`, :math:`g = \tanh(\cdot)`, a, b and p linear heads on the backbone of [x, h].

    Written out in NumPy: :doc:`/models/cfc`.

    Source: Hasani et al., "Closed-form continuous-time neural networks", 2022 (arXiv 2106.13898); as ncps 1.0.1.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        activation: Of the backbone's layers.
        initializer: Fills each weight matrix.
        backbone_units: U, width of the backbone.
        backbone_layers: Its layers; with 0 the heads read [x, h] directly.
        mask: 1 for each weight of the first product that exists, else 0 (outputs, D + H); ``None``: all exist.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.cells import CfCCell
        >>> from mlx.nn.init import glorot_uniform
        >>> cell = CfCCell(
        ...     3,
        ...     11,
        ...     mode="default",
        ...     activation="lecun_tanh",
        ...     initializer=glorot_uniform(),
        ...     backbone_units=16,
        ...     backbone_layers=1,
        ... )
        >>> y, (h,) = cell.run(mx.zeros((7, 5, 3)), (mx.zeros((5, 11)),), 1.0, None, [], sequences=True)
        >>> y.shape, h.shape
        ((7, 5, 11), (5, 11))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        mode: str,
        activation: str,
        initializer: Initializer,
        backbone_units: int,
        backbone_layers: int,
        mask: npt.NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__()
        check_choice("mode", mode, HEADS)
        check_choice("activation", activation, ACTIVATIONS)
        check_initializer("initializer", initializer)
        for name, size in (
            ("input_size", input_size), ("hidden_size", hidden_size), ("backbone_units", backbone_units),
        ):  # fmt: skip
            check_size(name, size)
        backbone_layers = check_int("backbone_layers", backbone_layers, minimum=0, maximum=MOST_LAYERS)
        if mask is not None:
            rows = backbone_units if backbone_layers else hidden_size * HEADS[mode]
            mask = check_weight_mask(mask, (rows, input_size + hidden_size))
        self._mode = mode
        self._activation = activation
        self.hidden_size = self.output_size = hidden_size
        self.backbone = Backbone(
            input_size,
            hidden_size,
            units=backbone_units,
            layers=backbone_layers,
            outputs=[hidden_size] * HEADS[mode],
            activation=activation,
            initializer=initializer,
            mask=mask,
        )
        self.masked_weight_count = self.backbone.masked_weight_count
        if mode == "pure":
            # Drawn, not zeros and ones: at exactly 0, |w| would pass on no gradient.
            self.decay = initializer(mx.zeros((1, hidden_size)))[0]
            self.amplitude = initializer(mx.zeros((1, hidden_size)))[0]

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
        """A function of one step."""
        heads, pure, mode = self.backbone.bind(), self.pure(), self._mode

        def step(z: State, state: State, dt: TimeSteps, dropout: Sequence[mx.array]) -> State:
            return (combine_heads(mode, heads(z[0], state[0], dropout), dt, pure),)

        return step

    def pure(self) -> tuple[mx.array, ...]:
        """Decay and amplitude of mode pure, each (..., 1, H); empty in the other modes."""
        if self._mode != "pure":
            return ()
        return mx.abs(self.decay)[..., None, :], self.amplitude[..., None, :]

    @property
    def has_fused_kernel(self) -> bool:
        """Whether the activation's derivative follows from its value."""
        return not self.backbone.layers or self._activation in DERIVATIVES

    @property
    def has_native_kernel(self) -> bool:
        """Whether C has the mode and the activation."""
        covered = not self.backbone.layers or self._activation in NativeBackbone.ACTIVATIONS
        return covered and self._mode in NativeCfC.MODES

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
        net = self.backbone
        if lstm is None and self.has_native_kernel and is_eager():
            native = NativeCfC(
                mode=self._mode,
                x=x,
                state=state[0],
                backbone=net.in_c(self._activation if net.layers else "tanh"),  # else any name will do
                dt=dt,
                mask=mask,
                dropout=tuple(dropout),
            )
            if native.runs():
                every, end = native.run(sequences=sequences)
                return end if every is None else every, (end,)
        varying = isinstance(dt, mx.array)
        spec = LayerSpec(
            mode=self._mode,
            activation=self._activation if net.layers else "tanh",  # without layers any name will do
            layers=net.layers,
            varying_time=varying,
        )
        arrays = LayerArrays(
            z=net.inputs(x),
            h=state[0],
            recurrent=net.first_weights()[1],
            weights=tuple(transposed(weight) for weight in net.weights),
            biases=tuple(bias[..., None, :] for bias in net.biases),
            pure=self.pure(),
            dt=dt if isinstance(dt, mx.array) else None,
            mask=mask,
            dropout=tuple(dropout),
            lstm=lstm,
        )
        states, last = run_cfc(spec, arrays, 0.0 if isinstance(dt, mx.array) else dt, sequences=sequences)
        return last[0] if states is None else states, last
