"""
Grid or random search?
======================

**Question.** With the same number of trials, which finds the better configuration: a grid, or configurations drawn at
random?

**Short answer.** It depends on how many knobs you search at once. On one knob that matters, evenly spaced values do
better than random ones. With two more knobs in the grid only two learning rates are left to it, and random search
catches up or is a little ahead. The intervals further down say how much either is worth here.

**Cost.** 240 short trainings of a small CfC on sunspots, in one population: about 15 seconds of one core.
"""

# %%
# The task
# --------
# From 132 months of sunspot numbers, given as 6 steps of 22 months, predict the next 12. The figure shows the first
# window of the test split, with the simplest forecast there is, persistence: the last month stays.
import numpy as np

from ncps_mlx import Space, Study, plots, stats
from ncps_mlx.data import sunspots
from ncps_mlx.records import from_scores, select

task = sunspots(months_per_step=22)
months = task.to_units(np.append(task.test.x[0].ravel(), task.test.y[0]))
persistence = np.where(np.arange(144) < 132, np.nan, months[131])
figure = plots.series(
    np.arange(144),
    months,
    forecasts={"persistence": persistence},
    x="month",
    y="sunspot number",
)

# %%
# What varies, and why this range
# -------------------------------
# The learning rate runs over two decades in twelve even steps: too small at one end, too large at the other, for the
# number of steps taken. The other two knobs have two values each that people really choose between. All 48
# combinations are trained, so that every search that could have drawn from them can be replayed, exactly and for free.
rates = np.geomspace(0.001, 0.1, 12).round(4).tolist()
space = Space(learning_rate=rates, backbone_dropout=[0.0, 0.2], clip_norm=[0.1, 1.0])
seeds = (0, 1, 2, 3, 4)
print(space.size, "configurations,", len(seeds), "seeds")

# %%
# The sweep
# ---------
# The three knobs vary within a population, so all 240 trainings are one graph.
pool = Study(
    None,
    task,
    space,
    sampler="grid",
    seeds=seeds,
    population_size=240,
    fixed={"hidden_size": 16, "backbone_units": 16, "steps": 60, "evaluate_every": 30},
).run()
print(pool)

# %%
# Where the learning rate is good, and where it is not: this is what a search has to find without seeing it. Beside it
# persistence on the same split. Sixty steps are few; the scores serve to compare searches, not models (with longer
# training, and against ridge regression, see :doc:`/guide/forecasting`).
last_month = np.repeat(task.validation.x[:, -1, -1:], 12, axis=1)
# sphinx_gallery_thumbnail_number = 2
figure = plots.sweep(
    pool.records,
    "learning_rate",
    hue="backbone_dropout",
    baselines={"persistence": task.score(last_month, "validation")},
)

# %%
# What happened
# -------------
# Each seed's 48 scores are one pool. A **random search** with a budget of k is a draw of k of them;
# :func:`ncps_mlx.stats.expected_best` averages over all draws there are. A **grid** of two values a knob has eight
# configurations: both dropout rates, both clip norms, and two learning rates a decade apart. Where it is laid is luck
# too, so we average over its six places, which share out the pool between them. Budgets below eight are a grid that
# had to be stopped early, its trials in random order.


def scores(seed, among=rates, **fixed):
    """The scores of one seed with these learning rates, other knobs free or fixed."""
    found = select(pool.records, seed=seed, **fixed)
    return [record.score for record in found if record.config["learning_rate"] in among]


def replay(budgets, grids, **fixed):
    """The expected best of each search with each budget, for every seed."""
    random = [stats.expected_best(scores(seed, **fixed), budgets) for seed in seeds]
    grid = [
        np.mean([stats.expected_best(scores(seed, g, **fixed), budgets) for g in grids], axis=0) for seed in seeds
    ]
    columns = {
        (name, budget): np.array(curves)[:, i]
        for name, curves in (("grid", grid), ("random", random))
        for i, budget in enumerate(budgets)
    }
    return from_scores(columns, "search", "budget", task=task)


three_knobs = replay([1, 2, 3, 4, 6, 8], [rates[i::6] for i in range(6)])
figure = plots.sweep(three_knobs, "budget", hue="search")

# %%
# Now the same with the learning rate alone, the other knobs fixed at no dropout and a clip norm of 1. Four trials are
# a grid of every third rate, in each of its three places, or four of the twelve at random.
thirds = [rates[i::3] for i in range(3)]
one_knob = replay([1, 2, 3, 4], thirds, backbone_dropout=0.0, clip_norm=1.0)
figure = plots.sweep(one_knob, "budget", hue="search")

# %%
# How sure we are
# ---------------
# Random search minus grid, each with its whole budget, paired by the seed of the training. The luck of the search is
# averaged out exactly, so what is left is the spread from seed to seed. Below zero random search is better. An
# interval that holds zero, or just misses it, decides little.

three = stats.compare(select(three_knobs, budget=8), "search", "grid")
one = stats.compare(select(one_knob, budget=4), "search", "grid")
print("three knobs, 8 trials", three, "one knob, 4 trials", one, sep="\n")

# %%
# Three knobs:
figure = plots.differences(three)

# %%
# One knob:
figure = plots.differences(one)

# %%
# Averages hide the luck of a single search, which is all you will have. Five thousand times, one random draw of eight
# against one grid of eight, on the same seed:
rng = np.random.default_rng(0)
best_of_grids = np.array([[min(scores(seed, rates[i::6])) for i in range(6)] for seed in seeds])
every = np.array([scores(seed) for seed in seeds])
draws = np.array(
    [[rng.choice(row, 8, replace=False).min() for row in every] for _ in range(1000)]
)  # (1000, seeds)
picked = best_of_grids[np.arange(len(seeds)), rng.integers(6, size=draws.shape)]
wins, ties = np.mean(draws < picked), np.mean(draws == picked)
print(f"random search wins {wins:.0%}, ties {ties:.0%} of the time")
for name, found in (("random", draws), ("grid", picked)):
    print(f"{name}: one in twenty ends above {np.quantile(found, 0.95):.1f}")

# %%
# What to do
# ----------
# * **One knob** (mostly the learning rate): a geometric grid, a factor of 2 to 3 between values, wide enough that the
#   best is not at an end.
# * **Several knobs**: random search, with the learning rate drawn log-uniformly. A grid is for screening then, to see
#   which knobs matter at all.
# * **Symptom of a grid too coarse**: its best value is the first or last of its list. **Symptom of too small a
#   budget**, of either: the curve of the expected best is still falling at its right end.
#
# When this fails
# ---------------
# Here one knob mattered far more than the others. Where all of them matter, or where their best values depend on each
# other, every trial of a grid is worth more than here, and so is a method that learns from earlier trials
# (:doc:`/guide/automated-tools`). The pool has twelve learning rates: a random search over a continuous range can also
# hit values between them. The scores are validation scores after short trainings, and the best of many flatters
# itself; :doc:`/guide/random-search` shows what retraining the finalists does to it.
