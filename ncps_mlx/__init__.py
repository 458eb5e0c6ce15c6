"""Liquid neural networks (CfC and LTC) on MLX, and the means to tune them: tasks, populations, studies, statistics."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ncps_mlx._runtime import blas as _blas  # noqa: F401  # it acts when it is imported
from ncps_mlx._runtime import malloc as _malloc  # noqa: F401  # it acts when it is imported
from ncps_mlx._runtime.version import __version__ as __version__
from ncps_mlx.models import GRU, LSTM, LTC, CfC
from ncps_mlx.wirings import NCP, AutoNCP, FullyConnected, Random

if TYPE_CHECKING:
    from ncps_mlx._kernels.tanh import tanh_implementation
    from ncps_mlx._predictor import Predictor, Stream, load
    from ncps_mlx.data import Split, Task, TimeScaler
    from ncps_mlx.models import from_torch, save
    from ncps_mlx.search import (
        Halving,
        Hyperband,
        Integer,
        LogUniform,
        Record,
        Space,
        Study,
        Uniform,
        When,
    )
    from ncps_mlx.training import History, evaluate, fit, predict

_LAZY = {
    "models": ("from_torch", "save"),
    "_predictor": ("Predictor", "Stream", "load"),
    "data": ("Split", "Task", "TimeScaler", "baselines"),
    "training": ("History", "evaluate", "fit", "predict"),
    "search": (
        "Halving",
        "Hyperband",
        "Integer",
        "LogUniform",
        "Record",
        "Space",
        "Study",
        "Uniform",
        "When",
    ),
    "_kernels.tanh": ("tanh_implementation",),
}  # where a name is found when it is first asked for: `import ncps_mlx` is quick

__all__ = [
    "AutoNCP",
    "CfC",
    "FullyConnected",
    "GRU",
    "Halving",
    "History",
    "Hyperband",
    "Integer",
    "LSTM",
    "LTC",
    "LogUniform",
    "NCP",
    "Predictor",
    "Random",
    "Record",
    "Space",
    "Split",
    "Stream",
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
    "save",
    "tanh_implementation",
]


def __getattr__(name: str) -> Any:
    for module, names in _LAZY.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
