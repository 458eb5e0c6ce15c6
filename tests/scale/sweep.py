"""Put a study into a storage, train nothing: python sweep.py STORAGE."""

import sys

from ncps_mlx import LogUniform, Space, Study
from ncps_mlx.data import irregular_sines

study = Study(
    sys.argv[1],
    irregular_sines(n_train=480, n_validation=160, n_test=160, readings=16),
    Space(hidden_size=[6, 8, 12], learning_rate=LogUniform(1e-3, 1e-1)),
    name="rates",
    trials=48,
    draws_per_shape=4,
    population_size=4,
    fixed={"backbone_units": 16, "batch_size": 16, "steps": 1200},
)
print(study)
