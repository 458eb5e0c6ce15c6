"""
On which scale should time arrive?
==================================

**Question.** A CfC is told how much time passes at each step. Does it matter whether that number arrives raw, as a
logarithm, divided by its mean, bounded, as a plain input feature, or not at all?

**Short answer.** That it arrives matters most, and then that a typical gap is near 1. Raw minutes are no better than no
time; raw seconds that happen to be near 1 are fine. Dividing by the mean and taking the logarithm differ little, a
bounded scale loses long gaps, and a plain input does about as well as the clock. The intervals below are the
evidence.

**Cost.** Six forms of one task and four of another, ten short trainings each; fifty that check what is recorded.
"""

# %%
# The tasks
# ---------
# The first is real: one person's blood glucose, eight readings 5 to 240 minutes apart, predict the next (mg/dl). The
# second is synthetic: a sum of three sines, read at gaps of 0.02 to 4 seconds, where what happens between two
# readings depends on nothing but the time. The figure shows the glucose at the end of the first test sequences, and the
# simplest forecast.

from ncps_mlx import Space, Study, TimeScaler, claims, evaluate, plots, stats
from ncps_mlx.data import glucose, irregular_sines
from ncps_mlx.records import concat, refit, select, tuned

sugar = glucose(2000, 500, 1000, readings=8)
sines = irregular_sines(1000, 500, 500, readings=9)
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
# The four scales of :class:`ncps_mlx.TimeScaler`, each fitted on the training split alone, with two controls: no time,
# and the log gap as one more input. This is what the scales learn, and where they put the median gap:

for task in (sugar, sines):
    for kind in ("raw", "log", "normalized", "bounded"):
        gaps = task.train.time_delta
        scaler = TimeScaler(kind).fit(gaps)
        middle = float(sorted(scaler.transform(gaps).ravel())[gaps.size // 2])
        print(f"{task.name}: {scaler}, median {middle:.2f}")

# %%
# A scale may move the best learning rate, so each form is trained at two of them and keeps the better on validation.
# Z-scored time is not here: it makes steps negative, and a task refuses it (:doc:`/guide/time-scale` shows why).
#
# The sweep
# ---------
# All six forms of glucose; of the sines the four that tell whether the unit or its shape matters.


def forms(task):
    """The task with its time in six forms."""
    scaled = {kind: task.scaled_time(kind) for kind in ("raw", "normalized", "log", "bounded")}
    return {"no time": task.without_time(), **scaled, "plain input": task.with_gap_as_input()}


def best_of_each(task, names):
    """Train the forms of these names, each at the better of two rates: records labelled with the form."""
    fixed = {"hidden_size": 16, "backbone_units": 32, "steps": 75, "evaluate_every": 25}
    studies = {
        name: Study(
            None,
            forms(task)[name],
            Space(learning_rate=[0.01, 0.03]),
            sampler="grid",
            seeds=range(5),
            fixed=fixed,
            name=name,
        )
        for name in names
    }
    return concat({name: tuned(study.run().records) for name, study in studies.items()}, "time")


of_sugar = best_of_each(sugar, forms(sugar))
of_sines = best_of_each(sines, ["no time", "raw", "normalized", "log"])

# %%
# What happened
# -------------
# Every seed is a dot, at the better learning rate of its form. First glucose, then sines.

# sphinx_gallery_thumbnail_number = 2
sugar_figure = plots.sweep(of_sugar, "time", baselines=sugar.baselines("validation"))
sines_figure = plots.sweep(of_sines, "time", baselines=sines.baselines("validation"))

# %%
# How sure we are
# ---------------
# Each form minus ``normalized``, paired by seed; below zero is better.

for task, records in ((sugar, of_sugar), (sines, of_sines)):
    scales = stats.compare(records, "time", reference="normalized", show=["learning_rate"])
    figure = plots.differences(scales)
    print(task.name)
    print(scales)

# %%
# On the test split, the chosen setting of ``normalized`` beside the baselines of the glucose task:

form = sugar.scaled_time("normalized")
models = refit(select(of_sugar, time="normalized"), form)
print(f"CfC: {stats.interval(evaluate(models, form))} mg/dl")
for name, score in sugar.baselines().items():
    print(f"{name}: {score:.1f}")

# %%
# That was one draw of the data, at one length of training. The guide's advice rests on more: each form at the learning
# rate that suits it, each seed with a draw of its own, and time in units 10 and 100 times too small. Here those forms
# train again on fresh seeds, beside what is recorded of them.

checked = claims.check("time-scale-crucial", tasks=["glucose", "sines"])
print(checked)
figure = plots.sweep(checked.rows("sines"), "level", hue="trials", split="test")

# %%
# What to do
# ----------
# Call ``fit(..., time_scaling="log")`` or ``"normalized"``, which the model keeps, and go on to the knobs that matter
# more. If in doubt whether the
# clock is read at all, train once with ``task.without_time()``: a model with time that does not beat it has the wrong
# unit, or a task in which time says nothing. Keep classical baselines beside it, as the figures do, and see where
# exponential decay stands on glucose and boosted trees on the sines: a CfC trained as briefly as here has to earn its
# place.
#
# When this fails
# ---------------
# *Gaps over many decades*: the mean is ruled by the longest, so prefer ``log``. *Gaps at test time far beyond those of
# training*: ``normalized`` passes them on in full, ``bounded`` cuts them off. *All gaps equal*: time carries nothing,
# leave it out. *An LTC*: it is stricter about long steps, see :doc:`/guide/ltc`.
