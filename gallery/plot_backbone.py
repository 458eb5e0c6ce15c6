# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Does a CfC need its backbone?
=============================

**Question.** A CfC's candidates for the next state come from a small
network, its backbone. Is a CfC better with one than without, and how wide
should it be?

**Short answer.** In short trainings it depends on the task, and on sunspots
a backbone costs; in long ones the difference is negligible. The usual ratio
of backbone units to hidden units loses nothing that matters against the
best other ratio. (*The backbone extracts features, and so it helps*:
differs by task in short trainings, refuted in long ones. *Take one and a
half to two times as many backbone units as hidden units*: supported in
short trainings, supported in long ones.)

**Cost.** Up to four networks on two tasks, five seeds each: seconds.
"""

# %%
# The task
# --------
# Blood glucose of one person, read at irregular times 5 to 240 minutes
# apart: from eight readings predict the next, given its gap. Training,
# validation and test lie in different weeks. The figure shows the truth of
# the first test sequences beside the simplest forecast, that the last
# reading stays. The second task is the monthly sunspot number.

from ncps_mlx import claims, plots
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
# One backbone layer of 32 units with 16 hidden ones, against no backbone
# and so many more hidden units that both have as many parameters. And the
# width of the backbone with 16 hidden units: 28 units, which is 1.75 times
# as many, against the best of 4, 8, 16 and 64, which three tuning seeds
# have chosen. Each network has the learning rate that suits it.
#
# The sweep
# ---------
# They train again here, in the short budget, on five seeds that are not in
# the record.

tasks = ["glucose", "sunspots"]
helps = claims.check("backbone-helps", tasks=tasks)
ratio = claims.check("backbone-ratio", tasks=tasks)

# %%
# What happened
# -------------
# Test errors on glucose. Each small mark is one training: a short one of
# the record, a short one of this build, or a long one of the record.
# ``one`` has a backbone, ``none_as_one`` none and as many parameters;
# ``u28`` has 28 backbone units. The levels differ by little beside the
# spread from seed to seed.

# sphinx_gallery_thumbnail_number = 2
rows = helps.rows("glucose") + ratio.rows("glucose")
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between two trainings with the same
# seed. Right of the grey band the first network is better by more than what
# matters. A backbone against none:

figure = helps.figure()
print(helps)

# %%
# 1.75 backbone units for each hidden one, against the best other ratio:

figure = ratio.figure()
print(ratio)

# %%
# Does a larger backbone help a small model that underfits? This is told
# from the record alone; the claim is about the training score first of all.

larger = claims.check("backbone-underfit", seeds=None)
print(larger)

# %%
# What to do
# ----------
# * **Default**: one layer, with one to two units for each hidden one.
# * **Safe range**: zero or one layer, up to 64 units. Spend what is left on
#   hidden units.
# * **Symptom of too large**: slower steps, and no better training error; on
#   sunspots a worse test error.
#
# The guide's page is :doc:`/guide/backbone`.
#
# Of this in the record: :claim:`backbone-helps`, :claim:`backbone-ratio`,
# :claim:`backbone-underfit`.
#
# When this fails
# ---------------
# Inputs here are plain numbers, one or twelve a step. Where each step holds
# an image or a spectrum, a backbone may have more to do, and an encoder of
# your own before the model may do more still; neither is measured. Dropout
# acts in the backbone: without a backbone there is no dropout.

plots.show()
