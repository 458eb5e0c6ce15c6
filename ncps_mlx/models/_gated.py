"""``GRU`` and ``LSTM``: gated recurrent networks that know the time between readings, to compare a liquid one with."""

from __future__ import annotations

from typing import Any, ClassVar

from ncps_mlx.cells._base import Cell
from ncps_mlx.cells._gated import TIME, GRUCell, LSTMCell
from ncps_mlx.cells._initializers import Initializer, get_initializer, seeded
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._own import register_model

__all__ = ["GRU", "LSTM", "check_time"]


def check_time(name: str, value: Any) -> Any:
    """Refuse what is no way to read the gap."""
    if not isinstance(value, str | None) or value not in TIME:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, TIME))}, got {value!r:.80}.")
    return value


class GatedModel(RecurrentModel):
    """What both share: their arguments, and cells that read the gap in one of the ways of :data:`TIME`."""

    _cell_type: ClassVar[type[GRUCell] | type[LSTMCell]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time: str | None = "input",
        num_layers: int = 1,
        share_layers: bool = False,
        residual: bool = False,
        bidirectional: bool = False,
        initializer: str | Initializer | None = None,
        output_size: int | None = None,
        return_sequences: bool = True,
        seed: int | None = None,
    ) -> None:
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        super().__init__(config)
        check_time("time", config["time"])
        with seeded(config["seed"]):
            self._build(get_initializer(config["initializer"]))

    def _cell(self, input_size: int, initializer: Initializer) -> Cell:
        named = self._config["initializer"]
        return self._cell_type(
            input_size,
            self.hidden_size,
            time=self._config["time"],
            initializer=initializer,
            recurrent_initializer=get_initializer("orthogonal" if named is None else named),
        )


@register_model
class GRU(GatedModel):
    r"""Gated recurrent unit with the time between readings as an input, or as a decay of its state.

    It is what one would otherwise take, with the training, populations and studies of :class:`~ncps_mlx.CfC`.

    .. math:: r = \sigma(z_r), \quad u = \sigma(z_u), \quad n = \tanh(x_n + r (W_n h + b)), \quad
              h' = (1 - u) n + u h

    With ``time=None`` the same as ``mlx.nn.GRU``. :doc:`/models/gru-lstm` has the equations with time.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014 (arXiv 1406.1078), with the
    reset gate after the product as in cuDNN. Its decay: Che et al., "Recurrent neural networks for multivariate time
    series with missing values", 2018 (arXiv 1606.01865), with one rate for each unit.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state of each layer.
        time: How a time step :math:`\Delta t` enters: ``"input"``, :math:`\log(1 + \Delta t)` is one more input of each
            layer; ``"decay"``, the state is multiplied by :math:`e^{-\lambda \Delta t}` before each reading, with a
            learned rate :math:`\lambda > 0` for each unit; ``None``, it is ignored.
        num_layers: Stacked layers; each reads the output of the one below.
        share_layers: The layers from the second on share their parameters.
        residual: Add its input to each layer's output, from the second on.
        bidirectional: Run a second set of layers backward in time and join the outputs of both. Backward, a reading's
            time step is the time to the reading after it.
        initializer: Of the weights: ``None`` for Xavier uniform, and orthogonal from the state; a name
            (``"he_normal"``); or a callable of ``mlx.nn.init``. Biases are 0.
        output_size: O, outputs of a linear readout; ``None`` returns the state itself.
        return_sequences: Return the output of every step, or only that of the last reading.
        seed: Seed of the initial parameters; ``None`` draws from MLX's global stream, as layers of ``mlx.nn`` do.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx import GRU
        >>> model = GRU(3, 11, output_size=2, seed=0)
        >>> y, state = model(mx.zeros((5, 7, 3)), time_delta=mx.ones((5, 7)))
        >>> y.shape, state[0][0].shape, model.parameter_count
        ((5, 7, 2), (5, 11), 563)
    """

    _cell_type = GRUCell


@register_model
class LSTM(GatedModel):
    r"""Long short-term memory with the time between readings as an input, or as a decay of its state.

    .. math:: c' = \sigma(z_f)\, c + \sigma(z_i) \tanh(z_a), \qquad h' = \sigma(z_o) \tanh(c')

    With ``time=None`` the same as ``mlx.nn.LSTM``. :doc:`/models/gru-lstm` has the equations with time.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997.

    Args:
        input_size: D, features of the input.
        hidden_size: H, units of the state of each layer, which is (h, c).
        time: As of :class:`~ncps_mlx.GRU`: ``"input"``, ``"decay"`` (of h and c alike) or ``None``.
        num_layers: Stacked layers; each reads the output of the one below.
        share_layers: The layers from the second on share their parameters.
        residual: Add its input to each layer's output, from the second on.
        bidirectional: Run a second set of layers backward in time and join the outputs of both.
        initializer: As of :class:`~ncps_mlx.GRU`. Biases are 0, but 1 for the forget gate.
        output_size: O, outputs of a linear readout; ``None`` returns the state h itself.
        return_sequences: Return the output of every step, or only that of the last reading.
        seed: Seed of the initial parameters; ``None`` draws from MLX's global stream, as layers of ``mlx.nn`` do.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx import LSTM
        >>> model = LSTM(3, 11, output_size=2, seed=0)
        >>> y, state = model(mx.zeros((5, 7, 3)), time_delta=mx.ones((5, 7)))
        >>> y.shape, len(state[0]), model.parameter_count
        ((5, 7, 2), 2, 728)
    """

    _cell_type = LSTMCell
