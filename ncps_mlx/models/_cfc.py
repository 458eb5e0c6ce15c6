"""``CfC``: the closed-form continuous-time network."""

from __future__ import annotations

from ncps_mlx._kernels.activations import ACTIVATIONS
from ncps_mlx._utils.validation import check_choice, check_flag
from ncps_mlx.cells._base import Cell
from ncps_mlx.cells._cfc import HEADS, CfCCell
from ncps_mlx.cells._initializers import Initializer, get_initializer, seeded
from ncps_mlx.cells._wired_cfc import WiredCfCCell
from ncps_mlx.models._base import BACKBONE, RecurrentModel
from ncps_mlx.models._own import register_model
from ncps_mlx.wirings._base import Wiring

__all__ = ["CfC"]

DENSE_CFC = {**BACKBONE, "activation": "lecun_tanh", "backbone_layers": 1}


@register_model
class CfC(RecurrentModel):
    r"""Closed-form continuous-time network: a recurrent model whose state after any time step is one formula.

    In mode ``"default"`` each step computes, from four heads f, g, a, b on a backbone of [x, h],

    .. math:: h' = (1 - s) \tanh f + s \tanh g, \qquad s = \sigma(a \Delta t + b).

    :doc:`/models/cfc` has every equation and the effect of each argument; :doc:`/guide/cfc` helps to choose.

    Source: Hasani et al., "Closed-form continuous-time neural networks", Nature Machine Intelligence 2022
    (arXiv 2106.13898). The equations and constants are those of ncps 1.0.1.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state of each layer. Give this, or ``wiring``.
        wiring: A :class:`~ncps_mlx.wirings.Wiring` such as ``AutoNCP(19, 4)``: its layers become cells
            without a backbone, whose weights exist where synapses do. The output is that of the motor neurons.
        num_layers: Stacked layers; each reads the output of the one below.
        share_layers: The layers from the second on share their parameters.
        residual: Add its input to each layer's output, from the second on.
        bidirectional: Run a second set of layers backward in time and join the outputs of both. Backward, a reading's
            time step is the time to the reading after it.
        mixed_memory: Run an LSTM step, of as many units, before each step of the cell; the state is then (h, c).
        mode: How the heads make the next state: ``"default"``, :math:`h' = (1 - s) \tanh f + s \tanh g`; ``"no_gate"``,
            :math:`h' = \tanh f + s \tanh g`; ``"pure"``, one head and :math:`h' = A - A e^{-\Delta t(|w| + |f|)} f`.
        activation: Nonlinearity of the backbone's layers (a wired model has no backbone, and takes none of its four
            arguments): ``"lecun_tanh"``, ``"tanh"``, ``"relu"``, ``"gelu"``, ``"silu"`` or ``"sigmoid"``.
        initializer: How weight matrices are drawn: ``None`` for Xavier uniform, a name (``"he_normal"``), or a callable
            of ``mlx.nn.init``. Biases are 0.
        backbone_units: U, width of the backbone.
        backbone_layers: Layers of the backbone, each followed by activation and dropout; with 0 the heads read [x, h]
            directly.
        backbone_dropout: Probability of dropping each backbone unit at each step, in training mode.
        output_size: O, outputs of a linear readout; ``None`` returns the state itself (the motor neurons').
        return_sequences: Return the output of every step, or only that of the last reading.
        ncps_masks: With a wiring, mask as ncps 1.0.1 does: only the heads f and g, and every layer of the circuit fully
            recurrent. For models that come from ncps (:func:`ncps_mlx.from_torch`).
        seed: Seed of the initial parameters; ``None`` draws from MLX's global stream, as layers of ``mlx.nn`` do.

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
        wiring: Wiring | None = None,
        num_layers: int = 1,
        share_layers: bool = False,
        residual: bool = False,
        bidirectional: bool = False,
        mixed_memory: bool = False,
        mode: str = "default",
        activation: str = "lecun_tanh",
        initializer: str | Initializer | None = None,
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_dropout: float = 0.0,
        output_size: int | None = None,
        return_sequences: bool = True,
        ncps_masks: bool = False,
        seed: int | None = None,
    ) -> None:
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        super().__init__(config, DENSE_CFC, {"ncps_masks": False})
        check_choice("mode", mode, HEADS)
        check_choice("activation", activation, ACTIVATIONS)
        check_flag("ncps_masks", ncps_masks)
        self.mode = mode
        with seeded(config["seed"]):
            self._build(get_initializer(initializer))

    def _cell(self, input_size: int, initializer: Initializer) -> Cell:
        config = self._config
        if self.wiring is not None:
            return WiredCfCCell(
                self.wiring.build(input_size),
                mode=config["mode"],
                initializer=initializer,
                ncps_masks=config["ncps_masks"],
            )
        return CfCCell(
            input_size,
            self.hidden_size,
            mode=config["mode"],
            activation=config["activation"],
            initializer=initializer,
            backbone_units=config["backbone_units"],
            backbone_layers=config["backbone_layers"],
        )
