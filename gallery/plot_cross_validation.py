# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Which folds, and which metric?
==============================

**Question.** Cross-validation estimates how good a model will be on the
future. Do shuffled folds of a series estimate it worse than blocked folds
with a gap? And do several metrics rank models alike?

**Short answer.** Shuffled folds flatter. They flatter a search for the
nearest window of the past by far, and a CfC less, though more the longer it
trains. Even so, their estimate for a CfC is about as far from the score
that comes as that of blocked folds, for one future differs from the next by
more. Two metrics rank models differently where they look at different parts
of the predictions. (*Use a cross-validation that suits the data*: refuted
in short trainings, refuted in long ones. *Watch several metrics*: refuted
in short trainings, refuted in long ones.)

**Cost.** Nine trainings of a CfC before each of ten solar cycles, and as
many searches for neighbours.
"""

# %%
# The task
# --------
# Monthly sunspot numbers since 1749: from 132 months predict the next 12.
# The future is a solar cycle, from minimum to minimum; all that came before
# is the past, of which folds are made. The figure shows the cycles since
# 1902 that are predicted, one after the other.

import numpy as np

from ncps_mlx import claims, plots
from ncps_mlx.data import sunspots

task = sunspots(months_per_step=12)
begins = {"train": 1760, "validation": 1930, "test": 1970}
year = np.concatenate(
    [
        first + np.arange(len(task.splits[name])) / 12
        for name, first in begins.items()
    ]
)
number = np.concatenate(
    [task.to_units(task.splits[name].y)[:, 0] for name in begins]
)
minima = [1902.0, 1913.5, 1923.6, 1933.7, 1944.1, 1954.3, 1964.8]
figure = plots.series(
    year[year > 1900],
    number[year > 1900],
    regions=[minima[i : i + 2] for i in (0, 2, 4)],
    region_name="every other cycle",
    x="year",
    y="sunspot number",
)

# %%
# What varies, and why this range
# -------------------------------
# How four folds of the past are cut: shuffled, or in blocks with a gap of a
# window between training and validation. Windows overlap, so that shuffled
# folds hold nearly the same months on both sides. Beside the CfC stands a
# control, the nearest neighbour: it repeats what followed the most similar
# window, so that shuffled folds must flatter it.
#
# The sweep
# ---------
# Folds and the whole past train again before each of the ten recorded
# cycles, on seeds that are not in the record, in the short budget. One
# cycle makes one pair, so five seeds would not do.

parts = [
    "error of the estimate",
    "what shuffled folds flatter",
    "the same of the nearest neighbour, which they must flatter",
]
checked = claims.check(
    "validate-cv", tasks=["sunspots"], parts=parts, seeds=range(200, 210)
)

# %%
# What happened
# -------------
# How far the folds' mean score is from the score that came. Each small mark
# is one cycle: short trainings of the record, short ones of this build, or
# long ones of the record. The two kinds of folds are alike.

# sphinx_gallery_thumbnail_number = 2
rows = checked.rows("sunspots")
figure = plots.sweep(rows, "level", hue="trials", split="")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between the two kinds of folds before
# one cycle. First: are blocked folds nearer to what came? Then: by how much
# do shuffled folds look better, for the CfC and for the nearest neighbour?
# Differences in the grey band hardly matter.

figure = checked.figure()
print(checked)

# %%
# Two more claims from the record alone, which took hundreds of trainings.
# The first compares how two metrics rank forty random configurations: a
# number is their rank correlation minus 1, so 0 where they rank alike. The
# second is what one gains who chooses by a metric of the domain.

metrics = claims.check("validate-metrics", seeds=None)
figure = metrics.figure()
print(metrics)
print(claims.check("validate-domain", seeds=None))

# %%
# What to do
# ----------
# * **Default**: blocked folds in the order of time, with a gap as long as a
#   window: :meth:`ncps_mlx.Task.fold`. They cost no more, and share no
#   month between training and validation.
# * **Safe range**: shuffled folds only where sequences share no readings.
# * **Symptom of folds that flatter**: a nearest neighbour is far better in
#   them than in blocked ones.
#
# The guide's page is :doc:`/guide/best-practices`.
#
# Of this in the record: :claim:`validate-cv`, :claim:`validate-metrics`,
# :claim:`validate-domain`.
#
# When this fails
# ---------------
# Ten cycles of one star, or ten weeks of one person, are few futures. A
# model that can learn windows by heart, trained for long, comes nearer to
# the nearest neighbour: the long record shows more flattery than the short
# one. Groups, such as patients, need folds by group.

plots.show()
