# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Does the learning rate need a schedule?
=======================================

**Question.** Is a learning rate that falls, by a cosine or exponentially,
or that is warmed up, better than a constant one?

**Short answer.** Not once each has the rate that suits it: in long
trainings the differences are negligible, in short ones an exponential fall
costs, and for a cosine it depends on the task. (*Let the learning rate
follow a schedule*: refuted in short trainings, refuted in long ones. *Warm
the learning rate up*: refuted in short trainings, refuted in long ones.)

**Cost.** Four schedules on two tasks, five seeds each: seconds.
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
# The schedule: constant, falling by half a cosine to 0, falling
# exponentially; and the cosine after a warm-up over a tenth of the steps.
# Each has its own peak rate, the best of seven from 3e-4 to 0.3 on three
# tuning seeds. A training keeps the parameters of its best validation
# score, so a constant rate need not end well to do well.
#
# The sweep
# ---------
# They train again here, in the short budget, on five seeds that are not in
# the record.

tasks = ["sunspots", "glucose"]
schedule = claims.check("lr-schedule", tasks=tasks)
warmup = claims.check("lr-warmup", tasks=tasks)

# %%
# What happened
# -------------
# Test errors on sunspots. Each small mark is one training: a short one of
# the record, a short one of this build, or a long one of the record.
# ``warm`` is the cosine after a warm-up. The two budgets lie further apart
# than the schedules.

rows = schedule.rows("sunspots") + warmup.rows("sunspots")
once = {(row["trials"], row["level"], row["seed"]): row for row in rows}
rows = list(once.values())
# sphinx_gallery_thumbnail_number = 2
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between two trainings with the same
# seed. Right of the grey band the schedule is better than a constant rate
# by more than what matters, left of it worse.

figure = schedule.figure()
print(schedule)

# %%
# A warm-up, against the same schedule without:

figure = warmup.figure()
print(warmup)

# %%
# What to do
# ----------
# * **Default**: the cosine, which is that of :func:`ncps_mlx.fit`; in short
#   trainings ``schedule="constant"``. No warm-up.
# * **Safe range**: any schedule, if the rate is searched for it.
# * **Symptom**: the schedule alone has none. A loss that still falls at the
#   end wants more steps or a larger rate.
#
# The guide's page is :doc:`/guide/learning-rate`.
#
# Of this in the record: :claim:`lr-schedule`, :claim:`lr-warmup`.
#
# When this fails
# ---------------
# *Without validation*, the last step counts, and a constant rate ends in
# noise: then a schedule that falls may be worth more than here. *At one
# rate for all*, the one that suits the cosine, a constant rate may look
# worse than it is. Models far deeper than these may need a warm-up.

plots.show()
