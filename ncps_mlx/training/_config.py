"""The settings of one training, checked: what all members of a population share, and what each has of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import mlx.nn as nn
import numpy as np
import numpy.typing as npt

from ncps_mlx._time_scaler import KINDS
from ncps_mlx._utils.validation import LARGEST, MOST, check_choice, check_int, check_number
from ncps_mlx.losses import as_loss
from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._validation import check_dropout_applies
from ncps_mlx.training._optimizers import OPTIMIZERS, SCHEDULES, schedule_factors
from ncps_mlx.training._validation import check_scale_applies

__all__ = [
    "BATCH_SIZE",
    "Check",
    "FitConfig",
    "MemberConfig",
    "at_least",
    "default_batch_size",
    "dropout_rate",
    "one_of",
    "positive",
    "setting",
]

BATCH_SIZE = 32
"""Sequences per gradient, where there are as many."""

MOST_DRAWN = 2**28
"""Sequences that one training draws, whose order is drawn when it begins: 1 GiB."""

Check = Callable[[str, Any], Any]
"""Takes a setting's name and value, and returns the value or raises a ValueError that names the setting."""


def at_least(minimum: int) -> Check:
    """An integer of at least this, and of what memory holds."""
    return lambda name, value: check_int(name, value, minimum=minimum, maximum=MOST)


def natural(name: str, value: Any) -> int:
    """An integer of at least 0."""
    return check_int(name, value, minimum=0)


def one_of(choices: Collection[str]) -> Check:
    """One of these names."""
    return lambda name, value: check_choice(name, value, choices)


def optional(check: Check) -> Check:
    """``None``, or what another check allows."""
    return lambda name, value: None if value is None else check(name, value)


def positive(name: str, value: Any) -> float:
    """A number above 0."""
    return check_number(name, check_number(name, value, low=0, open_low=True), high=LARGEST)


def non_negative(name: str, value: Any) -> float:
    """A number of at least 0."""
    return check_number(name, check_number(name, value, low=0), high=LARGEST)


def dropout_rate(name: str, value: Any) -> float:
    """A number of at least 0 and below 1."""
    return check_number(name, value, low=0, high=1, open_high=True)


def default_batch_size(sequences: int) -> int:
    """The sequences per gradient where no number is given: 32, or all if they are fewer."""
    return min(BATCH_SIZE, sequences)


def setting(default: Any, check: Check) -> Any:
    """A dataclass field with its default and its check."""
    return field(default=default, metadata={"check": check})


def check_fields(config: Any) -> None:
    """Check each field of a frozen dataclass, and keep what its check returns."""
    for item in fields(config):
        value = item.metadata["check"](item.name, getattr(config, item.name))
        object.__setattr__(config, item.name, value)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """What all members of a population share in training; :func:`~ncps_mlx.fit` describes each setting."""

    steps: int = setting(500, at_least(1))
    batch_size: int | None = setting(None, optional(at_least(1)))
    grad_accumulation_steps: int = setting(1, at_least(1))
    optimizer: str = setting("adam", one_of(OPTIMIZERS))
    loss: Any = setting(None, optional(lambda name, value: as_loss(value, name)))  # noqa: RUF009  # a field, as above
    patience: int | None = setting(None, optional(at_least(1)))
    evaluate_every: int | None = setting(None, optional(at_least(1)))
    memory_mb: float | None = setting(None, optional(positive))

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], memory_mb: float | None = None) -> Self:
        """Take the shared settings out of a complete configuration, which says nothing about memory."""
        names = [item.name for item in fields(cls) if item.name != "memory_mb"]
        return cls(**{name: config[name] for name in names}, memory_mb=memory_mb)

    def for_task(self, sequences: int) -> Self:
        """The same with a batch of the default size, for so many training sequences, if none is given."""
        batch_size = default_batch_size(sequences) if self.batch_size is None else self.batch_size
        drawn = self.steps * self.grad_accumulation_steps * batch_size
        if drawn > MOST_DRAWN:
            raise ValueError(
                f"steps times grad_accumulation_steps times batch_size must be at most {MOST_DRAWN}, got {self.steps} "
                f"times {self.grad_accumulation_steps} times {batch_size}. Train in several calls."
            )
        return replace(self, batch_size=batch_size)

    @property
    def evaluation_interval(self) -> int:
        """Steps between evaluations: a tenth of all unless given."""
        return max(1, self.steps // 10) if self.evaluate_every is None else self.evaluate_every


@dataclass(frozen=True, kw_only=True)
class MemberConfig:
    """What each member of a population has of its own; :func:`~ncps_mlx.fit` describes each setting."""

    learning_rate: float = setting(1e-2, positive)
    weight_decay: float = setting(0.0, non_negative)
    clip_norm: float | None = setting(1.0, optional(positive))
    schedule: str = setting("cosine", one_of(SCHEDULES))
    warmup_steps: int = setting(0, at_least(0))
    backbone_dropout: float | None = setting(None, optional(dropout_rate))
    time_scaling: str | None = setting(None, optional(one_of(KINDS)))
    initial_scale: float = setting(1.0, positive)
    seed: int = setting(0, natural)

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], seed: int) -> Self:
        """Take a member's settings out of a complete configuration, which has no seed."""
        names = [item.name for item in fields(cls) if item.name != "seed"]
        return cls(**{name: config[name] for name in names if name in config}, seed=seed)  # not all have a backbone

    @classmethod
    def for_each(cls, count: int, settings: Mapping[str, Any]) -> list[Self]:
        """One for each of ``count`` models; each setting is one value for all, or a sequence of one for each."""
        columns = {name: one_for_each(name, value, count) for name, value in settings.items()}
        return [cls(**{name: values[i] for name, values in columns.items()}) for i in range(count)]

    def for_model(self, model: nn.Module, shared: FitConfig) -> Self:
        """The same with the model's own dropout rate if none is given; refuses what cannot go together."""
        if self.weight_decay > 0 and shared.optimizer != "adamw":
            raise ValueError(
                f"weight_decay must be 0 with optimizer={shared.optimizer!r}, got {self.weight_decay}; choose "
                "optimizer='adamw'."
            )
        rate = self.backbone_dropout
        if isinstance(model, RecurrentModel) and "backbone_dropout" in model.config:
            rate = model.backbone_dropout if rate is None else rate
            check_dropout_applies(rate, model.dropout_layer_count)
        elif rate:
            raise ValueError(
                f"backbone_dropout must be left out for a {type(model).__name__}, which has no backbone, got {rate}."
            )
        check_scale_applies(self.initial_scale, model)
        self.learning_rate_schedule(shared.steps)  # refuses a warm-up as long as the training
        return replace(self, backbone_dropout=rate)

    def learning_rate_schedule(self, steps: int) -> npt.NDArray[np.float64]:
        """The learning rate at each step (steps,)."""
        return self.learning_rate * schedule_factors(self.schedule, steps, self.warmup_steps)

    def batch_rows(self, sequences: int, count: int, batch_size: int) -> npt.NDArray[np.int32]:
        """The sequences in each batch (count, B): one shuffled pass over the data after another."""
        rng = np.random.default_rng([self.seed, 0])
        passes = -(-count * batch_size // sequences)
        order = np.concatenate([rng.permutation(sequences) for _ in range(passes)])
        return order[: count * batch_size].reshape(count, batch_size).astype(np.int32)

    def dropout_keys(self, count: int) -> npt.NDArray[np.uint32]:
        """A random key for the dropout of each batch (count, 2)."""
        rng = np.random.default_rng([self.seed, 1])
        return rng.integers(0, 2**32, size=(count, 2), dtype=np.uint32)


def one_for_each(name: str, value: Any, count: int) -> list[Any]:
    """One value for each member."""
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        if len(value) != count:
            rule = "one value for one model" if count == 1 else f"one value or {count}, one for each model"
            raise ValueError(f"{name} must be {rule}, got {len(value)} values.")
        return list(value)
    return [value] * count
