# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
On which scale should time arrive?
==================================

**Question.** A CfC is told how much time passes at each step. Does it
matter that it is told, in which unit, and whether as a logarithm?

**Short answer.** It matters that it is told, and as much that a typical gap
is near 1: gaps a hundred times as large are as bad as none, or worse.
Logarithms are no better than dividing by the mean. (*The right scale of
time is crucial on irregular data*: supported in short trainings, differs by
task in long ones. *Take the logarithm of gaps that vary widely*: refuted in
short trainings, refuted in long ones.)

**Cost.** Five forms of two tasks, five seeds each, and two of them again:
seconds.
"""

# %%
# The tasks
# ---------
# The first is real: one person's blood glucose, eight readings 5 to 240
# minutes apart, predict the next (mg/dl). The second is synthetic: a sum of
# three sines, read at random gaps, where what happens between two readings
# depends on nothing but the time. The figure shows the glucose at the end
# of the first test sequences, and the simplest forecast.

from ncps_mlx import TimeScaler, claims, plots
from ncps_mlx.data import glucose

sugar = glucose(2000, 500, 1000, readings=8)
shown = sugar.test[:60]
figure = plots.series(
    range(len(shown)),
    sugar.to_units(shown.y)[:, 0],
    forecasts={"last value": sugar.to_units(shown.x)[:, -1, 0]},
    x="test sequence",
    y="next glucose (mg/dl)",
)

# %%
# What varies, and why this range
# -------------------------------
# The form in which gaps arrive: as their logarithm, divided by their mean
# (``normalized``), the latter in units 10 and 100 times too small, or not
# at all. The scales learn from the training split alone; this is where they
# put the median gap:

gaps = sugar.train.time_delta
for kind in ("raw", "normalized", "log"):
    scaler = TimeScaler(kind).fit(gaps)
    middle = float(sorted(scaler.transform(gaps).ravel())[gaps.size // 2])
    print(f"{scaler}: median {middle:.2f}")

# %%
# The sweep
# ---------
# Each form has the learning rate that suits it, and each seed draws its own
# data. Five seeds that are not in the record train in the short budget, to
# be compared with it.

checked = claims.check("time-scale-crucial", tasks=["glucose", "sines"])
logarithm = claims.check(
    "time-log", tasks=["glucose", "sines"], parts=["log against normalized"]
)

# %%
# What happened
# -------------
# Test errors on glucose. Each small mark is one training: a short one of
# the record, a short one of this build, or a long one of the record.
# Compare ``no_time`` and ``unit100`` with the two forms whose typical gap
# is near 1.

# sphinx_gallery_thumbnail_number = 2
rows = checked.rows("glucose")
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between two trainings with the same
# seed. Right of the grey band the first form is better by more than what
# matters.

figure = checked.figure()
print(checked)

# %%
# Logarithms against dividing by the mean. Where logarithms are better,
# marks lie right of the grey band.

figure = logarithm.figure()
print(logarithm)

# %%
# What to do
# ----------
# * **Default**: call ``fit(..., time_scaling="normalized")`` or ``"log"``;
#   the model keeps the scale.
# * **Safe range**: any unit in which a typical gap is near 1.
# * **Symptom of a wrong unit**: a model that is trained with
#   ``task.without_time()`` does as well.
#
# The guide's page is :doc:`/guide/time-scale`.
#
# Of this in the record: :claim:`time-scale-crucial`, :claim:`time-log`.
#
# When this fails
# ---------------
# *Time tells nothing*: then no scale can help, and a wrong unit still
# hurts; HDL is recorded as such a task. *Gaps at test time far beyond those
# of training*: ``normalized`` passes them on in full, ``bounded`` cuts them
# off. *All gaps equal*: leave time out. *An LTC* is stricter about long
# steps: :doc:`/guide/ltc`.

plots.show()
