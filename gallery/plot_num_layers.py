# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
One layer or several?
=====================

**Question.** Does a second layer help a CfC, and do residual connections
save a deep one?

**Short answer.** Start with one: with as many parameters it is not worse
than two. Four layers are harder to train: in short trainings they lose
much, and residual connections win most of it back; in long trainings it
depends on the task. (*Start with one or two layers*: supported in short
trainings, supported in long ones. *Use residual connections in deep
networks*: supported in short trainings, differs by task in long ones.
*Share parameters where you can*: open in short trainings, supported in long
ones.)

**Cost.** Four networks on two tasks, five seeds each; those of four layers
cost most.
"""

# %%
# The task
# --------
# Monthly sunspot numbers since 1749, a year in each of 11 steps: predict
# the next 12 months. The figure shows the truth over the test years and the
# simplest forecast, twelve months ahead. The second task is glucose at
# irregular times.

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
# The number of layers: two of 16 units against one that is so much wider
# that it has as many parameters; and four of 16 units, with residual
# connections and without. Each network has the learning rate that suits it,
# for a deep one needs a smaller one.
#
# The sweep
# ---------
# They train again here, in the short budget, on five seeds that are not in
# the record.

tasks = ["sunspots", "glucose"]
start = claims.check("depth-start", tasks=tasks)
residual = claims.check("depth-residual", tasks=tasks)

# %%
# What happened
# -------------
# Test errors on sunspots. Each small mark is one training: a short one of
# the record, a short one of this build, or a long one of the record.
# ``l1_as_l2`` is the wide single layer, ``l2`` and ``l4`` are the deep
# ones. In short trainings four plain layers lie far above the others;
# compare how much of that a long training leaves.

# sphinx_gallery_thumbnail_number = 2
rows = start.rows("sunspots") + residual.rows("sunspots")
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between two trainings with the same
# seed. Right of the grey band the first network is better by more than what
# matters. One layer against two:

figure = start.figure()
print(start)

# %%
# Four layers, with residual connections against without:

figure = residual.figure()
print(residual)

# %%
# Four layers that share their parameters, from the record alone:

print(claims.check("resource-share", seeds=None))

# %%
# What to do
# ----------
# * **Default**: one layer; give it the parameters that you would give a
#   second one.
# * **Safe range**: one or two. From three on ``residual=True``, and a
#   learning rate searched again, downwards.
# * **Symptom of too deep**: a slow start, and a training error above that
#   of one layer.
#
# The guide's page is :doc:`/guide/num-layers`.
#
# Of this in the record: :claim:`depth-start`, :claim:`depth-residual`,
# :claim:`resource-share`.
#
# When this fails
# ---------------
# Sequences here are short, 8 to 11 steps, and smooth. On text or speech,
# where features build on features, depth may pay: compare at equal
# parameters, with the learning rate searched for each depth. A short
# training flatters shallow networks.

plots.show()
