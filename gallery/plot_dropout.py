# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
When does dropout help?
=======================

**Question.** Does dropout in the backbone of a CfC lower its error, with
many data or with few?

**Short answer.** Do not start with dropout: in short trainings it costs, in
long ones the difference is negligible. With few data short trainings differ
by task; in long ones it may help where the model overfits, which the record
leaves open. (*Start with a dropout rate of 0.1 to 0.2*: refuted in short
trainings, refuted in long ones. *Raise the dropout rate when the model
overfits*: differs by task in short trainings, open in long ones.)

**Cost.** Three rates with all data and two with few, on two tasks, five
seeds each: seconds.
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
# The rate. With all 2000 sequences: 0, and the rates at which one is told
# to start, 0.1 and 0.2. With 200 sequences, which batches of 32 pass
# through every six steps: 0 and 0.3. Each has the learning rate that suits
# it, and each seed draws its data anew. The backbone has one layer of 32
# units; without a backbone a rate above 0 is refused.
#
# The sweep
# ---------
# They train again here, in the short budget, on five seeds that are not in
# the record. Rates of one size are trained side by side, as one population.

tasks = ["glucose", "sunspots"]
start = claims.check("dropout-start", tasks=tasks)
few = claims.check("dropout-overfit", tasks=tasks)

# %%
# What happened
# -------------
# Test errors on glucose with all data. Each small mark is one training: a
# short one of the record, a short one of this build, or a long one of the
# record. Look at the slope of each line.

# sphinx_gallery_thumbnail_number = 2
rows = start.rows("glucose")
figure = plots.sweep(rows, "backbone_dropout", hue="trials", split="test")

# %%
# With 200 sequences:

rows = few.rows("glucose")
figure = plots.sweep(rows, "backbone_dropout", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between two trainings with the same
# seed. Right of the grey band dropout is better by more than what matters,
# left of it worse. With all data:

figure = start.figure()
print(start)

# %%
# With 200 sequences:

figure = few.figure()
print(few)

# %%
# What to do
# ----------
# * **Default**: 0.0, which is :class:`ncps_mlx.CfC`'s.
# * **Safe range**: up to 0.3, and only where the validation error turns
#   upward while the training loss still falls; then compare with 0.0, and
#   train for longer.
# * **Symptom of too much**: training and validation error both rise with
#   the rate.
#
# The guide's page is :doc:`/guide/dropout`.
#
# Of this in the record: :claim:`dropout-start`, :claim:`dropout-overfit`.
#
# When this fails
# ---------------
# *All rates give the same score*: no backbone was active. *Validation is
# far above training at every rate*: the splits differ in kind, which no
# dropout mends. Trainings here keep the best step by validation, which is
# itself a cure for overfitting; without it, compare again.

plots.show()
