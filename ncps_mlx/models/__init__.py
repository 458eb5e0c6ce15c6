"""Models: ``CfC``, ``LTC``, ``GRU`` and ``LSTM``, to be built, saved, and converted from ncps."""

from ncps_mlx.models._base import RecurrentModel
from ncps_mlx.models._cfc import CfC
from ncps_mlx.models._from_ncps import from_torch
from ncps_mlx.models._gated import GRU, LSTM
from ncps_mlx.models._ltc import LTC
from ncps_mlx.models._serialization import save

__all__ = ["CfC", "GRU", "LSTM", "LTC", "RecurrentModel", "from_torch", "save"]
