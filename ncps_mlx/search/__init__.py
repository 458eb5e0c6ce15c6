"""Studies: configurations drawn, trained as populations, written down, resumed.

Optuna samples and stores; what is trained together, and that nothing is lost, is decided here.
"""

from ncps_mlx.search._analysis import Edge
from ncps_mlx.search._distributions import Integer, LogUniform, Uniform, When
from ncps_mlx.search._halving import Halving, Hyperband
from ncps_mlx.search._objective import objective
from ncps_mlx.search._optuna_sampler import suggest
from ncps_mlx.search._record import Record
from ncps_mlx.search._space import Space
from ncps_mlx.search._study import Study

__all__ = [
    "Edge",
    "Halving",
    "Hyperband",
    "Integer",
    "LogUniform",
    "Record",
    "Space",
    "Study",
    "Uniform",
    "When",
    "objective",
    "suggest",
]
