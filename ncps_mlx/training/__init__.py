"""Training and evaluation: N configurations of one shape in one graph, one model being a population of one."""

from ncps_mlx._trials import History
from ncps_mlx.training._convolution import Conv1d
from ncps_mlx.training._evaluation import Evaluation
from ncps_mlx.training._finders import BatchSize, RateRange, find_batch_size, find_learning_rate
from ncps_mlx.training._fit import evaluate, fit, predict

__all__ = [
    "BatchSize",
    "Conv1d",
    "Evaluation",
    "History",
    "RateRange",
    "evaluate",
    "find_batch_size",
    "find_learning_rate",
    "fit",
    "predict",
]
