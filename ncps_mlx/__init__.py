"""Liquid neural networks (CfC and LTC) on MLX, and the means to tune them: tasks, populations, studies, statistics."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ncps_mlx import _blas as _blas  # first: MLX binds to the BLAS it finds when it is imported
from ncps_mlx import _memory as _memory
from ncps_mlx.models import LTC, CfC
from ncps_mlx.wirings import NCP, AutoNCP, FullyConnected, Random

if TYPE_CHECKING:
    from ncps_mlx.convert import from_torch
    from ncps_mlx.data import Split, Task
    from ncps_mlx.halving import Halving, Hyperband
    from ncps_mlx.knobs import Integer, LogUniform, Uniform, When
    from ncps_mlx.records import Record
    from ncps_mlx.search import Study
    from ncps_mlx.space import Space
    from ncps_mlx.storage import load
    from ncps_mlx.timescale import TimeScaler
    from ncps_mlx.train import History, evaluate, fit, predict

__version__ = "0.1.0"

_LAZY = {
    "Halving": "halving",
    "History": "train",
    "Hyperband": "halving",
    "Integer": "knobs",
    "LogUniform": "knobs",
    "Record": "records",
    "Space": "space",
    "Split": "data",
    "Study": "search",
    "Task": "data",
    "TimeScaler": "timescale",
    "Uniform": "knobs",
    "When": "knobs",
    "evaluate": "train",
    "fit": "train",
    "from_torch": "convert",
    "load": "storage",
    "predict": "train",
}

__all__ = [
    "AutoNCP",
    "CfC",
    "FullyConnected",
    "Halving",
    "History",
    "Hyperband",
    "Integer",
    "LTC",
    "LogUniform",
    "NCP",
    "Random",
    "Record",
    "Space",
    "Split",
    "Study",
    "Task",
    "TimeScaler",
    "Uniform",
    "When",
    "evaluate",
    "fit",
    "from_torch",
    "load",
    "predict",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
