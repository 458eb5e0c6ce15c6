"""Real and synthetic tasks, offline: every loader returns a :class:`Task` with its baselines.

The real sets ship inside packages of the extra ``guide``; nothing is downloaded and nothing is kept on disk.

.. list-table::
   :header-rows: 1

   * - Loader
     - What is learned
     - Gaps
     - Split by
     - Baselines
   * - :func:`~ncps_mlx.data.glucose`
     - one person's blood glucose: 16 readings, the next
     - 5 min to 4 h
     - day
     - train mean, last value, exponential decay, ridge
   * - :func:`~ncps_mlx.data.co2`
     - carbon dioxide in the air: 8 readings, the change to the next
     - 7 to 365 days
     - year
     - train mean, last value, ridge, boosted trees
   * - :func:`~ncps_mlx.data.remifentanil`
     - a drug in the blood of 65 patients: 5 readings, the next
     - 0.4 to 31 min
     - patient
     - train mean, last value, ridge, boosted trees
   * - :func:`~ncps_mlx.data.hdl`
     - cholesterol of thousands of patients: 8 readings, the next. Time tells next to nothing here
     - 1 day to 22 years
     - patient
     - train mean, last value, ridge, boosted trees
   * - :func:`~ncps_mlx.data.sunspots`
     - monthly numbers: 132 months, the next 12
     - none
     - year
     - persistence, seasonal naive, ridge
   * - :func:`~ncps_mlx.data.japanese_vowels`
     - nine speakers: 7 to 29 steps of 12 channels, who speaks
     - none
     - utterance, as published
     - majority, nearest neighbour by time warping, logistic regression
   * - :func:`~ncps_mlx.data.injected_anomalies`
     - a pulse of blood pressure: 192 points, the 16th next; anomalies are injected
     - none
     - time
     - persistence, ridge; detectors: :func:`~ncps_mlx.data.detection_baselines`
   * - :func:`~ncps_mlx.data.irregular_sines`
     - three sines with random phases: 31 readings, the value at the next
     - 0.02 to 4 s, or others
     - drawn anew
     - zero, last value, ridge, boosted trees, known frequencies
   * - :func:`~ncps_mlx.data.bitstream_xor`
     - bits, as events or one by one: their parity
     - runs of equal bits
     - stream
     - majority, nearest neighbour, boosted trees
"""

from ncps_mlx._time_scaler import TimeScaler
from ncps_mlx.data import baselines
from ncps_mlx.data._anomalies import detection_baselines, detection_scores, injected_anomalies
from ncps_mlx.data._bitstream_xor import bitstream_xor
from ncps_mlx.data._co2 import co2
from ncps_mlx.data._glucose import glucose
from ncps_mlx.data._hdl import hdl
from ncps_mlx.data._irregular_sines import irregular_sines
from ncps_mlx.data._japanese_vowels import japanese_vowels
from ncps_mlx.data._loading import load_task
from ncps_mlx.data._remifentanil import remifentanil
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
    "co2",
    "detection_baselines",
    "detection_scores",
    "glucose",
    "hdl",
    "injected_anomalies",
    "irregular_sines",
    "japanese_vowels",
    "load_task",
    "remifentanil",
    "sunspots",
    "from_file",
]
