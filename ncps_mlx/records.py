"""What a trial was: configuration, seed, data, versions, device, seconds, scores over time, failure.

A record is enough to train the same model again and arrive at the same number. Nothing here imports
MLX: records are read, compared and drawn on machines that train nothing.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps_mlx.files import write_whole
from ncps_mlx.values import plain

if TYPE_CHECKING:
    from ncps_mlx.base import RecurrentModel
    from ncps_mlx.task import Task

__all__ = ["Curves", "Record", "load", "save", "versions"]

NON_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@dataclass(frozen=True, kw_only=True)
class Curves:
    """How one training went.

    Attributes:
        step: Optimizer steps at which the model was evaluated.
        train_loss: Training loss there, in the unit of the standardised targets.
        validation_score: Validation score there, in the task's unit.
        best_step: The step whose parameters were kept.

    Example:
        >>> curves = Curves(step=(10, 20), train_loss=(1.0, 0.5), validation_score=(30.0, 25.0), best_step=20)
        >>> curves.train_loss[-1]
        0.5
    """

    step: tuple[int, ...]
    train_loss: tuple[float, ...]
    validation_score: tuple[float, ...]
    best_step: int

    def __post_init__(self) -> None:
        for name in ("train_loss", "validation_score"):  # one NaN object, so that equal curves compare equal
            values = tuple(math.nan if math.isnan(value) else float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial: one configuration trained with one seed. :class:`~ncps_mlx.Study` writes them.

    Attributes:
        trial: Place in the study's plan, from 0.
        model: ``"CfC"`` or ``"LTC"``.
        config: Every knob of model and training by name, defaults included; a wiring as its ``config``.
        sizes: What the task decided: ``input_size``, ``output_size``, ``return_sequences``.
        seed: Seed of the initial parameters, the data order and the dropout.
        task: Name of the task.
        data_hash: Hash of the task's arrays.
        metric: ``"rmse"``, ``"mae"`` or ``"accuracy"``.
        units: Unit of the score, ``""`` if it has none.
        higher_is_better: Direction of the score.
        score: Best validation score, in the task's unit: of a pruned trial, so far; infinite in the worse direction if
            it diverged.
        history: Losses and scores over the training.
        status: ``"finished"``, ``"stopped early"``, ``"diverged"`` or ``"pruned"``.
        reason: Why it diverged or was pruned; ``None`` otherwise.
        seconds: Wall time, a population's divided by its members.
        versions: Of Python, the packages and the BLAS; and as ``"tanh"`` how that was computed
            (:func:`ncps_mlx.squash.using`).
        device: Where it ran.

    Example:
        >>> record = Record(
        ...     trial=0, model="CfC", config={"hidden_size": 16, "learning_rate": 0.01}, seed=3,
        ...     task="sunspots", data_hash="9f86d081884c7d65", metric="rmse", score=23.1)
        >>> print(record)
        trial 0: CfC on sunspots, seed 3: rmse 23.1 (finished)
        >>> Record.from_json(record.to_json()) == record
        True
    """

    trial: int
    model: str
    config: Mapping[str, Any]
    sizes: Mapping[str, Any] = field(default_factory=dict)
    seed: int
    task: str
    data_hash: str
    metric: str
    units: str = ""
    higher_is_better: bool = False
    score: float
    history: Curves | None = None
    status: str = "finished"
    reason: str | None = None
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""

    def __post_init__(self) -> None:
        for name in ("config", "sizes"):
            values = {key: plain(key, value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, values)
        object.__setattr__(self, "versions", dict(self.versions))

    def __str__(self) -> str:
        """Say in one line what was trained and how it ended."""
        unit = f" {self.units}" if self.units else ""
        end = self.status if self.reason is None else f"{self.status}: {self.reason}"
        head = f"trial {self.trial}: {self.model} on {self.task}, seed {self.seed}"
        return f"{head}: {self.metric} {self.score:.4g}{unit} ({end})"

    @property
    def diverged(self) -> bool:
        """Whether the training failed; its score is then infinite in the worse direction."""
        return self.status == "diverged"

    def to_json(self) -> str:
        """Write the record as one line of standard JSON, every float to its last bit.

        Infinities and NaN, which JSON lacks, become ``"Infinity"``, ``"-Infinity"`` and ``"NaN"``.

        Example:
            >>> record = Record(
            ...     trial=0, model="CfC", config={}, seed=0, task="sunspots", data_hash="9f86d081884c7d65",
            ...     metric="rmse", score=math.inf, status="diverged", reason="the loss became nan at step 3")
            >>> '"score": "Infinity"' in record.to_json()
            True
        """
        return json.dumps(_encode(asdict(self)), allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: The text is no JSON, or its fields are not those of a record.

        Example:
            >>> Record.from_json("{}")
            Traceback (most recent call last):
            ...
            ValueError: text must be the JSON of a Record, got no 'trial', 'model', 'config', 'seed', ...
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"text must be the JSON of a Record, got {text[:40]!r}: {error}.") from error
        if not isinstance(values, dict):
            raise ValueError(f"text must be the JSON of a Record, got {text[:40]!r}.")
        known = {item.name for item in fields(cls)}
        needed = ("trial", "model", "config", "seed", "task", "data_hash", "metric", "score")
        if missing := [name for name in needed if name not in values]:
            raise ValueError(f"text must be the JSON of a Record, got no {', '.join(map(repr, missing))}.")
        if unknown := sorted(set(values) - known):
            raise ValueError(
                f"text must be the JSON of a Record, got the unknown {', '.join(map(repr, unknown))}. "
                "A newer ncps_mlx may have written it."
            )
        values["score"] = _decode(values["score"])
        if (history := values.get("history")) is not None:
            values["history"] = Curves(
                step=tuple(history["step"]),
                train_loss=tuple(map(_decode, history["train_loss"])),
                validation_score=tuple(map(_decode, history["validation_score"])),
                best_step=history["best_step"],
            )
        return cls(**values)

    def build(self) -> RecurrentModel:
        """Build the untrained model with the record's seed: what the trial began with.

        Raises:
            ValueError: The record lacks the sizes that the task decided.

        Example:
            >>> record = Record(
            ...     trial=0, model="CfC", config={"hidden_size": 16}, seed=3, task="sunspots", metric="rmse",
            ...     sizes={"input_size": 3, "output_size": 4}, data_hash="9f86d081884c7d65", score=23.1)
            >>> record.build().parameter_count
            10884
        """
        from ncps_mlx.trials import begun  # trials import MLX, and records are read without it

        return begun(self)

    def rerun(self, task: Task) -> Record:
        """Train again from the record alone. On the same machine and versions the CPU gives the same bits.

        Tanh is computed as the record says, whatever is chosen now (:func:`ncps_mlx.squash.using`).

        Args:
            task: The task of the record, with the same data.

        Returns:
            Record: a new one, with the time, versions and device of this run.

        Raises:
            ValueError: The task holds other data, or scores by another metric.

        Example:
            >>> from ncps_mlx import Space, Study
            >>> from ncps_mlx.data import irregular_sines
            >>> task = irregular_sines(n_train=64, n_validation=16, n_test=16, readings=8)
            >>> study = Study(None, task, Space(learning_rate=[1e-2]), sampler="grid",
            ...               fixed={"hidden_size": 4, "backbone_units": 8, "steps": 5}).run(progress=False)
            >>> study.best.rerun(task).score == study.best.score
            True
        """
        if task.data_hash != self.data_hash:
            raise ValueError(
                f"task must hold the data of the record, {self.task!r} with hash {self.data_hash}, "
                f"got {task.name!r} with hash {task.data_hash}."
            )
        if task.metric != self.metric:
            raise ValueError(f"task must be scored by {self.metric!r} as in the record, got {task.metric!r}.")
        from ncps_mlx.trials import rerun

        return rerun(self, task)


def versions() -> dict[str, str]:
    """Versions of Python and the packages that decide a score, and the BLAS behind MLX's products.

    Example:
        >>> sorted(versions())
        ['blas', 'mlx', 'ncps_mlx', 'numpy', 'python']
    """
    import ncps_mlx
    from ncps_mlx._blas import blas_name

    return {
        "ncps_mlx": ncps_mlx.__version__,
        "mlx": metadata.version("mlx"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "blas": blas_name(),
    }


def save(records: Iterable[Record], path: str | Path) -> None:
    """Write records to a file, one line of JSON each: all of them, or none and the file is as it was.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> record = Record(trial=0, model="CfC", config={}, seed=0, task="sunspots",
        ...                 data_hash="9f86d081884c7d65", metric="rmse", score=23.1)
        >>> path = Path(tempfile.mkdtemp()) / "trials.jsonl"
        >>> save([record], path)
        >>> load(path) == [record]
        True
    """
    lines = "".join(record.to_json() + "\n" for record in records)
    write_whole(Path(path).resolve(), lines.encode(), "The records")


def load(path: str | Path) -> list[Record]:
    """Read the records of a file that :func:`save` wrote.

    Raises:
        ValueError: A line is not a record; the message names it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "none.jsonl"
        ...     save([], path)
        ...     load(path)
        []
    """
    found = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(Record.from_json(line))
        except ValueError as error:
            raise ValueError(f"path must hold records, got line {number} of {path}: {error}") from error
    return found


def _encode(value: Any) -> Any:
    """Replace the floats that JSON lacks by their names."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> float:
    """Undo :func:`_encode` for one number."""
    return NON_FINITE[value] if isinstance(value, str) else float(value)
