"""A pool of a few seconds, with claims, in a folder as docs/ is."""

from __future__ import annotations

from pathlib import Path

from ncps_mlx._evidence.pool import TunedPool, read_tasks, read_tuned_pool

TASKS = """
[sines]
factory = "ncps_mlx.data:irregular_sines"
arguments = { n_train = 40, n_validation = 13, n_test = 17, readings = 7 }
draw = "seed"
metric = "rmse"
metrics = ["mae"]
steps = { short = 6, long = 12 }

[vowels]
factory = "ncps_mlx.data:japanese_vowels"
metric = "accuracy"
steps = { short = 4, long = 8 }
"""

POOL = """
purpose = "A pool of a few seconds."
model = "CfC"
tasks = ["sines"]
rates = [0.003, 0.01]

[fixed]
backbone_units = 5
batch_size = 16

[report_seeds]
short = 3
long = 2

[levels]
narrow = { hidden_size = 4 }
wide = { hidden_size = 7 }
few = { hidden_size = 4, forms = [["take", 20, "draw"]] }
as_wide = { mode = "pure", parameters_of = "wide" }
warm = { hidden_size = 4, learning_rate = 0.02, warmup_share = 0.5 }
"""

CLAIMS = """
[deltas]
sines = 0.02

[wider]
section = "hidden-size"
statement = "Wider is better."
kind = "measured"
pool = "tiny"
tasks = ["sines"]

[[wider.parts]]
name = "test"
statistic = "test"
direction = "more"
first = "wide"
second = "narrow"

[[wider.parts]]
name = "few"
statistic = "test"
direction = "more"
first = { minus = ["wide", "narrow"] }
second = { minus = ["few", "narrow"] }

[[wider.parts]]
name = "best"
statistic = "test"
direction = "not-worse"
reported = true
first = { best = ["wide", "narrow"] }
second = "warm"

[shown]
section = "getting-help"
statement = "Look."
kind = "shown"
"""


def write_docs(folder: Path) -> Path:
    """Write the tasks, the pool ``tiny`` and its claims."""
    (folder / "evidence" / "pools").mkdir(parents=True)
    (folder / "evidence" / "tasks.toml").write_text(TASKS)
    (folder / "evidence" / "pools" / "tiny.toml").write_text(POOL)
    (folder / "claims.toml").write_text(CLAIMS)
    return folder


def tiny_pool(folder: Path) -> TunedPool:
    """Read the pool ``tiny``."""
    return read_tuned_pool(folder / "evidence" / "pools" / "tiny.toml", read_tasks(folder / "evidence" / "tasks.toml"))
