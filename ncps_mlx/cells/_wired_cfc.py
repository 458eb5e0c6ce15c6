"""The CfC on a circuit: one cell for each of its layers, with weights for the synapses that exist."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from ncps_mlx._kernels.lstm import LSTMArrays
from ncps_mlx._kernels.wired_cfc import CircuitArrays, CircuitLayerArrays, run_wired_cfc
from ncps_mlx._utils.validation import check_choice, check_flag
from ncps_mlx.cells._base import FusedCell, State, Step, TimeSteps
from ncps_mlx.cells._cfc import HEADS, CfCCell
from ncps_mlx.cells._initializers import Initializer
from ncps_mlx.cells._validation import check_circuit, check_initializer
from ncps_mlx.wirings._base import Circuit

__all__ = ["WiredCfCCell", "head_masks"]


class WiredCfCCell(FusedCell):
    """A CfC on a circuit: a weight exists where a synapse does.

    The circuit's layers (inter, command, motor) are cells without a backbone: within one step each reads the new state
    of the layer before it, and the first reads the inputs. Every neuron also reads its own state.

    Written out in NumPy: :doc:`/models/cfc`.

    Source: Hasani et al., "Closed-form continuous-time neural networks", 2022; as ncps 1.0.1 except for the masks,
    which in ncps cover only the heads f and g and leave every layer fully recurrent.

    Args:
        circuit: The synapses.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        initializer: Fills each weight matrix; weights without a synapse are then set to zero.
        ncps_masks: Use the masks of ncps.

    Raises:
        ValueError: An argument is out of its range, or the circuit has layers, and a synapse skips one or goes back.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.cells import WiredCfCCell
        >>> from ncps_mlx import AutoNCP
        >>> from mlx.nn.init import glorot_uniform
        >>> circuit = AutoNCP(11, 2).build(3)
        >>> cell = WiredCfCCell(circuit, mode="default", initializer=glorot_uniform(), ncps_masks=False)
        >>> y, (h,) = cell.run(mx.zeros((7, 5, 3)), (mx.zeros((5, 11)),), 1.0, None, [], sequences=True)
        >>> y.shape, [part.shape[-1] for part in cell.split(h)]  # inter, command, motor neurons
        ((7, 5, 2), [6, 3, 2])
    """

    def __init__(self, circuit: Circuit, *, mode: str, initializer: Initializer, ncps_masks: bool) -> None:
        super().__init__()
        check_circuit(circuit)
        check_choice("mode", mode, HEADS)
        check_initializer("initializer", initializer)
        if not check_flag("ncps_masks", ncps_masks):
            check_layered(circuit)
        self.hidden_size, self.output_size = circuit.units, circuit.output_size
        self._mode = mode
        self._sizes = [len(layer) for layer in circuit.layers]
        widths = [circuit.input_size, *self._sizes[:-1]]
        self.cells = [
            CfCCell(
                width,
                len(layer),
                mode=mode,
                activation="lecun_tanh",
                initializer=initializer,
                backbone_units=len(layer),
                backbone_layers=0,
                mask=mask,
            )
            for width, layer, mask in zip(
                widths, circuit.layers, head_masks(circuit, HEADS[mode], ncps_masks), strict=True
            )
        ]
        self.masked_weight_count = sum(cell.masked_weight_count for cell in self.cells)

    @property
    def leading_axes(self) -> tuple[int, ...]:
        """The parameters' leading axes."""
        return self.cells[0].leading_axes

    def inputs(self, x: mx.array) -> State:
        """The inputs' part of the first layer's product."""
        return self.cells[0].inputs(x)

    def bind(self) -> Step:
        """A function of one step: layer after layer."""
        steps = [cell.bind() for cell in self.cells]
        between = [cell.backbone.bind_inputs() for cell in self.cells[1:]]

        def step(z: State, state: State, dt: TimeSteps, dropout: Sequence[mx.array]) -> State:
            new: list[mx.array] = []
            for i, (cell, h) in enumerate(zip(steps, self.split(state[0]), strict=True)):
                inputs = (between[i - 1](new[-1]),) if i else z
                new.extend(cell(inputs, (h,), dt, dropout))
            return (mx.concatenate(new, axis=-1),)

        return step

    def split(self, h: mx.array) -> list[mx.array]:
        """The state of each layer."""
        if len(self._sizes) == 1:
            return [h]
        return list(mx.split(h, np.cumsum(self._sizes)[:-1].tolist(), axis=-1))

    def outputs(self, h: mx.array) -> mx.array:
        """The motor neurons' states."""
        first = self.hidden_size - self._sizes[-1]
        return h[..., first : first + self.output_size]

    @property
    def has_native_kernel(self) -> bool:
        """Whether C has the mode."""
        return all(cell.has_native_kernel for cell in self.cells)

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
        """As ``FusedCell.run_fused``; without an LSTM each layer runs over the whole sequence before the next."""
        if lstm is not None:
            layers = tuple(self._layer(i) for i in range(len(self.cells)))
            arrays = CircuitArrays(z=self.inputs(x)[0], h=state[0], layers=layers, lstm=lstm)
            states, end = run_wired_cfc(self._mode, arrays, dt, mask)
            return self.outputs(states if sequences else end[0]), end
        last: list[mx.array] = []
        for i, (cell, h) in enumerate(zip(self.cells, self.split(state[0]), strict=True)):
            every = sequences or i < len(self.cells) - 1
            x, end = cell.run(x, (h,), dt, mask, dropout, sequences=every)
            last.extend(end)
        return x[..., : self.output_size], (mx.concatenate(last, axis=-1),)

    def _layer(self, i: int) -> CircuitLayerArrays:
        """The arrays of layer i, as its equations have them."""
        net = self.cells[i].backbone
        feedforward, recurrent = net.first_weights()
        return CircuitLayerArrays(
            recurrent=recurrent,
            feedforward=(feedforward, net.bias[..., None, :]) if i else (),
            pure=self.cells[i].pure(),
            dt=None,
            mask=None,
        )


def head_masks(circuit: Circuit, heads: int, ncps_masks: bool) -> list[npt.NDArray[np.float32]]:
    """For each layer of the circuit, 1 for the weights of its heads that exist, else 0 (heads * U, inputs + U)."""
    synapses = np.abs(circuit.adjacency)
    masks = []
    before: tuple[int, ...] = ()
    for layer in circuit.layers:
        neurons = list(layer)
        feedforward = (
            synapses[np.ix_(before, neurons)] if before else np.abs(circuit.sensory_adjacency)[:, neurons]
        )
        recurrent = synapses[np.ix_(neurons, neurons)] | np.eye(len(neurons), dtype=np.int8)
        if ncps_masks:
            recurrent = np.ones_like(recurrent)
        exists = np.concatenate([feedforward, recurrent]).T.astype(np.float32)
        masked = min(2, heads) if ncps_masks else heads
        masks.append(np.concatenate([exists] * masked + [np.ones_like(exists)] * (heads - masked)))
        before = layer
    return masks


def check_layered(circuit: Circuit) -> None:
    """Refuse a circuit with synapses that do not lead from layer to layer."""
    covered = 0
    before: tuple[int, ...] = ()
    for layer in circuit.layers:
        sources = [*before, *layer]
        covered += int(np.count_nonzero(circuit.adjacency[np.ix_(sources, list(layer))]))
        before = layer
    first = list(circuit.layers[0])
    sensory = int(np.count_nonzero(circuit.sensory_adjacency[:, first]))
    missed = circuit.synapse_count - covered + circuit.sensory_synapse_count - sensory
    if missed:
        raise ValueError(
            f"wiring must lead from layer to layer (sensory, inter, command, motor) in a CfC, got {missed} synapse(s) "
            "that skip a layer or go back. Use it in an LTC, or leave command_neurons at 0."
        )
