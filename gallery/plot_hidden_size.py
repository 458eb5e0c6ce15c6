"""
How wide should the state be?
=============================

**Question.** How many hidden units does a CfC need to forecast sunspots, and may the learning rate stay as it is when
the width changes?

**Short answer.** Wider is better up to at least 64 units here. Search the learning rate again when the width changes by
much: the rate that suits 4 units costs 64 units several points. Between nearby widths, or on a grid of rates that
stays below 0.02, the price can be too small to see.

**Cost.** Three widths, four learning rates and five seeds: sixty trainings in three populations.
"""

# %%
# The task
# --------
# Monthly sunspot numbers since 1749: from 132 months predict the next 12. A year of months is folded into each of 11
# steps. The years before 1930 train, those to 1969 choose, those from 1970 judge. The figure shows one window of the
# test split, at the beginning of a cycle, and the 12 months to be predicted.

import numpy as np

from ncps_mlx import Space, Study, evaluate, plots, stats
from ncps_mlx.data import sunspots
from ncps_mlx.records import refit, select, tuned

WINDOW = 330
task = sunspots(months_per_step=12)
known = task.to_units(task.test.x[WINDOW].reshape(-1))
ahead = task.to_units(task.test.y[WINDOW])
months = np.arange(-len(known), len(ahead))
figure = plots.series(
    months,
    np.concatenate([known, ahead]),
    forecasts={"persistence": np.where(months < 0, np.nan, known[-1])},
    regions=[(0, len(ahead) - 1)],
    region_name="to predict",
    x="month from now",
    y="sunspot number",
)

# %%
# What varies, and why this range
# -------------------------------
# Widths quadruple from 4, which is hardly enough to hold the phase of a cycle, to 64. The learning rates are half a
# decade apart and surround the default of 0.01, with one far above it, so that every width meets its limit. The
# backbone stays at 32 units, so the number of parameters grows in proportion to the width. A hidden size makes a new
# graph; all rates and seeds of one width are trained together in it.

space = Space(hidden_size=[4, 16, 64], learning_rate=[0.003, 0.01, 0.03, 0.1])
budget = {"backbone_units": 32, "batch_size": 16, "steps": 80, "evaluate_every": 20}

# %%
# The sweep
# ---------

study = Study(None, task, space, sampler="grid", seeds=range(5), fixed=budget)
study.run(progress=True)

# %%
# What happened
# -------------
# Every dot is one seed. Follow one colour to see what the learning rate does at that width, and compare where the
# colours have their lowest points.

# sphinx_gallery_thumbnail_number = 2
figure = plots.sweep(
    study.records, "learning_rate", hue="hidden_size", baselines=task.baselines("validation")
)

# %%
# The best rate of each width, in a table, each width against 16 units:

best = tuned(study.records, "hidden_size")
widths = stats.compare(best, "hidden_size", reference=16, show=["learning_rate"])
print(widths)

# %%
# How sure we are
# ---------------
# Each width at its own best rate against 16 units, paired by seed. The interval is Student's at 95 %; where it
# includes zero, five seeds do not tell the two apart.

figure = plots.differences(widths)

# %%
# The same for the price of not tuning: the widest state at the best rate of the narrowest.

narrow, wide = (widths[width].shown["learning_rate"] for width in (4, 64))
rates = stats.compare(select(study.records, hidden_size=64), "learning_rate", reference=wide)
print(f"64 units at {narrow} instead of {wide}: {rates[narrow].difference} {task.units} worse")

# %%
# The chosen width meets the test split once, beside the classical baselines.

models = refit(select(best, hidden_size=64), task)
print(f"CfC, 64 units: {stats.interval(evaluate(models, task))} {task.units}")
for name, score in task.baselines().items():
    print(f"{name}: {score:.1f}")

# %%
# What to do
# ----------
# * Start with 32 units; search 16 to 64 on a logarithmic scale, and always together with the learning rate.
# * Training and validation error both high: widen. Seeds scatter after widening: lower the learning rate first.
# * If the widest value tried is the best one, as may well be the case above, extend the range.
#
# When this fails
# ---------------
# With a budget of eighty steps, width buys speed of learning as much as capacity: trained for longer, narrow states
# come closer. Ridge regression on the same months needs no tuning and is hard to beat on this series.
# :doc:`/guide/hidden-size` tries the rules of thumb in circulation.
