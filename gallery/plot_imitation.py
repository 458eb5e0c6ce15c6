# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Can a small circuit imitate a controller?
=========================================

**Question.** An expert swings a pendulum up and keeps it there; it sees angle and speed. A student sees the angle
alone, at irregular times, and some readings get lost. How well does a wired CfC imitate the expert, beside a GRU that
is told the gap and feed-forward nets of the same size?

**Short answer.** A student has to remember: without memory it does little better than no torque at all. A wired CfC of
900 weights swings the pendulum up and holds it, with a return clearly below the expert's, who sees more. So
do a GRU, and a feed-forward net that is given the last two readings; after a training as short as here five seeds do
not tell the three apart. Lost readings cost whoever remembers. The intervals below are the evidence.

**Cost.** Four networks, ten short trainings each, and six thousand episodes.
"""

# %%
# The task
# --------
# ``Pendulum-v1`` of gymnasium: a rod hangs from a motor too weak to lift it at once, so it has to be swung. An episode
# lasts 200 steps of 0.05 s; its return is minus the sum of the angle from upright squared, with a little for speed and
# torque, so near 0 is best. The expert pumps energy into the swing until it suffices to stand (Åström and Furuta,
# "Swinging up a pendulum by energy control", 2000), and balances from there. A reading comes every 1 to 4 steps, and
# the torque is held until the next.

import gymnasium
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from ncps_mlx import GRU, AutoNCP, CfC, Split, Task, evaluate, fit, plots, stats
from ncps_mlx.records import from_scores

STEP = 0.05  # seconds
GREATEST = 2.0  # torque in N m
pendulum = gymnasium.make("Pendulum-v1").unwrapped


def control(angle, speed):
    """The expert's torque as a share of the greatest, for angles from upright in rad and speeds in rad/s."""
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    energy = speed**2 / 6 + 5 * (np.cos(angle) - 1)  # 0 is what it takes to stand upright
    near = (np.abs(angle) < 1) & (np.abs(speed) < 3)
    torque = np.where(near, -6 * angle - 1.5 * speed, -0.5 * energy * speed)
    return np.clip(torque / GREATEST, -1, 1)


# %%
# A step of gymnasium's pendulum is arithmetic on its state, so one environment whose state is an array steps as many
# pendulums as we like.


def starting(seeds):
    """The states in which gymnasium starts episodes of these seeds: (2, n) angles and speeds."""
    states = []
    for seed in seeds:
        pendulum.reset(seed=seed)
        states.append(pendulum.state)
    return np.stack(states, axis=1)


def schedule(n, steps, seed, lost):
    """Whether a reading arrives, (n, steps): every 1 to 4 steps, but a share is lost; the first always arrives."""
    rng = np.random.default_rng(seed)
    due = np.cumsum(rng.integers(1, 5, (n, steps)), axis=1)
    arrives = np.array([np.isin(np.arange(steps), row - row[0]) for row in due])
    arrives &= rng.random((n, steps)) >= lost
    arrives[:, 0] = True
    return arrives


def drive(policy, state, arrives, noise=0.0):
    """Let ``policy(reading, gap, arrives)`` choose the torque from these states on, whenever a reading arrives.

    Readings are (n, 2), cosine and sine of the angle; gaps are in tenths of a second. Gives the return of each episode
    (n,), and over time its readings (n, steps, 2), gaps and torques (n, steps).
    """
    n, steps = arrives.shape
    pendulum.state = state
    held, last, total, log = np.zeros(n), np.zeros(n), np.zeros(n), []
    pushes = np.broadcast_to(noise, (n, steps))
    for step in range(steps):
        angle, _ = pendulum.state
        reading, gap = np.stack([np.cos(angle), np.sin(angle)], axis=1), (step - last) * STEP / 0.1
        held = np.where(arrives[:, step], policy(reading, gap, arrives[:, step]), held)
        last = np.where(arrives[:, step], step, last)
        log.append((reading, gap, held))
        _, reward, *_ = pendulum.step((GREATEST * held + pushes[:, step])[None])
        total += reward
    return total, *(np.stack(each, axis=1) for each in zip(*log, strict=True))


def expert(*_):
    """Act on the true state."""
    return control(*pendulum.state)


# %%
# Returns are measured over a hundred fresh episodes, each run twice: with all its readings, and with 30 % of them lost.
# The figure shows the expert in the first of them.

EPISODES = range(5000, 5100)
state = np.tile(starting(EPISODES), 2)
arrives = np.concatenate([schedule(100, 200, 0, lost=share) for share in (0.0, 0.3)])

experts, readings, _, torques = drive(expert, state, arrives)
alone = gymnasium.make("Pendulum-v1", disable_env_checker=True)  # gymnasium's own loop, pushed alike
alone.reset(seed=EPISODES[0])
assert np.isclose(sum(alone.step(GREATEST * torque[None])[1] for torque in torques[0]), experts[0])

seconds = STEP * np.arange(200)
figure = plots.lines(
    seconds,
    {"expert": readings[0, :, 0]},
    x="seconds",
    y="height of the tip (1 is upright)",
    above={"torque": GREATEST * torques[0]},
    above_y="torque (N m)",
)

# %%
# What a student learns from: the first 30 readings of a thousand episodes, 30 % lost, and the torque that the expert
# chose at each. Random pushes disturb it meanwhile, so that students see how to recover, too (Laskey et al., "DART",
# 2017). Time is counted in tenths of a second, which puts a typical gap near 1 (:doc:`plot_time_scale`).


def lessons(seeds):
    """Episodes of these seeds as a split."""
    n, steps = len(seeds), 300
    noise = np.random.default_rng(seeds[0]).normal(size=(n, steps))
    arrives = schedule(n, steps, seeds[0], lost=0.3)
    _, *seen = drive(expert, starting(seeds), arrives, noise)
    x, gap, torque = (np.stack([row[at][:30] for row, at in zip(each, arrives, strict=True)]) for each in seen)
    return Split(x=x, y=torque[..., None], time_delta=gap)


task = Task("pendulum", lessons(range(1000)), lessons(range(1000, 1100)), lessons(range(2000, 2100)))
print(task)

# %%
# What varies, and why this range
# -------------------------------
# What the student remembers. A **wired CfC** of 32 neurons and a **GRU** with the gap as an input keep a state. A
# **feed-forward** net keeps nothing: it is a module of ours, which trains like any other
# (:doc:`/howto/your-own-model`). With **two readings** it is given the last one as well, and both gaps. All four have
# about 900 parameters.


class Feedforward(nn.Module):
    """Three layers over the last readings and the gap before each."""

    def __init__(self, input_size, output_size, *, readings=1, width=27):
        super().__init__()
        self.readings = readings
        first, second = nn.Linear(readings * (input_size + 1), width), nn.Linear(width, width)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(width, output_size))

    def __call__(self, x, *, time_delta):
        seen = mx.concatenate([x, mx.log1p(time_delta)[..., None]], axis=-1)
        padded = mx.concatenate([seen[:, :1]] * (self.readings - 1) + [seen], axis=1)
        windows = [padded[:, i : i + x.shape[1]] for i in range(self.readings)]
        return self.layers(mx.concatenate(windows, axis=-1))


def feedforward(seed, **settings):
    """A feed-forward net for the task."""
    mx.random.seed(seed)
    return Feedforward(task.input_size, task.output_size, **settings)


networks = {
    "wired CfC": lambda seed: CfC(**task.sizes, wiring=AutoNCP(32, 1, seed=1), seed=seed),
    "GRU": lambda seed: GRU(**task.sizes, hidden_size=15, seed=seed),
    "feed-forward": lambda seed: feedforward(seed),
    "two readings": lambda seed: feedforward(seed, readings=2, width=26),
}
for name, make in networks.items():
    model = make(0)
    counted = sum(array.size for _, array in tree_flatten(model.parameters()))
    print(f"{name}: {getattr(model, 'parameter_count', counted)} parameters")
figure = plots.circuit(AutoNCP(32, 1, seed=1).build(task.input_size))

# %%
# The sweep
# ---------
# Each network is trained at two learning rates with five seeds, and keeps the rate that imitates better on validation.

SEEDS, RATES, STEPS = range(5), (0.03, 0.1), 400


def students(make):
    """Train a network: five models, at the better rate."""
    models = [make(seed) for _ in RATES for seed in SEEDS]
    rates, seeds = np.repeat(RATES, len(SEEDS)).tolist(), [*SEEDS] * len(RATES)
    fit(models, task, steps=STEPS, batch_size=32, learning_rate=rates, seed=seeds, progress=False)
    errors = np.reshape(evaluate(models, task, "validation"), (len(RATES), -1))
    best = int(errors.mean(axis=1).argmin())
    print(f"{name}: rate {RATES[best]}, error of the torque {stats.interval(errors[best])} of the greatest")
    return models[best * len(SEEDS) :][: len(SEEDS)]


trained = {}
for name, make in networks.items():
    trained[name] = students(make)

# %%
# To act, a network with a state is given one reading after another, a feed-forward net the last ones again each time.
# Beside the students stands the expert itself, if it is given no speed and takes the difference of two angles for it.


def with_state(model):
    """The policy of a CfC or GRU."""
    state = None

    def policy(reading, gap, arrives):
        nonlocal state
        x, gap, arrives = (mx.array(each[:, None]) for each in (reading.astype("f"), gap.astype("f"), arrives))
        y, state = model(x, state, time_delta=gap, mask=arrives)
        return np.array(y)[:, 0, 0]

    return policy


def with_window(act, length):
    """The policy of what acts on so many last readings: ``act(readings (n, length, 2), gaps (n, length))``."""
    x = gaps = None

    def policy(reading, gap, arrives):
        nonlocal x, gaps
        if x is None:
            x, gaps = np.stack([reading] * length, axis=1), np.stack([gap] * length, axis=1)
        else:
            x = np.where(arrives[:, None, None], np.concatenate([x[:, 1:], reading[:, None]], axis=1), x)
            gaps = np.where(arrives[:, None], np.concatenate([gaps[:, 1:], gap[:, None]], axis=1), gaps)
        return act(x, gaps)

    return policy


def of_student(model):
    """The policy of a trained network."""
    if not isinstance(model, Feedforward):
        return with_state(model)

    def act(x, gaps):
        return np.array(model(mx.array(x.astype("f")), time_delta=mx.array(gaps.astype("f"))))[:, -1, 0]

    return with_window(act, model.readings)


def from_difference(x, gaps):
    """The expert's torque for the speed between two readings."""
    before, now = np.arctan2(x[..., 1], x[..., 0]).T
    turned = (now - before + np.pi) % (2 * np.pi) - np.pi
    return control(now, turned / np.maximum(gaps[:, -1] * 0.1, STEP))


returns = {
    name: np.stack([drive(of_student(model), state, arrives)[0] for model in models])
    for name, models in trained.items()
}
without_speed = drive(with_window(from_difference, 2), state, arrives)[0]
at_rest = drive(lambda *_: 0.0, state, arrives)[0]

# %%
# What happened
# -------------
# Every trained network is a dot: its mean return over the hundred episodes.

parts = {"all": slice(0, 100), "30 % lost": slice(100, 200)}
by_seed = from_scores(
    {(name, part): each[:, rows].mean(axis=1) for name, each in returns.items() for part, rows in parts.items()},
    "controller",
    "readings",
    metric="return",
    higher_is_better=True,
)
baselines = {"expert, all": experts[parts["all"]].mean(), "no torque": at_rest[parts["all"]].mean()}
# sphinx_gallery_thumbnail_number = 3
figure = plots.sweep(by_seed, "controller", hue="readings", baselines=baselines, split="test")

# %%
# One episode with losses: the expert, and the first wired CfC. Lines of the upper panel are in the order of the lower,
# and the dots are the readings that the student got.

_, angles, _, torque = drive(of_student(trained["wired CfC"][0]), state, arrives)
shown = 100
figure = plots.lines(
    seconds,
    {"expert": readings[shown, :, 0], "wired CfC": angles[shown, :, 0]},
    x="seconds",
    y="height of the tip (1 is upright)",
    above={"expert": GREATEST * torques[shown], "wired CfC": GREATEST * torque[shown]},
    above_y="torque (N m)",
)
got = arrives[shown]
figure.axes[-1].plot(seconds[got], angles[shown, got, 0], "o", color="#222222", markersize=3)

# %%
# How sure we are
# ---------------
# Each controller minus the expert, paired by episode; a student's return in an episode is the mean over its five
# models. Above zero is better. These intervals are over episodes: they say how another hundred would turn out for these
# models.

for part, rows in parts.items():
    by_episode = from_scores(
        {
            "expert": experts[rows],
            "expert without speed": without_speed[rows],
            **{name: each[:, rows].mean(axis=0) for name, each in returns.items()},
        },
        "controller",
        seeds=EPISODES,
        metric="return",
        higher_is_better=True,
    )
    print(f"{part}:\n{stats.compare(by_episode, 'controller', 'expert')}\n")

# %%
# The second table, drawn: every dot is an episode.

figure = plots.differences(by_episode, "controller", "expert", split="test")

# %%
# And each minus the wired CfC, paired by seed: these intervals say how another training would turn out.

print(stats.compare(by_seed, "controller", "wired CfC", within="readings"))

# %%
# What to do
# ----------
# Train for longer: ``STEPS = 3000`` takes about two minutes, and all that remember come nearer to the expert. Put a net
# over the last few readings and their gaps beside every network with a state: it is the simplest rival, and here two
# readings tell the angle and, roughly, the speed. A wired CfC need not be told how much to remember, and its
# circuit can be drawn and followed (:doc:`/models/wirings`). Judge by returns in fresh episodes, not by the error of
# the torque: the expert's episodes do not hold the states into which a student's own mistakes lead.
#
# When this fails
# ---------------
# *Small errors, poor returns*: the student meets states that the expert never showed. Push the expert harder, or let it
# label the states that students visit (Ross et al., "DAgger", 2011). *One seed far below the others*: choose among
# seeds by returns in episodes kept for that. *Noisy readings*: two of them give a poor speed, so give a feed-forward
# net more. *Gaps longer than in training*: the torque is held too long for anyone, as the expert's own loss shows.

plots.show()
