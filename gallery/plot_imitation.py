# /// script
# requires-python = ">=3.11"
# dependencies = ["ncps-mlx[guide]"]
# ///
"""
Can a small circuit imitate a controller?
=========================================

**Question.** An expert swings a pendulum up and keeps it there; it sees
angle and speed. A student sees the angle alone, at irregular times, and
some readings get lost. How well does a wired CfC imitate the expert, beside
a GRU that is told the gap and feed-forward nets of the same size?

**Short answer.** A student has to remember: without memory it does little
better than no torque at all. A wired CfC of 900 weights swings the pendulum
up and holds it, and so do a GRU and a feed-forward net that is given the
last two readings. Their returns are clearly below that of the expert, who
sees more. After a training as short as here five seeds do not tell the
three apart. Lost readings cost every controller that remembers. The
intervals below are the evidence.

**Cost.** Four networks, ten short trainings each, and six thousand
episodes.
"""

# %%
# The task
# --------
# ``Pendulum-v1`` of gymnasium: a rod hangs from a motor too weak to lift it
# at once, so it has to be swung. An episode lasts 200 steps of 0.05 s; its
# return is minus the sum of the angle from upright squared, with a little
# for speed and torque, so near 0 is best. The expert pumps energy into the
# swing until it suffices to stand (Åström and Furuta, "Swinging up a
# pendulum by energy control", 2000), and balances from there. A reading
# comes every 1 to 4 steps, and the torque is held until the next.

import gymnasium
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from ncps_mlx import GRU, AutoNCP, CfC, Split, Task, evaluate, fit, plots
from ncps_mlx.records import from_scores
from ncps_mlx.stats import compare, interval

STEP = 0.05  # seconds
GREATEST = 2.0  # torque in N m
pendulum = gymnasium.make("Pendulum-v1").unwrapped


def control(angle, speed):
    """The expert's torque, a share of the greatest; rad and rad/s."""
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    energy = speed**2 / 6 + 5 * (np.cos(angle) - 1)  # 0 suffices to stand
    near = (np.abs(angle) < 1) & (np.abs(speed) < 3)
    swing = -0.5 * energy * speed
    torque = np.where(near, -6 * angle - 1.5 * speed, swing)
    return np.clip(torque / GREATEST, -1, 1)


# %%
# A step of gymnasium's pendulum is arithmetic on its state. One environment
# whose state is an array therefore steps as many pendulums as we like.


def starting(seeds):
    """Where gymnasium starts these episodes: (2, n) angles and speeds."""
    states = []
    for seed in seeds:
        pendulum.reset(seed=seed)
        states.append(pendulum.state)
    return np.stack(states, axis=1)


def schedule(n, steps, seed, lost):
    """Whether a reading arrives, (n, steps); the first always does."""
    rng = np.random.default_rng(seed)
    due = np.cumsum(rng.integers(1, 5, (n, steps)), axis=1)
    arrives = np.array([np.isin(np.arange(steps), d - d[0]) for d in due])
    arrives &= rng.random((n, steps)) >= lost
    arrives[:, 0] = True
    return arrives


def drive(policy, state, arrives, noise=0.0):
    """Let a policy choose the torque whenever a reading arrives.

    It is called as ``policy(reading, gap, arrived)``: cosine and sine of
    the angle (n, 2), tenths of a second (n,), true or false (n,). Gives
    the return of each episode (n,), and at each step the readings
    (n, steps, 2), gaps and torques (n, steps).
    """
    n, steps = arrives.shape
    pendulum.state = state
    torque, last, total, log = np.zeros(n), np.zeros(n), np.zeros(n), []
    noise = np.broadcast_to(noise, (n, steps))
    for step in range(steps):
        angle, _ = pendulum.state
        reading = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        gap = (step - last) * STEP / 0.1
        arrived = arrives[:, step]
        torque = np.where(arrived, policy(reading, gap, arrived), torque)
        last = np.where(arrived, step, last)
        log.append((reading, gap, torque))
        pushed = GREATEST * torque + noise[:, step]
        _, reward, *_ = pendulum.step(pushed[None])
        total += reward
    seen = (np.stack(each, axis=1) for each in zip(*log, strict=True))
    return total, *seen


def expert(*_):
    """Act on the true state."""
    return control(*pendulum.state)


# %%
# Returns are measured over a hundred fresh episodes, each run twice: with
# all its readings, and with 30 % of them lost. The figure shows the expert
# in the first. Gymnasium's own loop gives the same return for its torques.

EPISODES = range(5000, 5100)
state = np.tile(starting(EPISODES), 2)
arrives = np.concatenate(
    [schedule(100, 200, 0, lost=share) for share in (0.0, 0.3)]
)
experts, readings, _, torques = drive(expert, state, arrives)

alone = gymnasium.make("Pendulum-v1", disable_env_checker=True)
alone.reset(seed=EPISODES[0])
rewards = [alone.step(GREATEST * each[None])[1] for each in torques[0]]
assert np.isclose(sum(rewards), experts[0])

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
# What a student learns from: the first 30 readings of a thousand episodes,
# 30 % lost, and the torque that the expert chose at each. Random pushes
# disturb it meanwhile, so that students see how to recover, too (Laskey et
# al., "DART", 2017). Time is counted in tenths of a second, which puts a
# typical gap near 1 (:doc:`plot_time_scale`).


def lessons(seeds):
    """Episodes of these seeds as a split: 30 readings of each."""
    n, steps = len(seeds), 300
    noise = np.random.default_rng(seeds[0]).normal(size=(n, steps))
    arrives = schedule(n, steps, seeds[0], lost=0.3)
    _, *seen = drive(expert, starting(seeds), arrives, noise)
    at = [np.flatnonzero(row)[:30] for row in arrives]
    x, gap, torque = (each[np.arange(n)[:, None], at] for each in seen)
    return Split(x=x, y=torque[..., None], time_delta=gap)


parts = range(1000), range(1000, 1100), range(2000, 2100)
task = Task("pendulum", *map(lessons, parts))
print(task)

# %%
# What varies, and why this range
# -------------------------------
# What the student remembers. A **wired CfC** of 32 neurons and a **GRU**
# with the gap as an input keep a state. A **feed-forward** net keeps
# nothing: it is a module of ours, which trains like any other
# (:doc:`/howto/your-own-model`). With **two readings** it is given the last
# one as well, and both gaps. All four have about 900 parameters.


class Feedforward(nn.Module):
    """Three layers over the last readings, and the gap before each.

    What it carries from call to call, as a CfC its state, are readings.
    """

    def __init__(self, input_size, output_size, *, readings=1, width=27):
        super().__init__()
        self.readings = readings
        self.layers = nn.Sequential(
            nn.Linear(readings * (input_size + 1), width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, output_size),
        )

    def __call__(self, x, state=None, *, time_delta, mask=None):
        steps, earlier = x.shape[1], self.readings - 1
        seen = mx.concatenate([x, mx.log1p(time_delta)[..., None]], axis=-1)
        before = [seen[:, :1]] * earlier if state is None else [state]
        seen = mx.concatenate([*before, seen], axis=1)
        windows = [seen[:, i : i + steps] for i in range(self.readings)]
        y = self.layers(mx.concatenate(windows, axis=-1))
        carried = seen[:, steps:]
        if mask is not None:  # of one step: a lost reading is not carried
            carried = mx.where(mask[..., None], carried, seen[:, :earlier])
        return y, carried


def feedforward(seed, **settings):
    """A feed-forward net for the task."""
    mx.random.seed(seed)
    return Feedforward(task.input_size, task.output_size, **settings)


wiring = AutoNCP(32, 1, seed=1)
networks = {
    "wired CfC": lambda seed: CfC(**task.sizes, wiring=wiring, seed=seed),
    "GRU": lambda seed: GRU(**task.sizes, hidden_size=15, seed=seed),
    "feed-forward": feedforward,
    "two readings": lambda seed: feedforward(seed, readings=2, width=26),
}
for name, make in networks.items():
    model = make(0)
    counted = sum(each.size for _, each in tree_flatten(model.parameters()))
    counted = getattr(model, "parameter_count", counted)
    print(f"{name}: {counted} parameters")
figure = plots.circuit(wiring.build(task.input_size))

# %%
# The sweep
# ---------
# Each network is trained at two learning rates with five seeds, and keeps
# the rate that imitates better on validation.

SEEDS, RATES, STEPS = range(5), (0.03, 0.1), 400


def students(make):
    """Train a network: five models, at the better rate."""
    models = [make(seed) for _ in RATES for seed in SEEDS]
    fit(
        models,
        task,
        steps=STEPS,
        batch_size=32,
        learning_rate=[rate for rate in RATES for _ in SEEDS],
        seed=[*SEEDS] * len(RATES),
        progress=False,
    )
    errors = evaluate(models, task, "validation")
    errors = np.reshape(errors, (len(RATES), len(SEEDS)))
    best = int(errors.mean(axis=1).argmin())
    print(f"rate {RATES[best]}, error of the torque", end=" ")
    print(interval(errors[best]), "of the greatest")
    return models[best * len(SEEDS) :][: len(SEEDS)]


trained = {}
for name, make in networks.items():
    print(f"{name}:", end=" ")
    trained[name] = students(make)

# %%
# To act, a network is given one reading after another, and carries its
# state from each to the next. Beside the students stands the expert without
# the speed: it takes the difference of two angles for it.


def student(model):
    """The policy of a trained network."""
    state = None

    def policy(reading, gap, arrived):
        nonlocal state
        x, time_delta = mx.array(reading[:, None]), mx.array(gap[:, None])
        y, state = model(
            x.astype(mx.float32),
            state,
            time_delta=time_delta.astype(mx.float32),
            mask=mx.array(arrived[:, None]),
        )
        return np.array(y)[:, 0, 0]

    return policy


def without_speed():
    """The policy of an expert that is told the angle alone."""
    before = None

    def policy(reading, gap, arrived):
        nonlocal before
        angle = np.arctan2(reading[:, 1], reading[:, 0])
        before = angle if before is None else before
        turned = (angle - before + np.pi) % (2 * np.pi) - np.pi
        before = np.where(arrived, angle, before)
        return control(angle, turned / np.maximum(gap * 0.1, STEP))

    return policy


returns = {
    name: np.stack([drive(student(m), state, arrives)[0] for m in models])
    for name, models in trained.items()
}
unaided = drive(without_speed(), state, arrives)[0]
at_rest = drive(lambda *_: 0.0, state, arrives)[0]

# %%
# What happened
# -------------
# Every trained network is a dot: its mean return over the hundred episodes.

halves = {"all": slice(0, 100), "30 % lost": slice(100, 200)}
by_seed = from_scores(
    {
        (name, given): each[:, half].mean(axis=1)
        for name, each in returns.items()
        for given, half in halves.items()
    },
    "controller",
    "readings",
    metric="return",
    higher_is_better=True,
)
# sphinx_gallery_thumbnail_number = 3
figure = plots.sweep(
    by_seed,
    "controller",
    hue="readings",
    split="test",
    baselines={
        "expert, all": experts[halves["all"]].mean(),
        "no torque": at_rest[halves["all"]].mean(),
    },
)

# %%
# One episode with losses: the expert, and the first wired CfC. The dots are
# the readings that the student got.

shown = 100
wired = student(trained["wired CfC"][0])
_, angles, _, torque = drive(wired, state, arrives)
figure = plots.lines(
    seconds,
    {"expert": readings[shown, :, 0], "wired CfC": angles[shown, :, 0]},
    x="seconds",
    y="height of the tip (1 is upright)",
    above={
        "expert": GREATEST * torques[shown],
        "wired CfC": GREATEST * torque[shown],
    },
    above_y="torque (N m)",
)
at, heights = seconds[arrives[shown]], angles[shown, arrives[shown], 0]
figure.axes[-1].plot(at, heights, "o", color="#222222", markersize=3)

# %%
# How sure we are
# ---------------
# Each controller minus the expert, paired by episode; a student's return in
# an episode is the mean over its five models. Above zero a controller is
# better than the expert. These intervals say how another hundred episodes
# would turn out for these models.

for given, half in halves.items():
    by_episode = from_scores(
        {
            "expert": experts[half],
            "expert without speed": unaided[half],
            **{k: r[:, half].mean(axis=0) for k, r in returns.items()},
        },
        "controller",
        seeds=EPISODES,
        metric="return",
        higher_is_better=True,
    )
    compared = compare(by_episode, "controller", "expert")
    print(f"{given}:\n{compared}\n")

# %%
# The second table, drawn: every dot is an episode.

figure = plots.differences(by_episode, "controller", "expert", split="test")

# %%
# Each controller minus the wired CfC, paired by seed. These intervals say
# how another training would turn out.

print(compare(by_seed, "controller", "wired CfC", within="readings"))

# %%
# What to do
# ----------
# * Train for longer than here before you choose a network: raise ``STEPS``
#   until the validation error stays where it is.
# * Compare every network that has a state with a net over the last few
#   readings and their gaps. It is the simplest rival: two readings tell the
#   angle and, roughly, the speed.
# * Judge by returns in fresh episodes, not by the error of the torque: the
#   expert's episodes do not hold the states into which a student's own
#   mistakes lead.
#
# A wired CfC need not be told how much to remember, and its circuit can be
# drawn and followed (:doc:`/models/wirings`).
#
# When this fails
# ---------------
# *Small errors, poor returns*: the student meets states that the expert
# never showed. Push the expert harder, or let it label the states that
# students visit (Ross et al., "DAgger", 2011). *One seed far below the
# others*: choose among seeds by returns in episodes kept for that. *Noisy
# readings*: two of them give a poor speed, so give a feed-forward net more.
# *Gaps longer than in training*: every controller holds its torque for too
# long; the expert itself loses, as the second table shows.

plots.show()
