"""
Which mode of the CfC?
======================

**Question.** Do the modes ``default``, ``no_gate`` and ``pure`` differ, once each has the learning rate that suits it?

**Short answer.** ``default`` and ``no_gate`` are hard to tell apart. ``pure`` stays behind on glucose, but by far less
at its own learning rate than at one that all modes share; the paired intervals below say by how much.

**Cost.** Three modes, three learning rates and eight seeds: 72 trainings in three populations.
"""

# %%
# The task
# --------
# Blood glucose of one person, read 5 minutes to 4 hours apart: from 16 readings predict the next, given its gap. The
# gaps are log-scaled with statistics of the training days. The figure shows one sequence of the test days, its
# target last.

import numpy as np

from ncps_mlx import Space, Study, evaluate, plots, stats
from ncps_mlx.data import glucose
from ncps_mlx.records import refit, select, tuned

raw = glucose(n_train=1500, n_validation=300, n_test=500)
task = raw.scaled_time("log")
hours = np.concatenate([[0.0], np.cumsum(raw.test.time_delta[0])]) / 60
readings = np.concatenate([raw.to_units(raw.test.x[0, :, 0]), raw.to_units(raw.test.y[0])])
figure = plots.series(
    hours,
    readings,
    regions=[(hours[-2], hours[-1])],
    region_name="to predict",
    x="hours since the first reading",
    y="glucose (mg/dl)",
)

# %%
# What varies, and why this range
# -------------------------------
# The modes differ in how the heads on the backbone become the next state: with a gate between two candidates
# (``default``), with their sum (``no_gate``), or by the closed form itself with a single head (``pure``). A mode may
# well need another learning rate than its neighbour, so each is tried at three, half a decade apart. Width, backbone
# and budget stay fixed.

modes = ["default", "no_gate", "pure"]
space = Space(mode=modes, learning_rate=[0.005, 0.015, 0.05])
budget = {"hidden_size": 16, "backbone_units": 32, "steps": 72, "evaluate_every": 18}

# %%
# The sweep
# ---------

study = Study(None, task, space, sampler="grid", seeds=range(8), fixed=budget)
study.run(progress=True)

# %%
# What happened
# -------------
# Every dot is one seed. Look for the learning rate at which each colour is lowest: it need not be the same.

# sphinx_gallery_thumbnail_number = 2
figure = plots.sweep(study.records, "learning_rate", hue="mode", baselines=task.baselines("validation"))

# %%
# How sure we are
# ---------------
# Each mode at its own best rate, minus ``default`` at its own, paired by seed, with Student's interval at 95 %.

best = tuned(study.records, "mode")
fair = stats.compare(best, "mode", reference="default", show=["learning_rate"])
figure = plots.differences(fair)

# %%
# The same in numbers, and below it the unfair comparison: all modes at the smallest rate.

print(fair)
print(stats.compare(select(study.records, learning_rate=0.005), "mode", reference="default"))

# %%
# The test days see each mode once, beside the classical baselines.

for mode in modes:
    winners = select(best, mode=mode)
    models = refit(winners, task)
    rate = winners[0].config["learning_rate"]
    print(f"{mode} at {rate}: {stats.interval(evaluate(models, task))} {task.units}")
for name, score in task.baselines().items():
    print(f"{name}: {score:.1f}")

# %%
# What to do
# ----------
# * Start with ``default``.
# * Compare modes only with the learning rate searched again for each, and with at least eight seeds.
# * ``pure`` has a quarter of the heads: try it where parameters are dear, at a larger learning rate.
#
# When this fails
# ---------------
# Seventy steps are few: a mode that learns slowly is behind here and may not be after a thousand. And the order is
# that of one task. On validation days the score is another than on test days, for the baselines too: compare within
# a split. A mode whose best rate is the smallest or the largest tried may do better beyond: extend the range before
# you conclude. :doc:`/guide/cfc` explains the modes and compares activations.
