# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Is a CfC worth it?
==================

**Question.** How does a CfC do beside a GRU, an LSTM and an LTC of as many
parameters, tuned alike, and beside classical methods on the same data?

**Short answer.** It depends on the task, and on glucose it makes little
difference: trained for long, all networks are level there, and so is a
forecast that decays exponentially, which is fitted in a moment. The
findings on every task are printed below.

**Cost.** Five networks on one task, ten seeds each, beside classical
methods.
"""

# %%
# The task
# --------
# Blood glucose of one person, read at irregular times 5 to 240 minutes
# apart: from eight readings predict the next, given its gap. Training,
# validation and test lie in different weeks. The figure shows the truth of
# the first test sequences beside the simplest forecast, that the last
# reading stays.

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
# What is trained: a CfC of 16 units; a GRU and an LSTM that are given the
# gap as an input; a GRU whose state decays over it; an LTC. All have as
# many parameters as the CfC, and each the learning rate that suits it.
# Classical methods see the same draws.
#
# The sweep
# ---------
# All of them train again on ten seeds that are not in the record, in the
# short budget. Ten were recorded; with so many comparisons, fewer new ones
# could not show a difference.

checked = claims.check("opponents-glucose", seeds=range(200, 210))

# %%
# What happened
# -------------
# Test errors. Each small mark is one training: a short one of the record, a
# short one of this build, or a long one of the record. ``gru_decay`` is the
# GRU whose state decays, ``ltc_gap`` the LTC with the gap as an input.
# Compare how far the networks lie apart with where the classical methods
# stand.

# sphinx_gallery_thumbnail_number = 2
rows = checked.rows("glucose")
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# The CfC against each other network, paired by seed. Right of the grey band
# the CfC is better by more than what matters, left of it worse.

networks = ["gru", "lstm", "gru_decay", "ltc_gap"]
figure = checked.figure([*networks, "exponential_decay"])
print(checked)

# %%
# What the short answer says of glucose, the record must say:

for part in [*networks, "exponential_decay"]:
    finding = checked.findings[part, "long"]
    print(f"CfC against {part}, long: {finding}")
    assert finding == "negligible", f"{part}: write the short answer anew"

# %%
# The record on every other task:

for name in (
    "xor",
    "sines",
    "sunspots",
    "vowels",
    "anomalies",
    "co2",
    "remifentanil",
    "hdl",
):
    print(claims.check(f"opponents-{name}", seeds=None), end="\n\n")

# %%
# What to do
# ----------
# * **Default**: measure the classical methods of a task first,
#   ``task.baselines()``; they take seconds.
# * Then a GRU with the gap as an input and a CfC, each with its own
#   learning rate, at the budget you can afford.
# * **Symptom of a task that needs no CfC**: a classical method is level
#   with every network.
#
# The guide's page is :doc:`/guide/worth-it`; the record of all tasks is on
# :doc:`/evidence/opponents`.
#
# When this fails
# ---------------
# The networks are small and the trainings at most a few thousand steps. A
# short training tells them apart by how fast they learn, a long one by what
# they can learn: judge by the one you will use. A comparison at one
# learning rate for all only says which of them that rate suits.

plots.show()
