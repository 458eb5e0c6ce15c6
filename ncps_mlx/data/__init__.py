"""Real and synthetic tasks, offline: every loader returns a :class:`Task` with its baselines.

The real sets ship inside packages of the extra ``guide``; nothing is downloaded and nothing is kept on disk.
"""

from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx.data import baselines
from ncps_mlx.data._anomalies import detection_baselines, detection_scores, injected_anomalies
from ncps_mlx.data._bitstream_xor import bitstream_xor
from ncps_mlx.data._glucose import glucose
from ncps_mlx.data._irregular_sines import irregular_sines
from ncps_mlx.data._japanese_vowels import japanese_vowels
from ncps_mlx.data._loading import load_task
from ncps_mlx.data._split import Split
from ncps_mlx.data._standardizer import Standardizer
from ncps_mlx.data._sunspots import sunspots
from ncps_mlx.data._table import FittedTable, Table
from ncps_mlx.data._table_file import from_file
from ncps_mlx.data._task import Task

__all__ = [
    "FittedTable",
    "Split",
    "Standardizer",
    "Table",
    "Task",
    "TimeScaler",
    "baselines",
    "bitstream_xor",
    "detection_baselines",
    "detection_scores",
    "glucose",
    "injected_anomalies",
    "irregular_sines",
    "japanese_vowels",
    "load_task",
    "sunspots",
    "from_file",
]
