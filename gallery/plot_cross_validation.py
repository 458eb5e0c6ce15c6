# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Which folds, and which metric?
==============================

**Question.** Before the future comes: do shuffled folds of a series say worse how good a model will be than blocked
ones with a gap? And do several metrics rank models alike?

**Short answer.** Shuffled folds flatter: a method that looks for the nearest window of the past by far, a CfC less,
and more the longer it trains. Even so, what they say of a CfC is about as far from what comes as what blocked folds
say, for one future differs from the next by more. Another metric ranks models otherwise where it looks at another
part of the predictions. (*Use a cross-validation that suits the data*: refuted in short trainings, refuted in long
ones. *Watch several metrics*: refuted in short trainings, refuted in long ones.)

**Cost.** Before each of ten solar cycles nine trainings of a CfC, and as many searches for neighbours.
"""

# %%
# The task
# --------
# Monthly sunspot numbers since 1749: from 132 months predict the next 12. The future is a solar cycle, from minimum
# to minimum; all that came before is the past, of which folds are made. The figure shows the cycles since 1902 that
# are predicted, one after the other.

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
# How four folds of the past are cut: shuffled, or in blocks with a gap of a window between training and validation.
# Windows overlap, so that shuffled folds hold nearly the same months on both sides. Beside the CfC goes a control:
# the nearest neighbour, which repeats what followed the most similar window, and which shuffled folds must flatter.
#
# The sweep
# ---------
# Folds and the whole past train again before each of the ten recorded cycles, on seeds that are not in the record, in
# the short budget. One cycle makes one pair, so five seeds would not do.

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
# How far the folds' mean score is from the score that came, every cycle a mark: recorded in the short budget, this
# build's among them, and recorded in the long one. Look how alike the two kinds of folds are.

# sphinx_gallery_thumbnail_number = 2
rows = checked.rows("sunspots")
figure = plots.sweep(rows, "level", hue="trials", split="")

# %%
# How sure we are
# ---------------
# Paired by cycle. First, whether blocked folds are nearer to what came; then by how much shuffled ones look better,
# for the CfC and for the nearest neighbour. In the band are differences that hardly matter.

figure = checked.figure()
print(checked)

# %%
# Several metrics over forty random configurations, and choosing by a metric of the domain, from the record alone;
# these are hundreds of trainings. The first is how far ranks disagree, below 0 where they do.

metrics = claims.check("validate-metrics", seeds=None)
figure = metrics.figure()
print(metrics)
print(claims.check("validate-domain", seeds=None))

# %%
# What to do
# ----------
# * **Default**: blocked folds in the order of time, with a gap as long as a window: :meth:`ncps_mlx.Task.fold`. They
#   cost no more, and share no month between training and validation.
# * **Safe range**: shuffled folds only where sequences share no readings.
# * **Symptom of folds that flatter**: a nearest neighbour is far better in them than in blocked ones.
#
# The guide's page is :doc:`/guide/best-practices`.
#
# Of this in the record: :claim:`validate-cv`, :claim:`validate-metrics`, :claim:`validate-domain`.
#
# When this fails
# ---------------
# Ten cycles of one star, or ten weeks of one person, are few futures. A model that can learn windows by heart,
# trained for long, comes nearer to the nearest neighbour: the long record shows more flattery than the short one.
# Groups, such as patients, need folds by group.

plots.show()
