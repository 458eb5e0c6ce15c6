# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
How many sequences per gradient?
================================

**Question.** Which batch size should one start with, and does it change the
score?

**Short answer.** 32 is not worse than the best other batch in the same
seconds. In short trainings of equally many steps a larger batch has the
better score; in long ones the difference is negligible. (*Start with a
batch of 32*: supported in short trainings, supported in long ones.)

**Cost.** Up to four batch sizes on two tasks, five seeds each: seconds.
"""

# %%
# The task
# --------
# Blood glucose of one person, read at irregular times 5 to 240 minutes
# apart: from eight readings predict the next, given its gap. The figure
# shows the truth of the first test sequences beside the simplest forecast,
# that the last reading stays. The second task is the monthly sunspot
# number.

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
# The batch size, by factors of four from 8 to 512. In one comparison every
# size takes equally many steps. In the other it takes as many seconds as 32
# does: fewer steps for large batches, a few more for small ones. Each size
# has the learning rate that suits it: large batches allow a larger one.
#
# The sweep
# ---------
# 32 and the best of the others in the same seconds train again on five
# seeds that are not in the record, in the short budget; and 8 and 128 for
# equally many steps.

tasks = ["glucose", "sunspots"]
start = claims.check("batch-start", tasks=tasks)
steps = claims.check("batch-both", tasks=tasks)

# %%
# What happened
# -------------
# Test errors on glucose. Each small mark is one training: a short one of
# the record, a short one of this build, or a long one of the record.
# ``b32`` is a batch of 32; ``b128_seconds`` is one of 128 that trains only
# as long as 32 does. Compare 8 and 128: short trainings tell them apart,
# long ones hardly.

# sphinx_gallery_thumbnail_number = 2
rows = start.rows("glucose") + steps.rows("glucose")
figure = plots.sweep(rows, "level", hue="trials", split="test")

# %%
# How sure we are
# ---------------
# Each small mark is the difference between two trainings with the same
# seed. Right of the grey band the first batch size is better by more than
# what matters, left of it worse. 32 against the best other one, in the same
# seconds:

figure = start.figure()
print(start)

# %%
# 8 against 128, for equally many steps:

figure = steps.figure()
print(steps)

# %%
# What to do
# ----------
# * **Default**: 32; in short trainings 128.
# * **Safe range**: 32 to 128, with the learning rate searched again for
#   each.
# * **Symptom of too small**: seeds scatter, and the loss is noisy. **Of too
#   large**: few updates in a pass over the data, and a loss that still
#   falls when the steps run out.
#
# The guide's page is :doc:`/guide/batch-size`.
#
# Of this in the record: :claim:`batch-start`, :claim:`batch-both`.
#
# When this fails
# ---------------
# Seconds are those of one processor core and of a model of 16 units; on
# another device a larger batch may cost less than here, or more. At the
# learning rate of a small batch, a large one looks worse than it is.

plots.show()
