# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Which learning rate?
====================

**Question.** How much does the learning rate of a CfC matter, and where
should a search begin?

**Short answer.** The best rate beats the worst by far more than what
matters. Search around 1e-2 on a log grid; 1e-3 loses in a short training
and, by less, in a long one. (*The learning rate matters more than anything
else*: supported in short trainings, supported in long ones. *Start with a
learning rate of 0.001*: refuted in short trainings, refuted in long ones.)

**Cost.** Up to five rates on two tasks, five seeds each: seconds.
"""

# %%
# The task
# --------
# Monthly sunspot numbers since 1749: from 132 months, one solar cycle, a
# model predicts the next 12. Each step holds the twelve months of a year.
# It is trained on targets before 1930, chosen on those to 1969 and tested
# from 1970 on. The figure shows the truth over the test years and the
# simplest forecast, twelve months ahead. The second task is the glucose of
# one person, read at irregular times.

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
# The learning rate alone, two values in each decade from 1e-4 to 1e-1:
# below, so few steps teach nothing; above, what is learned is lost again.
# All else is fixed: 16 units, Adam, clipping at 1, a cosine schedule. Three
# tuning seeds have decided on the validation split which rate is the best
# and which the worst, for each task and budget.
#
# The sweep
# ---------
# The rates that two claims compare train again in the short budget, on five
# seeds that are not in the record: the best and the worst of all rates;
# then 1e-3, 1e-2, and the best of a grid that ends at 3e-3.

tasks = ["sunspots", "glucose"]
critical = claims.check("lr-critical", tasks=tasks)
start = claims.check(
    "lr-start",
    tasks=tasks,
    parts=[
        "1e-3 against the best",
        "1e-2 against 1e-3",
        "the grid around 1e-3 against all",
    ],
)

# %%
# What happened
# -------------
# Test scores on sunspots at each of these rates. Each small mark is one
# training: a short one of the record, a short one of this build, or a long
# one of the record. At the left, short trainings lose much, long ones less.



def scores(task):
    """The trials of both checks on a task, each once."""
    rows = critical.rows(task) + start.rows(task)
    once = {(row["trials"], row["level"], row["seed"]): row for row in rows}
    return list(once.values())


# sphinx_gallery_thumbnail_number = 2
rows = scores("sunspots")
figure = plots.sweep(rows, "learning_rate", hue="trials", split="test")

# %%
# The same on glucose:

rows = scores("glucose")
figure = plots.sweep(rows, "learning_rate", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark compares two trainings with the same seed: the same
# initial parameters, the same order of the data. Right of the grey band the
# first rate is better by more than what matters, left of it worse.

figure = start.figure()
print(start)

# %%
# The best rate against the worst. This claim asks for twice :term:`δ`, the
# smallest difference that matters:

print(critical)

# %%
# What to do
# ----------
# * **Default**: 1e-2.
# * **Safe range**: search 1e-3 to 1e-1, on a log grid; widen it if the best
#   value lies at an edge.
# * **Symptom of too small**: the loss still falls when the steps run out.
#   **Of too large**: it falls at once, then stays high, and seeds disagree.
#
# The guide's page is :doc:`/guide/learning-rate`.
#
# Of this in the record: :claim:`lr-critical`, :claim:`lr-start`.
#
# When this fails
# ---------------
# The best rate belongs to a budget: with more steps a smaller rate comes
# nearer to the best, as the figures show. It also moves with width, depth
# and batch size: search again when you change them. Where ridge regression
# is better than every rate, the learning rate is not what is missing
# (:doc:`plot_opponents`).

plots.show()
