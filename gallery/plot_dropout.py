"""
When does dropout help?
=======================

**Question.** Does dropout in the backbone of a CfC lower its error, and how does that depend on how much there is to
learn from, and for how long?

**Short answer.** With a few hundred sequences it helps, and rates up to 0.4 do no harm. With ten times as many there
is no overfitting to cure, and in a short training dropout costs score; train longer and most of that cost goes away.
It must have a backbone to act in. The intervals below say how sure each part is.

**Cost.** Fifty short trainings in three populations, and thirty that check what is recorded.
"""

# %%
# The task
# --------
# Blood glucose of one person, read at irregular times 5 to 240 minutes apart: from eight readings predict the next,
# given its gap. Error is in mg/dl. Training, validation and test lie in different weeks. The figure shows the truth
# of the first test sequences beside the simplest forecast, that the last reading stays.

from ncps_mlx import Space, Study, claims, evaluate, plots, stats
from ncps_mlx.data import glucose
from ncps_mlx.records import concat, refit, select

full = glucose(2000, 500, 1000, readings=8).scaled_time("log")
shown = full.test[:60]
figure = plots.series(
    range(len(shown)),
    full.to_units(shown.y)[:, 0],
    forecasts={"last value": full.to_units(shown.x)[:, -1, 0]},
    x="test sequence",
    y="next glucose (mg/dl)",
)

# %%
# The bar, on the validation split on which rates are chosen:

few = full.take(200)
for name, score in few.baselines("validation").items():
    print(f"{name}: {score:.1f}")

# %%
# What varies, and why this range
# -------------------------------
# The rate: none, and then doubling from 0.1 to 0.4. Above a half, more of the backbone is silent than speaks. The
# size of the training split: 200 sequences, which a batch of 32 passes through every six steps, and 2000. The network
# and the learning rate stay as they are. The backbone has one layer: with none, a rate above 0 is refused.

rates = [0.0, 0.1, 0.2, 0.4]
shape = {"hidden_size": 16, "backbone_units": 32, "backbone_layers": 1}


def study(task, space, steps):
    """One population: every rate with every seed."""
    fixed = shape | {"steps": steps, "evaluate_every": steps // 5}
    return Study(None, task, space, sampler="grid", seeds=range(5), fixed=fixed)


# %%
# The sweep
# ---------
# Rates are member knobs: all rates and seeds of a size are trained side by side in one graph.

space = Space(backbone_dropout=rates)
small = study(few, space, 150).run(progress=True).records
large = study(full, space, 150).run(progress=True).records

# %%
# With 2000 sequences, 150 steps are little more than two passes. The two ends of the range also train for longer:

ends = Space(backbone_dropout=[0.0, 0.4])
longer = study(full, ends, 280).run(progress=True).records

# %%
# What happened
# -------------
# Every run is a dot; the colour says how many sequences it learned from. Look at the slope of each line.

everything = concat({"200": small, "2000": large, "2000, longer": longer}, "sequences")
# sphinx_gallery_thumbnail_number = 2
figure = plots.sweep(everything, "backbone_dropout", hue="sequences", baselines=few.baselines("validation"))

# %%
# How sure we are
# ---------------
# Each rate minus no dropout, paired by seed. Below zero, dropout helped.

print(stats.compare(everything, "backbone_dropout", reference=0.0, within="sequences"))

# %%
# The same, drawn: first 200 sequences, then 2000, both for 150 steps.

few_figure = plots.differences(small, "backbone_dropout", 0.0)
full_figure = plots.differences(large, "backbone_dropout", 0.0)

# %%
# On the test split, with 200 sequences: no dropout, a middling rate, and the classical baselines on the same 200, in
# mg/dl.

for rate in (0.0, 0.2):
    models = refit(select(small, backbone_dropout=rate), few)
    print(f"CfC, rate {rate}: {stats.interval(evaluate(models, few))}")
for name, score in few.baselines().items():
    print(f"{name}: {score:.1f}")

# %%
# That was one draw of the data, one learning rate and one length of training. The guide's advice rests on more: every
# rate of dropout at the learning rate that suits it, and each seed with a draw of its own. Here the rates that are
# advised train again on fresh seeds, beside what is recorded of them.

checked = claims.check("dropout-start", tasks=["glucose", "sunspots"])
print(checked)
figure = plots.sweep(checked.rows("glucose"), "backbone_dropout", hue="trials", split="test")

# %%
# What to do
# ----------
# Leave :class:`ncps_mlx.CfC`'s default of 0.0 until a validation curve turns upward while the training loss still
# falls. Then search 0.1 to 0.4 with 0.0 among them: rates share a graph, so the search costs little more than one
# training. The guide's page is :doc:`/guide/dropout`.
#
# When this fails
# ---------------
# *All rates give the same score*: no backbone was active. *Both errors rise with the rate*: nothing was overfitting, or
# the training is too short for the rate. *Validation is far above training at every rate*: the splits differ in kind,
# which no dropout mends. A network of other width, or other data, may turn elsewhere: run the script on yours.
