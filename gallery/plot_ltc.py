# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
How should an LTC be set up?
============================

**Question.** Which activation suits an LTC, and does it read the time
between readings at all?

**Short answer.** After a long training ``tanh``, the default, is not worse
than the best other activation; in short ones it depends on the task. A
plain LTC may read no time: give it the gap as an input, or a mixed memory.
Time constants a tenth as long cost, ten times as long do no harm. (*Use
tanh in an LTC*: differs by task in short trainings, supported in long ones.
*Choose the initial time constants with care*: differs by task in short
trainings, refuted in long ones.)

**Cost.** Two activations on one task, five seeds each; an LTC solves its
equation at each step, so this takes longer than a CfC.
"""

# %%
# The task
# --------
# A sum of three sines, read at random gaps: from the readings so far
# predict the next, given its gap. What happens between two readings depends
# on nothing but the time. The figure shows one sequence of the test split.

import numpy as np

from ncps_mlx import claims, plots
from ncps_mlx.data import irregular_sines

sines = irregular_sines(1000, 500, 1000, readings=9)
seconds = np.concatenate([[0.0], np.cumsum(sines.test.time_delta[0])])
values = np.concatenate([sines.test.x[0, :, 0], sines.test.y[0]])
figure = plots.series(
    seconds,
    sines.to_units(values),
    regions=[(seconds[-2], seconds[-1])],
    region_name="to predict",
    x="seconds since the first reading",
    y="sum of sines",
)

# %%
# What varies, and why this range
# -------------------------------
# The activation: ``tanh`` against the best of ``sigmoid``, ``silu`` and
# ``relu``, which three tuning seeds have chosen. So that the time constants
# have time to act, every reading is followed by a step of silence that
# lasts until the next (silent gaps). Each activation has the learning rate
# that suits it, up to 0.3: an LTC needs a larger one than a CfC.
#
# The sweep
# ---------
# They train again here, in the short budget, on five seeds that are not in
# the record.

checked = claims.check("ltc-tanh", tasks=["sines"])

# %%
# What happened
# -------------
# Test errors on sines. Each small mark is one training: a short one of the
# record, a short one of this build, or a long one of the record. ``silent``
# is ``tanh`` with silent gaps; the other activation has them, too. Compare
# how far the two lie apart in short trainings and in long ones.

# sphinx_gallery_thumbnail_number = 2
rows = checked.rows("sines")
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between two trainings with the same
# seed. Right of the grey band ``tanh`` is better by more than what matters,
# left of it worse.

figure = checked.figure()
print(checked)

# %%
# Does it read time? Each form against the same one that is told no time,
# from the record alone. Look for marks near 0: such an LTC has not used the
# gaps.

forms = claims.check(
    "ltc-tanh",
    seeds=None,
    tasks=["glucose", "sines"],
    parts=[
        "as it is, against no time",
        "the gap as an input against no time",
        "silent gaps against no time",
        "mixed memory against the same without time",
    ],
)
figure = forms.figure()
print(forms)

# %%
# Initial time constants, from the record alone:

print(claims.check("ltc-init", seeds=None))

# %%
# What to do
# ----------
# * **Default**: ``mixed_memory=True`` where gaps differ, or the gap as one
#   more input (``task.with_gap_as_input()``); activation and stability as
#   they are by default.
# * **Safe range**: learning rates from 1e-2 to 0.3, time constants not
#   below a tenth of a typical gap.
# * **Symptom of time unread**: ``task.without_time()`` does as well.
#
# The guide's page is :doc:`/guide/ltc`.
#
# Of this in the record: :claim:`ltc-tanh`, :claim:`ltc-init`.
#
# When this fails
# ---------------
# A CfC of as many parameters trains faster, and is the first thing to
# compare with (:doc:`plot_opponents`). Negative time steps, which z-scored
# gaps contain, can make the solver divide by 0, and the training is lost.

plots.show()
