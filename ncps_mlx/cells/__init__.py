"""Cells: the parameters and one step of each kind of layer, and the loop that runs them over time."""

from ncps_mlx.cells._base import Cell
from ncps_mlx.cells._cfc import CfCCell
from ncps_mlx.cells._ltc import LTCCell, slowest_time_constant
from ncps_mlx.cells._mixed_memory import MixedMemory
from ncps_mlx.cells._wired_cfc import WiredCfCCell
from ncps_mlx.cells._wired_ltc import INITIAL_RANGES, WiredLTCCell

__all__ = [
    "Cell",
    "CfCCell",
    "INITIAL_RANGES",
    "LTCCell",
    "MixedMemory",
    "WiredCfCCell",
    "WiredLTCCell",
    "slowest_time_constant",
]
