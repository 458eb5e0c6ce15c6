"""``RecurrentModel``: what all models share."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ncps_mlx._kernels.layout import transposed
from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx._utils.validation import LARGEST_SEED, check_flag, check_number
from ncps_mlx.cells._base import Cell, State, TimeSteps
from ncps_mlx.cells._initializers import Initializer, get_initializer
from ncps_mlx.cells._mixed_memory import MixedMemory
from ncps_mlx.cells._stack import run_stack
from ncps_mlx.cells._validation import LARGEST_SIZE, MOST_LAYERS
from ncps_mlx.losses import Loss
from ncps_mlx.models._export import export
from ncps_mlx.models._serialization import copy_parts, from_parts, save
from ncps_mlx.models._time_steps import as_time_steps
from ncps_mlx.models._validation import (
    check_dropout_applies,
    check_inapplicable,
    check_wiring,
    describe_layer_state,
    is_layer_state,
    store_int,
)
from ncps_mlx.wirings._base import Wiring

__all__ = ["RecurrentModel"]

BACKBONE = {"backbone_units": 128, "backbone_dropout": 0.0}
"""Arguments of every dense model that no wired one takes, with their defaults."""

MOST_PARAMETERS = 2**28  # 1 GiB in single precision; training takes several times that


class RecurrentModel(nn.Module):
    """What all models of the library share: shapes, state, stacked layers, the readout, saving.

    Attributes:
        layers: The cells that run forward in time; with ``share_layers`` only two, the second for all upper layers.
        backward_layers: With ``bidirectional``, the cells that run backward.
        loss: What it was trained with, so that its outputs are read rightly; ``None`` before :func:`~ncps_mlx.fit`.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> from ncps_mlx.models import RecurrentModel
        >>> from ncps_mlx import CfC
        >>> model = CfC(3, 11, seed=0)
        >>> isinstance(model, RecurrentModel), model.config["hidden_size"]
        (True, 11)
        >>> type(model)(**model.config).parameter_count == model.parameter_count
        True
    """

    layers: list[Cell]
    loss: Loss | None

    wiring: Wiring | None = None
    mixed_memory: bool = False
    backbone_dropout: float = 0.0

    def __init__(
        self,
        config: dict[str, Any],
        dense: Mapping[str, Any] | None = None,
        wired: Mapping[str, Any] | None = None,
    ) -> None:
        """Check the arguments that all models share.

        Args:
            config: The constructor's arguments.
            dense: Arguments that only a dense model takes, with their defaults; ``None`` for a gated model, which has
                neither wiring nor backbone.
            wired: Arguments that only a wired model takes, with their defaults.
        """
        super().__init__()
        self._config = config
        self._time_scaler: TimeScaler | None = None
        self.loss = None
        self.input_size = store_int(config, "input_size", maximum=LARGEST_SIZE)
        if dense is None or wired is None:
            self.hidden_size = store_int(config, "hidden_size", maximum=LARGEST_SIZE)
        else:
            self._check_liquid(config, dense, wired)
        self.num_layers = store_int(config, "num_layers", maximum=MOST_LAYERS)
        self.residual: bool = check_flag("residual", config["residual"])
        self.bidirectional: bool = check_flag("bidirectional", config["bidirectional"])
        self.return_sequences: bool = check_flag("return_sequences", config["return_sequences"])
        if check_flag("share_layers", config["share_layers"]) and self.num_layers < 3:
            raise ValueError(
                f"share_layers must be False with num_layers={self.num_layers}: the layers from the second on share "
                "parameters. Set num_layers to at least 3."
            )
        if config["output_size"] is not None:
            store_int(config, "output_size", maximum=LARGEST_SIZE)
        if config["seed"] is not None:
            store_int(config, "seed", minimum=0, maximum=LARGEST_SEED)

    def _check_liquid(
        self, config: dict[str, Any], dense: Mapping[str, Any], wired: Mapping[str, Any]
    ) -> None:
        """Check what a CfC and an LTC have besides: wiring, mixed memory, backbone."""
        self.wiring = check_wiring(config["hidden_size"], config["wiring"])
        if self.wiring is None:
            self.hidden_size = store_int(config, "hidden_size", maximum=LARGEST_SIZE)
            check_inapplicable(config, wired, "without a wiring", "wiring instead of hidden_size")
        else:
            self.hidden_size = self.wiring.units
            check_inapplicable(config, dense, "with a wiring", "hidden_size instead of wiring")
        self.mixed_memory = check_flag("mixed_memory", config["mixed_memory"])
        store_int(config, "backbone_units", maximum=LARGEST_SIZE)
        layers = store_int(config, "backbone_layers", minimum=0, maximum=MOST_LAYERS)
        backbone_dropout = check_number("backbone_dropout", config["backbone_dropout"], low=0, high=1, open_high=True)
        check_dropout_applies(backbone_dropout, layers)
        config["backbone_dropout"] = self.backbone_dropout = backbone_dropout

    def _build(self, initializer: Initializer) -> None:
        """Make the parameters; called inside :func:`seeded`."""
        config = self._config
        count = 2 if config["share_layers"] else self.num_layers
        self.layers = []
        if self.bidirectional:
            self.backward_layers: list[Cell] = []
        width, parameters = self.input_size, 0
        for _ in range(count):
            for layers in self._directions():
                layers.append(self._layer(width, initializer))
                parameters = self._check_size(parameters, layers[-1].parameters())
            width = self.layers[-1].output_size * len(self._directions())
        self.output_size: int = width if config["output_size"] is None else config["output_size"]
        if config["output_size"] is not None:
            self.readout = {
                "weight": initializer(mx.zeros((self.output_size, width))),
                "bias": mx.zeros((self.output_size,)),
            }
            self._check_size(parameters, self.readout)
        mx.eval(self.parameters())  # a thread cannot compute what another left uncomputed

    def _check_size(self, before: int, added: Any) -> int:
        """Refuse a model with too many parameters, before any is computed; returns how many there are so far."""
        arrays: Any = tree_flatten(added)
        count: int = before + sum(math.prod(array.shape) for _, array in arrays)
        if count > MOST_PARAMETERS:
            names = ("input_size", "hidden_size", "backbone_units", "num_layers", "output_size")
            sizes = ", ".join(f"{name}={self._config[name]}" for name in names)
            raise ValueError(
                f"hidden_size and the other sizes must make at most {MOST_PARAMETERS} parameters, got {count} or more "
                f"with {sizes}."
            )
        return count

    def _directions(self) -> list[list[Cell]]:
        return [self.layers, self.backward_layers] if self.bidirectional else [self.layers]

    def _layer(self, input_size: int, initializer: Initializer) -> Cell:
        cell = self._cell(input_size, initializer)
        if not self.mixed_memory:
            return cell
        named = self._config["initializer"]
        recurrent = get_initializer("orthogonal" if named is None else named)
        return MixedMemory(cell, input_size, initializer=initializer, recurrent_initializer=recurrent)

    def _cell(self, input_size: int, initializer: Initializer) -> Cell:
        raise NotImplementedError  # abstract: each model makes its own cell

    def _stack(self) -> list[tuple[Cell, ...]]:
        """Each layer's cells, forward and backward."""
        layers = list(zip(*self._directions(), strict=True))
        return layers + layers[-1:] * (self.num_layers - len(layers))

    @property
    def has_fused_kernel(self) -> bool:
        """Whether all layers run over time with a custom gradient."""
        return all(cell.has_fused_kernel for layers in self._directions() for cell in layers)

    @property
    def has_native_kernel(self) -> bool:
        """Whether all layers run in C where layers do."""
        return all(cell.has_native_kernel for layers in self._directions() for cell in layers)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, with defaults: ``type(model)(**model.config)`` makes an equal model."""
        return dict(self._config)

    @property
    def parameter_count(self) -> int:
        """How many numbers the model learns; weights of synapses that do not exist are not counted."""
        arrays: Any = tree_flatten(self.trainable_parameters())
        masked = sum(cell.masked_weight_count for layers in self._directions() for cell in layers)
        count: int = sum(array.size for _, array in arrays)
        return count - masked

    @property
    def dropout_layer_count(self) -> int:
        """The number of backbone layers, in each layer, that dropout acts on."""
        return self.layers[0].dropout_shape[0]

    @property
    def time_scaler(self) -> TimeScaler | None:
        """How the model reads time: the fitted scaler that it was trained with; ``None``: as it comes.

        :func:`~ncps_mlx.fit` sets it, :func:`~ncps_mlx.evaluate`, :func:`~ncps_mlx.predict` and a call apply it, and
        a saved model keeps it. So time goes in raw, in the unit of the training data. Set it, to a fitted scaler or to
        ``None``, only for a model that was trained by other means.

        Example:
            >>> from ncps_mlx import CfC, fit
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> model = CfC(1, 4, backbone_units=8, output_size=1, return_sequences=False, seed=0)
            >>> history = fit(model, task, steps=2, time_scaling="log", progress=False)
            >>> model.time_scaler == task.time_scaler("log")
            True
        """
        return self._time_scaler

    @time_scaler.setter
    def time_scaler(self, scaler: Any) -> None:
        if scaler is not None and (not isinstance(scaler, TimeScaler) or scaler.scale is None):
            raise ValueError(f"time_scaler must be a fitted TimeScaler or None, got {scaler!r:.80}.")
        self._time_scaler = copy.copy(scaler)  # its own: the caller may fit the other anew

    def _extra_repr(self) -> str:
        shown = self._config if self.time_scaler is None else {**self._config, "time_scaler": self.time_scaler}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())

    def __reduce__(self) -> tuple[Any, ...]:
        """For ``copy`` and ``pickle``: an equal model of its own, made from configuration and arrays."""
        return from_parts, copy_parts(self)

    def save(self, path: str | Path) -> None:
        """Write parameters and configuration into one safetensors file, for :func:`ncps_mlx.load`.

        The file appears complete or not at all: an error or a crash leaves the old one. Parameters keep their dtype,
        and the model its :attr:`time_scaler`. An ``initializer`` that is a callable is stored as ``None``: it has done
        its work, and storing it would need pickling. Not stored: training or evaluation mode, frozen parameters, the
        state of a stream.

        Args:
            path: The file's name, used as it is; ``.safetensors`` is the customary ending.

        Raises:
            ValueError: The parameters do not fit the configuration, for example while the model holds a population.
            OSError: The file cannot be written: no such folder, no permission, disk full.

        Example:
            >>> import tempfile
            >>> from ncps_mlx import CfC, load
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     CfC(3, 11, seed=0).save(f"{folder}/model.safetensors")
            ...     load(f"{folder}/model.safetensors").parameter_count
            7596
        """
        save(self, path)

    def export(
        self,
        path: str | Path,
        form: str = "mlxfn",
        step: bool = False,
        *,
        batch_size: int | Iterable[int] = 1,
        length: int | Iterable[int] | None = None,
    ) -> None:
        """Write the model's graph into one file, for programs without this library.

        ``"mlxfn"`` is MLX's own form, read by ``mx.import_function`` in Python, C++ and Swift; MLX calls it
        experimental, and later versions may refuse the file. ``"onnx"`` is read by onnxruntime and others, and needs
        the extra ``export`` to be written. Keep the model itself with :meth:`save`. The graph is that of evaluation,
        without dropout and without gradients, the model's :attr:`time_scaler` included, so that raw time goes in. Its
        shapes are fixed, its numbers float32 (mlxfn: those of the parameters). It takes no mask: readings that are
        missing are left out. The file is read again and compared with the model before it appears.

        Args:
            path: The file's name, used as it is.
            form: ``"mlxfn"`` (default) or ``"onnx"``.
            step: Whole sequences (default): from x (B, T, D) and time_delta (B, T) to y, as in a call. With ``True``
                one reading, for streams of any length: from x (B, D), time_delta (B,) and the state's arrays (B, H),
                in the order of the layers and zeros at first, to y (B, O) and the state after it. In ONNX these are
                ``x``, ``time_delta``, ``state_0``, ... and ``y``, ``next_state_0``, ...
            batch_size: B. In mlxfn it may be several, all in one file.
            length: T; not with ``step``. In mlxfn it may be several.

        Raises:
            ValueError: An argument is out of its range; the model is bidirectional and ``step`` is true; the parameters
                are not those of its configuration, or not float32 (ONNX).
            ImportError: The package onnx is missing.
            OSError: The file cannot be written.
            RuntimeError: What was written computes something else.

        Example:
            >>> import tempfile
            >>> import mlx.core as mx
            >>> from ncps_mlx import CfC
            >>> model = CfC(3, 11, output_size=2, seed=0)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     model.export(f"{folder}/step.mlxfn", step=True)
            ...     run = mx.import_function(f"{folder}/step.mlxfn")
            >>> y, state = run(mx.ones((1, 3)), mx.array([0.5]), mx.zeros((1, 11)))
            >>> mx.allclose(y, model(mx.ones((1, 1, 3)), time_delta=0.5)[0][:, 0], atol=1e-6).item()
            True
        """
        export(self, path, form=form, step=step, batch_size=batch_size, length=length)

    def __call__(
        self,
        x: mx.array,
        state: Sequence[State] | None = None,
        time_delta: mx.array | float | None = None,
        mask: mx.array | None = None,
    ) -> tuple[mx.array, list[State]]:
        """Run the model over sequences.

        Args:
            x: Inputs, (B, T, D), or (T, D) for one sequence.
            state: What an earlier call returned, to continue from there; ``None`` starts at zero. A bidirectional model
                takes none: it needs the whole sequence.
            time_delta: Time that passes before each reading since the one before: a number, (T,), or (B, T), in the
                unit of the training data, which :attr:`time_scaler` brings to the model's own scale. ``None`` means 1
                (a model with a scaler must be told). Time passes over holes too, as in a
                :class:`~ncps_mlx.Split`: that of masked steps between two readings is part of the later one's; the
                last reading of ``state`` counts as one. After the last reading no time passes: it is not in the state.
            mask: (B, T), or (T,) for one sequence: true where there is a reading. Elsewhere the state is held and its
                output repeated. ``None``: everywhere.

        Numbers are checked: a time step is finite and at least 0. The values of arrays are not looked at, so that
        calls can be compiled; a :class:`~ncps_mlx.Split` is checked by :func:`~ncps_mlx.predict`. A sequence without
        any reading keeps the state it began with.

        Returns:
            Outputs (B, T, O), or with ``return_sequences=False`` (B, O) of the last reading (in a bidirectional model,
            the last of each direction); and the state, one tuple per layer: (h,) of shape (B, H), or (h, c) with mixed
            memory; of both directions, one after the other. For one sequence, without B.

        Raises:
            ValueError: An array's shape or dtype does not fit, a number is negative or not finite, or a model with a
                scaler is given no time steps.

        Example:
            >>> import mlx.core as mx
            >>> from ncps_mlx import CfC
            >>> model = CfC(3, 11, output_size=2, seed=0)
            >>> x = mx.random.normal((5, 7, 3), key=mx.random.key(0))
            >>> y, state = model(x, time_delta=0.5)
            >>> y.shape, state[0][0].shape
            ((5, 7, 2), (5, 11))
            >>> begin, state = model(x[:, :4], time_delta=0.5)  # the same as a stream
            >>> end, _ = model(x[:, 4:], state, time_delta=0.5)
            >>> mx.allclose(mx.concatenate([begin, end], axis=1), y, atol=1e-5).item()
            True
        """
        x, dt, mask, state, single = self._check_call(x, time_delta, mask, state)
        y, last = self.forward(x, state, dt, mask, dropout_rate=self.backbone_dropout if self.training else 0.0)
        return (y[0], [tuple(a[0] for a in layer) for layer in last]) if single else (y, last)

    def _check_call(
        self,
        x: mx.array,
        time_delta: mx.array | float | None,
        mask: mx.array | None,
        state: Sequence[State] | None = None,
    ) -> tuple[mx.array, TimeSteps, mx.array | None, Sequence[State] | None, bool]:
        """Check a call's arguments and give them a batch axis; the last value is whether they had none."""
        if not isinstance(x, mx.array):
            raise ValueError(f"x must be an mx.array, got {type(x).__name__}; convert it with mx.array(x).")
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or 0 in x.shape:
            raise ValueError(
                f"x must have shape (B, T, {self.input_size}) or (T, {self.input_size}) with B and T at least 1, "
                f"got {x.shape}."
            )
        if not mx.issubdtype(x.dtype, mx.floating):
            raise ValueError(
                f"x must be of a floating dtype, got {x.dtype}; convert it with x.astype(mx.float32)."
            )
        single = x.ndim == 2
        batch, steps = (1, x.shape[0]) if single else x.shape[:2]
        shape = (steps,) if single else (batch, steps)
        if mask is not None:
            if not isinstance(mask, mx.array):
                raise ValueError(f"mask must be an mx.array, got {type(mask).__name__}.")
            if mask.shape != shape or mask.dtype != mx.bool_:
                raise ValueError(
                    f"mask must be bool of shape {shape}, got {mask.dtype} of shape {mask.shape}."
                )
        if state is not None:
            state = self._checked_state(state, () if single else (batch,))
        if single:
            x, mask = x[None], None if mask is None else mask[None]
        dt = as_time_steps(
            time_delta, batch, steps, x.dtype, mask=mask, continued=state is not None, scaler=self.time_scaler
        )
        if not single:
            return x, dt, mask, state, False
        return x, dt, mask, None if state is None else [tuple(a[None] for a in layer) for layer in state], True

    def forward(
        self,
        x: mx.array,
        state: Sequence[State] | None,
        time_delta: TimeSteps,
        mask: mx.array | None,
        *,
        dropout_rate: mx.array | float = 0.0,
        keys: mx.array | None = None,
    ) -> tuple[mx.array, list[State]]:
        """:meth:`__call__` without its checks, also for populations: every array may carry a leading axis N.

        Args:
            x: (..., B, T, D).
            state: One tuple per layer, or ``None``.
            time_delta: A number, or (..., B, T), scaled already, with the time over holes in the next reading's step.
            mask: (..., B, T), or ``None``.
            dropout_rate: A number, or (N,); 0 for evaluation.
            keys: Dropout keys, (2,) or (N, 2); ``None`` draws from MLX's global stream.

        Returns:
            As :meth:`__call__`, with the leading axis.

        Example:
            >>> import mlx.core as mx
            >>> from ncps_mlx import CfC
            >>> y, _ = CfC(3, 11, seed=0).forward(mx.zeros((5, 7, 3)), None, 1.0, None)
            >>> y.shape
            (5, 7, 11)
        """
        x, dt, mask = time_first(x, time_delta, mask)
        h, last = run_stack(
            self._stack(),
            x,
            self._zero_state(x) if state is None else state,
            dt,
            mask,
            residual=self.residual,
            sequences=self.return_sequences,
            dropout_rate=dropout_rate,
            keys=keys,
        )
        y = self._read(h)
        return (mx.swapaxes(y, -3, -2) if self.return_sequences else y), last

    def _zero_state(self, x: mx.array) -> list[State]:
        """The state before inputs (..., T, B, D)."""
        leading = self.layers[0].leading_axes or x.shape[:-3]
        # Made from the inputs, so that under a vmap it has their axis: MLX 0.32's addmm fails without.
        zero = mx.where(mx.array(False), mx.stop_gradient(x[..., 0, :, :1]), 0)
        zero = mx.broadcast_to(zero, (*leading, x.shape[-2], self.hidden_size))
        return [(zero,) * sum(cell.state_size for cell in cells) for cells in self._stack()]

    def _read(self, h: mx.array) -> mx.array:
        if "readout" not in self:
            return h
        weight, bias = transposed(self.readout["weight"]), self.readout["bias"][..., None, :]
        *leading, batch, features = h.shape
        if len(leading) < weight.ndim - 1:
            return h @ weight + bias
        flat = h.reshape(*leading[:-1], leading[-1] * batch, features)  # (..., T, B, H): all steps in one product
        return (flat @ weight + bias).reshape(*leading, batch, self.output_size)

    def _checked_state(self, state: Sequence[State], batch: tuple[int, ...]) -> Sequence[State]:
        if self.bidirectional:
            raise ValueError(
                "state must be None for a bidirectional model, which needs the whole sequence at once."
            )
        shape, arrays = (*batch, self.hidden_size), self.layers[0].state_size
        layers = list(state) if isinstance(state, list | tuple) else []
        if len(layers) != self.num_layers or not all(is_layer_state(layer, arrays, shape) for layer in layers):
            got = [describe_layer_state(layer) for layer in layers] if layers else type(state).__name__
            raise ValueError(
                f"state must be {self.num_layers} tuple(s), one per layer, of {arrays} floating array(s) of shape "
                f"{shape}, as a call returns it, got {got}."
            )
        return [tuple(layer) for layer in layers]


def time_first(
    x: mx.array, time_delta: TimeSteps, mask: mx.array | None
) -> tuple[mx.array, TimeSteps, mx.array | None]:
    """Bring inputs to (..., T, B, D), time steps and mask to (..., T, B, 1); masked inputs and time steps become 0."""
    if mask is not None:  # else infinities and NaN in masked places would reach the gradients, as 0 times themselves
        x = mx.where(mask[..., None], x, 0)
        time_delta = mx.where(mask, time_delta, 0) if isinstance(time_delta, mx.array) else time_delta
    dt = mx.swapaxes(time_delta, -1, -2)[..., None] if isinstance(time_delta, mx.array) else time_delta
    return mx.swapaxes(x, -3, -2), dt, None if mask is None else mx.swapaxes(mask, -1, -2)[..., None]

