"""Losses: what training makes small. By name, as an object, or your own.

:func:`~ncps_mlx.fit` takes ``loss="mae"``, ``Huber(0.3)``, ``"my_module:my_loss"`` or a function. A loss gives
a value for every target, never their mean: the library leaves out padding and what was not observed, applies the
weights of a :class:`~ncps_mlx.Split`, and divides by their sum. So every loss, your own too, works with all of them.

============================ =========================== ==============================================
Name                         Object                      Use
============================ =========================== ==============================================
``"mse"``                                                the mean; the default of regression
``"mae"``                                                the median; outliers count little
``"huber"``                  :class:`Huber`              between the two
``"quantile"``               :class:`Quantile`           several quantiles at once: a range
``"cross entropy"``          :class:`CrossEntropy`       the default of classes; class weights, focal
============================ =========================== ==============================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import pairwise
from typing import Any, ClassVar

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._utils.arrays import flat_numbers
from ncps_mlx._utils.by_name import import_by_name, name_of
from ncps_mlx._utils.json_values import CONSTRUCTORS, as_config, to_json_value
from ncps_mlx._utils.validation import check_number, did_you_mean

__all__ = ["CrossEntropy", "Huber", "Loss", "Quantile"]


class Loss:
    """The base of losses, for your own: what training makes small, a value for every target, never their mean.

    A plain function ``loss(outputs, targets)`` will do for most. Make a subclass, best a frozen dataclass, where a loss
    has settings, or more outputs than targets. It is given the arrays of one model:

    - ``targets``: (B, O), (B, T, O) with a target at every step, or integers (B,) or (B, T) for classes. Where a
      target was not observed it is 0 here, and what the loss gives there does not count.
    - ``outputs``: the same with ``outputs(O)`` numbers along the last axis; for classes one more axis, of logits.

    It returns values of the shape of ``targets``, or, for regression, without their last axis; then a row counts only
    if all its targets were observed.

    Example:
        >>> from dataclasses import dataclass
        >>> import mlx.core as mx
        >>> from ncps_mlx import CfC, evaluate, fit
        >>> from ncps_mlx.data import irregular_sines
        >>> from ncps_mlx.losses import Loss
        >>> @dataclass(frozen=True)
        ... class Gaussian(Loss):  # the model puts out a mean and the logarithm of a deviation
        ...     floor: float = 0.01
        ...     def outputs(self, n_targets):
        ...         return 2 * n_targets
        ...     def point(self, outputs):
        ...         return outputs[..., : outputs.shape[-1] // 2]
        ...     def __call__(self, outputs, targets):
        ...         mean, log_deviation = mx.split(outputs, 2, axis=-1)
        ...         deviation = mx.exp(log_deviation) + self.floor
        ...         return mx.square((targets - mean) / deviation) / 2 + mx.log(deviation)
        >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
        >>> sizes = task.sizes | {"output_size": Gaussian().outputs(task.output_size)}
        >>> model = CfC(**sizes, hidden_size=8, backbone_units=8, seed=0)
        >>> fit(model, task, steps=5, loss=Gaussian(), progress=False).status
        'finished'
        >>> evaluate(model, task) > 0  # of the mean: the model knows its loss
        True
    """

    kind: ClassVar[str | None] = None
    """``"regression"`` or ``"classification"`` if it suits that alone."""

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        """Return the value of each target."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, outputs, targets).")

    def outputs(self, n_targets: int) -> int:
        """How many numbers a model puts out for so many targets (or classes)."""
        return n_targets

    def point(self, outputs: Any) -> Any:
        """What is scored of a model's outputs (..., outputs): one number for each target (..., n_targets)."""
        return outputs

    def spec(self) -> Any:
        """The loss as JSON holds it: its name alone if all settings have their defaults, else a mapping.

        Raises:
            ValueError: No other process could find the loss by a name.
        """
        path = BUILT_IN_NAMES.get(type(self)) or name_of(type(self))
        if path is None:
            raise ValueError(_nameless(self))
        own: Any = self
        values = {item.name: getattr(own, item.name) for item in fields(own)} if is_dataclass(own) else {}
        changed = {name: value for name, value in values.items() if value != _default(self, name)}
        if not changed:
            return path
        return {"name": type(self).__name__ if type(self) in BUILT_IN_NAMES else path} | to_json_value("loss", values)


@dataclass(frozen=True)
class SquaredError(Loss):
    """``"mse"``: the squared error."""

    kind: ClassVar[str] = "regression"

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        """Return (outputs - targets)²."""
        return mx.square(outputs - targets)


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """``"mae"``: the absolute error."""

    kind: ClassVar[str] = "regression"

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        """Return |outputs - targets|."""
        return mx.abs(outputs - targets)


@dataclass(frozen=True)
class Huber(Loss):
    """Squared for small errors, absolute for large ones, so that outliers count less: ``e²/2``, or ``δ·(|e| - δ/2)``.

    Args:
        delta: δ, where the one becomes the other, on the scale of ``y`` (deviations, where that is standardised).

    Raises:
        ValueError: ``delta`` is not above 0.

    Source: Huber (1964), Robust estimation of a location parameter, Annals of Mathematical Statistics 35(1).

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.losses import Huber
        >>> Huber(delta=1.0)(mx.array([[0.5], [3.0]]), mx.zeros((2, 1))).tolist()
        [[0.125], [2.5]]
    """

    delta: float = 1.0
    kind: ClassVar[str] = "regression"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", check_number("delta", self.delta, low=0, open_low=True))

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        """Return the value of each target."""
        error = mx.abs(outputs - targets)
        small = mx.minimum(error, self.delta)
        return small * (error - 0.5 * small)


@dataclass(frozen=True)
class Quantile(Loss):
    """Quantiles instead of the mean: the pinball loss, averaged over the levels.

    A model has an output for each target and level, those of a target next to each other: with levels (0.1, 0.5, 0.9)
    three for each target. What is scored is the level nearest to 0.5, or, by ``metric="pinball"``, all of them.

    Args:
        levels: Rising, between 0 and 1: the share of targets that should lie below each output.

    Raises:
        ValueError: The levels do not rise, or one is not between 0 and 1.

    Source: Koenker and Bassett (1978), Regression quantiles, Econometrica 46(1).

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.losses import Quantile
        >>> loss = Quantile(levels=(0.1, 0.5, 0.9))
        >>> loss.outputs(2)  # of a model with two targets
        6
        >>> [[round(value, 3) for value in row] for row in loss(mx.zeros((1, 6)), mx.array([[1.0, -1.0]])).tolist()]
        [[0.5, 0.5]]
    """

    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    kind: ClassVar[str] = "regression"

    def __post_init__(self) -> None:
        levels = tuple(flat_numbers("levels", self.levels).tolist())
        for level in levels:
            check_number("levels", level, low=0, high=1, open_low=True, open_high=True)
        if not levels or any(a >= b for a, b in pairwise(levels)):
            raise ValueError(f"levels must be at least 1 number, and rise, got {levels}.")
        object.__setattr__(self, "levels", levels)

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        """Return the value of each target."""
        levels = mx.array(self.levels)
        error = targets[..., None] - self.by_level(outputs)
        return mx.maximum(levels * error, (levels - 1) * error).mean(axis=-1)

    def outputs(self, n_targets: int) -> int:
        """How many numbers a model puts out for so many targets."""
        return n_targets * len(self.levels)

    def by_level(self, outputs: Any) -> Any:
        """Outputs (..., outputs) with an axis for the levels: (..., n_targets, levels)."""
        return outputs.reshape(*outputs.shape[:-1], -1, len(self.levels))

    def point(self, outputs: Any) -> Any:
        """The level nearest to 0.5 of a model's outputs (..., outputs): (..., n_targets)."""
        nearest = min(range(len(self.levels)), key=lambda i: abs(self.levels[i] - 0.5))
        return self.by_level(outputs)[..., nearest]


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross entropy of classes, in nats, with class weights, smoothed labels, or focused on what is still wrong.

    Args:
        class_weight: ``None``; one number for each class, in the order of ``task.classes``, as if each of its targets
            were there so many times; or ``"balanced"``: all classes weigh the same in training.
        label_smoothing: Share of each target that is spread over all classes, from 0 to below 1.
        gamma: Above 0 (to 100) the focal loss: what the model gives the probability p weighs (1 - p)^γ; 2 is customary.

    Raises:
        ValueError: A weight is negative or not finite, or a number is out of its range.

    Sources: Szegedy et al. (2016), Rethinking the Inception architecture, CVPR (smoothing); Lin et al. (2017), Focal
    loss for dense object detection, ICCV.

    Example:
        >>> import mlx.core as mx
        >>> from ncps_mlx.losses import CrossEntropy
        >>> logits, targets = mx.array([[0.0, 0.0], [0.0, 4.0]]), mx.array([0, 1])
        >>> [round(value, 4) for value in CrossEntropy()(logits, targets).tolist()]
        [0.6931, 0.0181]
        >>> [round(value, 4) for value in CrossEntropy(gamma=2)(logits, targets).tolist()]
        [0.1733, 0.0]
    """

    class_weight: str | tuple[float, ...] | None = None
    label_smoothing: float = 0.0
    gamma: float = 0.0
    kind: ClassVar[str] = "classification"

    def __post_init__(self) -> None:
        weight = self.class_weight
        if isinstance(weight, str) and weight != "balanced":
            raise ValueError(f"class_weight must be None, 'balanced' or a number for each class, got {weight!r}.")
        if weight is not None and not isinstance(weight, str):
            weight = tuple(flat_numbers("class_weight", weight).tolist())
            for number in weight:
                check_number("class_weight", number, low=0)
            if not any(weight):
                raise ValueError(f"class_weight must hold a number above 0, got {weight}.")
        object.__setattr__(self, "class_weight", weight)
        smoothing = check_number("label_smoothing", self.label_smoothing, low=0, high=1, open_high=True)
        object.__setattr__(self, "label_smoothing", smoothing)
        object.__setattr__(self, "gamma", check_number("gamma", self.gamma, low=0, high=100))

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        """Return the value of each target, without class weights: the library applies them as it does all weights."""
        values = nn.losses.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)
        if self.gamma == 0:
            return values
        plain = nn.losses.cross_entropy(outputs, targets) if self.label_smoothing else values
        wrong = mx.maximum(1 - mx.exp(-plain), 1e-6)  # at 0 the power has no gradient
        return mx.power(wrong, self.gamma) * values

    def weights(self, targets: npt.NDArray[Any], weight: npt.NDArray[Any], n_classes: int) -> npt.NDArray[Any]:
        """Return the weight of each target, given all of training's with what each weighs without classes."""
        if self.class_weight is None:
            return weight
        if isinstance(self.class_weight, str):
            totals = np.bincount(targets.ravel(), weight.ravel(), minlength=n_classes)
            of_class = totals.sum() / n_classes / np.maximum(totals, np.finfo(np.float32).tiny)
        else:
            of_class = np.array(self.class_weight)
            if len(of_class) != n_classes:
                raise ValueError(
                    f"class_weight must be one number for each of {n_classes} classes, got {len(of_class)}."
                )
        return np.asarray(weight * of_class[targets], dtype=np.float32)


@dataclass(frozen=True)
class FunctionLoss(Loss):
    """A plain function of outputs and targets."""

    function: Callable[[mx.array, mx.array], mx.array]
    path: str | None = None  # as it was named

    def __call__(self, outputs: mx.array, targets: mx.array) -> mx.array:
        """Return what the function gives."""
        return self.function(outputs, targets)

    def spec(self) -> str:
        """The function's path."""
        path = self.path or name_of(self.function)
        if path is None:
            raise ValueError(_nameless(self.function))
        return path


BUILT_IN: dict[str, type[Loss]] = {
    "mse": SquaredError,
    "mae": AbsoluteError,
    "huber": Huber,
    "quantile": Quantile,
    "cross entropy": CrossEntropy,
}
BUILT_IN_NAMES = {kind: name for name, kind in BUILT_IN.items()}
WITH_SETTINGS = {kind.__name__: kind for kind in (Huber, Quantile, CrossEntropy)}
CONSTRUCTORS.update(WITH_SETTINGS)
DEFAULTS = {"regression": BUILT_IN["mse"](), "classification": BUILT_IN["cross entropy"]()}
"""The loss of each kind of task that is given none."""


@as_config.register
def _(loss: Loss) -> Any:
    return loss.spec()


def as_loss(value: Any, name: str = "loss") -> Loss:
    """Return a loss by its name, its specification, its path or itself; refuse what is none."""
    if isinstance(value, Loss):
        return value
    if isinstance(value, str) and value in BUILT_IN:
        return BUILT_IN[value]()
    if isinstance(value, str) and ":" in value:
        found = import_by_name(name, value)
        return as_loss(found) if isinstance(found, Loss | type) else FunctionLoss(found, value)
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return _from_spec(name, value)
    if isinstance(value, type) and issubclass(value, Loss):
        return value()
    if callable(value) and not isinstance(value, type):
        return FunctionLoss(value)
    hint = did_you_mean(value, BUILT_IN) if isinstance(value, str) else ""
    raise ValueError(
        f"{name} must be one of {', '.join(map(repr, BUILT_IN))}, 'module:function', a Loss or a function, "
        f"got {value!r:.80}.{hint}"
    )


def _from_spec(name: str, spec: Mapping[str, Any]) -> Loss:
    """Make the loss of a mapping with its name and settings."""
    kind = WITH_SETTINGS.get(spec["name"]) or (import_by_name(name, spec["name"]) if ":" in spec["name"] else None)
    if not (isinstance(kind, type) and issubclass(kind, Loss) and is_dataclass(kind)):
        raise ValueError(f"{name} must name a loss with settings, got {spec['name']!r}.")
    settings = {key: value for key, value in spec.items() if key != "name"}
    known = [item.name for item in fields(kind)]
    if unknown := sorted(settings.keys() - set(known)):
        raise ValueError(f"{name} must have the settings {', '.join(known)}, got {', '.join(unknown)}.")
    made: Any = kind(**settings)
    return made if isinstance(made, Loss) else FunctionLoss(made)


def loss_of(value: Any, kind: str) -> Loss:
    """Return the loss of a kind of task (``None``: its default); refuse one of the other kind."""
    loss = DEFAULTS[kind] if value is None else as_loss(value)
    if loss.kind not in (None, kind):
        fitting = ", ".join(repr(name) for name, each in BUILT_IN.items() if each.kind == kind)
        raise ValueError(f"loss must suit {kind}, as {fitting} do, got {BUILT_IN_NAMES.get(type(loss), loss)!r}.")
    return loss


def _default(loss: Any, name: str) -> Any:
    item = type(loss).__dataclass_fields__[name]
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _nameless(what: Any) -> str:
    return (
        f"loss must be found by other processes to be kept in a record, got {what!r:.80}. Put it into a module of its "
        "own, and import it from there or name it 'module:function'."
    )
