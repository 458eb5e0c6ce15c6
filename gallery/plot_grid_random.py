# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Grid or random search?
======================

**Question.** With the same number of trials, which finds the better
configuration: a grid, or configurations drawn at random? And do cleverer
searches find better ones?

**Short answer.** In long trainings the choice makes no difference that
matters, with four hyperparameters and with six. A grid is not worse than
points spread evenly, and TPE and halving are no better than random search.
(*Random search is the more efficient one with many hyperparameters*:
differs by task in short trainings, refuted in long ones. *Search a grid: it
leaves nothing out*: supported in short trainings, supported in long ones.
*Let automated tools do the search*: refuted in short trainings, refuted in
long ones.)

**Cost.** Sixteen whole searches on one task, each of sixteen trials and
three trainings of what it has chosen: about ten seconds of one core. The
other tasks, and searches of more trials, are told from the record.
"""

# %%
# The task
# --------
# Monthly sunspot numbers since 1749, a year in each of 11 steps: predict
# the next 12 months. The figure shows the truth over the test years and the
# simplest forecast, twelve months ahead.

from ncps_mlx import claims, plots
from ncps_mlx.data import sunspots

task = sunspots(months_per_step=12)
truth = task.to_units(task.test.y)[:, -1]
figure = plots.series(
    [1970.9 + month / 12 for month in range(len(truth))],
    truth,
    forecasts={"persistence": task.to_units(task.test.x[:, -1, -1])},
    x="year",
    y="sunspot number",
)

# %%
# What varies, and why this range
# -------------------------------
# Who chooses sixteen configurations. Six hyperparameters may vary: the
# learning rate over two decades, hidden units from 8 to 32, backbone units
# from 16 to 64, dropout up to 0.4, the norm at which gradients are clipped,
# and the scale of initial parameters. **Random search** draws all six. A
# **grid** of sixteen has room for two values of four of them, laid at
# random, and leaves the other two at their defaults.
#
# The sweep
# ---------
# Whole searches are repeated, each with a training seed and draws of its
# own. What a search has chosen by validation is trained again with three
# new seeds, and tested. Here eight repeats of each search run in the short
# budget, on seeds that are not in the record. Ten repeats are recorded;
# five new ones would be too few beside them.

checked = claims.check(
    "random-efficient",
    parts=["six hyperparameters"],
    tasks=["sunspots"],
    seeds=range(200, 208),
)

# %%
# What happened
# -------------
# Test errors of what each search chose. Each small mark is one whole
# search: a short one of the record, a short one of this build, or a long
# one of the record. Searches of one kind scatter more than the two kinds
# differ.

# sphinx_gallery_thumbnail_number = 2
rows = checked.rows("sunspots")
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between the two searches of one repeat.
# Right of the grey band random search is better by more than what matters,
# left of it the grid.

figure = checked.figure()
print(checked)

# %%
# With two, four and six hyperparameters on all tasks, from the record
# alone:

record = claims.check(
    "random-efficient",
    seeds=None,
    parts=[
        "two hyperparameters",
        "four hyperparameters",
        "six hyperparameters",
    ],
)
figure = record.figure()
print(record)

# %%
# A grid against evenly spread points, TPE and halving against random
# search, and what more trials gain:

for name in ("grid-exhaustive", "help-automated", "resource-budget"):
    print(claims.check(name, seeds=None), end="\n\n")

# %%
# What to do
# ----------
# * **Default**: random search with the learning rate drawn log-uniformly.
#   It can be stopped and continued at any time; a grid cannot.
# * **Safe range**: 16 to 32 trials; for one hyperparameter, mostly the
#   learning rate, a geometric grid with a factor of 2 to 3 between values.
# * **Symptom of a grid too coarse**: its best value is the first or last of
#   its list. **Of too few trials**: the best of them still changes with
#   each new one.
#
# The guide's pages are :doc:`/guide/grid-search` and
# :doc:`/guide/random-search`.
#
# Of this in the record: :claim:`random-efficient`,
# :claim:`grid-exhaustive`, :claim:`help-automated`,
# :claim:`resource-budget`.
#
# When this fails
# ---------------
# In short trainings the choice of the search shows on some tasks. Where
# trials cost hours rather than seconds, a search that learns from earlier
# ones may pay although it did not here. The best of many validation scores
# is partly luck: train what was chosen again, with new seeds.

plots.show()
