"""What the record of the session bench says: the tables and numbers of the performance page, none of them typed.

The record has an entry for each machine; pages name them by their place in it, from 1.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncps_mlx import plots
from ncps_mlx.plots._figure import COLOURS, MARKERS, SMALL, WIDTH, describe, figure
from ncps_mlx.plots._told import tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "bound",
    "copied",
    "growth",
    "less",
    "machine",
    "missed",
    "ms",
    "operations",
    "peer",
    "profile",
    "profile_chart",
    "ratios_chart",
    "recorded_on",
    "rows",
    "share",
    "site",
    "study",
    "times",
    "times_chart",
]

NAMES = {
    "jax": "a population of 16 beside the best in JAX",
    "jit": "one model beside one in JAX",
    "batched": "a population of 16 beside PyTorch, batched",
    "ncps": "a population of 16 beside ncps, one after another",
    "vmap": "a population of 16 without a C compiler beside torch.func.vmap over ncps",
    "port": "a population of 16 beside the full port",
    "lean": "a population of 16 beside the lean port",
    "workers": "two workers over one",
    "length": "a step at T = 1600 over one at T = 50, middle CfC",
    "cliff": "a step at T = 200 over one at T = 100, middle CfC",
    "memory": "peak memory of a population of 16 over that of one model",
    "trial": "a trial without training, in a SQLite study of 10,000",
    "trials": "the same over one in a study of 1,000",
    "planning": "planning 1,000 trials in PostgreSQL on loopback",
}
"""What a row compares, by the first word of its key."""

MODELS = {
    "small": "small CfC",
    "middle": "middle CfC",
    "large": "large CfC",
    "ncp-ltc": "LTC, AutoNCP(16, 4)",
    "full-ltc": "LTC, FullyConnected(32)",
    "dense-ltc": "dense LTC",
}
"""In words, by the names of the record."""

FORMS = {
    "population": "here: population of 16",
    "population without C": "here: population of 16, no C compiler",
    "one": "here: one model",
    "one without C": "here: one model, no C compiler",
    "plain": "here: one model, mlx.optimizers",
    "irregular": "here: one model, varying time steps",
    "jax": "JAX: jit",
    "jax map": "JAX: lax.map of 16",
    "jax vmap": "JAX: vmap of 16",
    "jax by hand": "JAX: jit, hand-written gradient",
    "jax map by hand": "JAX: lax.map of 16, hand-written gradient",
    "jax vmap by hand": "JAX: vmap of 16, hand-written gradient",
    "torch batched": "PyTorch: 16 as one batched model",
    "ncps vmap": "PyTorch: vmap over 16 of ncps",
    "ncps": "PyTorch: ncps",
    "port": "MLX: the full port",
    "lean": "MLX: the lean port",
}
"""The forms in words, in the order in which they are shown."""


@cache
def record(name: str = "bench") -> Any:
    """The record of the session, a list of machines; or ``port``, of tests.bench.published."""
    return json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))


def parts(number: str) -> dict[str, Any]:
    """The parts recorded on a machine."""
    found: dict[str, Any] = record()[int(number) - 1]["parts"]
    return found


def all_rows(number: str) -> list[dict[str, Any]]:
    """All rows of a machine."""
    return [row for part in parts(number).values() for row in part["rows"]]


def met(row: dict[str, Any], name: str) -> bool:
    """Whether a row reaches its ``"must"`` or its ``"goal"``."""
    sign = 1 if row["wanted"]["least"] else -1
    return bool(sign * row["ratio"] >= sign * row["wanted"][name])


def verdict_of(must: bool, goal: bool) -> str:
    """What a bound and a goal make of a figure."""
    return "goal met" if goal else "must met" if must else "missed"


def bound(row: dict[str, Any]) -> str:
    """What is wanted of a row, and whether it is met."""
    wanted = row["wanted"]
    if wanted is None:
        return ""
    verdict = verdict_of(*(met(row, name) for name in ("must", "goal")))
    return f"{'≥' if wanted['least'] else '≤'} {wanted['must']:g}, goal {wanted['goal']:g}: {verdict}"


def named(row: dict[str, Any]) -> str:
    """A row in words."""
    kind, _, model = row["key"].partition(" ")
    return NAMES[kind] + (f": {MODELS[model]}" if model else "")


def rows(number: str) -> list[list[str]]:
    """Every comparison on a machine."""
    made = [["", "here", "beside", "ratio (quartiles)", "wanted"]]
    for row in all_rows(number):
        unit = row["unit"]
        other = "" if row["reference"] is None else f"{row['reference']:.3g} {unit}"
        if row["beside"].startswith("jax"):
            other += f" ({FORMS[row['beside']]})"
        low, high = row["quartiles"] or (None, None)
        spread = "" if low is None else f" ({low:.3g} to {high:.3g})"
        ratio = "" if row["reference"] is None else f"{row['ratio']:.3g}{spread}"
        made.append([named(row), f"{row['value']:.3g} {unit}", other, ratio, bound(row)])
    return made


def ratios_chart(number: str) -> Figure:
    """How many times less processor time a model takes here than beside it, size by size: bars with their quartiles."""
    shown = [row for row in all_rows(number) if row["key"].partition(" ")[2]]
    sizes = list(dict.fromkeys(row["key"].partition(" ")[2] for row in shown))
    panels = {size: [row for row in shown if row["key"].partition(" ")[2] == size] for size in sizes}
    counts = [len(rows_of_size) for rows_of_size in panels.values()]
    size = (WIDTH, 0.8 + sum(0.75 + 0.46 * count for count in counts))
    ratios = {"height_ratios": [0.75 + 0.46 * count for count in counts]}
    points: list[dict[str, Any]] = []
    with figure(len(sizes), 1, size=size, sharex=True, gridspec_kw=ratios) as (fig, axes):
        for ax, (name, of_size) in zip(axes, panels.items(), strict=True):
            for i, row in enumerate(of_size):
                ratio, (low, high) = row["ratio"], row["quartiles"]
                bar = ax.barh(i, ratio - 1, left=1, height=0.62, color=COLOURS[0], alpha=0.85)
                drawn = ax.errorbar(
                    ratio, i, xerr=[[ratio - low], [high - ratio]], color="#222222", marker="|", ms=9, capsize=3,
                    linestyle="none", linewidth=1.2,
                )  # fmt: skip
                for artist in (drawn, bar):
                    tell(artist, f"{FORMS[row['here']]}, {MODELS[name]}", x=f"{ratio:.3g} [{low:.3g}, {high:.3g}]")
                ax.annotate(
                    f"{ratio:.3g}", (max(ratio, high), i), (5, 0), textcoords="offset points", va="center",
                    fontsize=SMALL,
                )  # fmt: skip
                beside = FORMS[row["beside"]]
                points.append(
                    {"model": MODELS[name], "here": FORMS[row["here"]], "beside": beside}
                    | {"ratio": ratio, "low": low, "high": high}
                )
            ax.axvline(1, color="#222222", linewidth=1.4)
            ax.set_yticks(range(len(of_size)), [_pair(row) for row in of_size], linespacing=0.9)
            ax.set_ylim(len(of_size) - 0.5, -0.5)
            ax.grid(visible=False, axis="y")
            ax.set_title(MODELS[name])
        axes[0].set_xscale("log")
        axes[-1].set_xlabel("times less processor time here (quartiles)")
        axes[-1].set_xlim(min(0.9, *(point["low"] for point in points)), 2 * max(point["high"] for point in points))
        axes[-1].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    told = [f"{each['here']}, {each['model']}, beside {each['beside']} {each['ratio']:.3g}" for each in points]
    alt = f"Times less processor time per model and step than beside it, on {machine(number)}: {'; '.join(told)}."
    return describe(fig, alt, kind="ratios", x="beside", y="ratio", points=points, summary=points)


def _pair(row: dict[str, Any]) -> str:
    """What is beside, in a line or two beside an axis; and what is here where it is not the population."""
    here = {"population": "", "one": "\n(one model here)"}.get(row["here"], "\n(here no C compiler)")
    return _lines(FORMS[row["beside"]], 26 if here else 22) + here


def _lines(name: str, width: int = 22) -> str:
    """A name in lines beside an axis."""
    return textwrap.fill(name, width, break_on_hyphens=False)


def times(number: str) -> list[list[str]]:
    """Processor milliseconds per model and step, of every form and model."""
    models = parts(number)["training"]["models"]
    made = [["", *(MODELS[name] for name in models)]]
    for form, name in FORMS.items():
        cells = [f"{found[form]['cpu']:.3g}" if form in found else "" for found in models.values()]
        if any(cells):
            made.append([name, *cells])
    return made


def times_chart(number: str) -> Figure:
    """The same as a figure: a line for each form, a mark for each model."""
    models = parts(number)["training"]["models"]
    forms = [form for form in FORMS if any(form in found for found in models.values())]
    cost = {name: {form: each["cpu"] for form, each in found.items()} for name, found in models.items()}
    with figure(size=(WIDTH, 1.6 + 0.4 * len(forms))) as (fig, (ax,)):
        for i, (name, found) in enumerate(cost.items()):
            shown = [form for form in forms if form in found]
            ax.plot(
                [found[form] for form in shown], [forms.index(form) for form in shown],
                linestyle="", color=COLOURS[i], marker=MARKERS[i], label=MODELS[name],
            )  # fmt: skip
        ax.set_yticks(range(len(forms)), [_lines(FORMS[form]) for form in forms], linespacing=0.9)
        ax.invert_yaxis()
        ax.set(xscale="log", xlabel="processor ms per model and step")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        fig.legend(loc="outside upper left", ncols=2)
    told = []
    for name, found in cost.items():
        quickest = min(found, key=found.__getitem__)
        told.append(
            f"{MODELS[name]} from {found[quickest]:.2g} ms ({FORMS[quickest]}) to {max(found.values()):.3g} ms"
        )
    points = [
        {"model": MODELS[name], "form": FORMS[form], "ms": value}
        for name, found in cost.items()
        for form, value in found.items()
    ]
    alt = f"Processor time per model and training step on {machine(number)}: {'; '.join(told)}."
    return describe(fig, alt, kind="times", x="form", y="ms", points=points, summary=points)


def growth(number: str) -> Figure:
    """How a step of the middle size grows with the length of the sequences."""
    found = parts(number)["lengths"]["lengths"]
    at = [int(steps) for steps in found]
    forms = [form for form in FORMS if all(form in each for each in found.values())]
    values = {FORMS[form]: [found[str(steps)][form] for steps in at] for form in forms}
    label = "processor ms per model and step"
    return plots.lines(at, values, x="time steps T", y=label, log_x=True, log_y=True)


def copied(design: str, name: str) -> str:
    """How long our copy of a port takes at a size, as a share of its published code."""
    return f"{100 * record('port')[design]['sizes'][name]['ratio']:.0f} %"


def peer(design: str) -> str:
    """The repository and the commit of a port's published code."""
    return "{repository} at {revision:.7}".format(**record("port")[design])


def study(number: str) -> str:
    """The study that the workers end."""
    text = "{rates} learning rates with {seeds} seeds each, {steps} steps, populations of {population}"
    return text.format(**parts(number)["workers"]["study"])


BUILDS = {
    "cold": "the first build, executing everything",
    "again": "again, nothing changed",
    "prose": "the prose of a page, a script, a notebook and the README changed",
    "library": "a line of code in the library changed",
    "script": "the slowest gallery script of the first build",
}
"""What is timed of the site."""


def site(number: str) -> list[list[str]]:
    """How long the site's builds take, and what they execute."""
    rules = {"again": "nothing executed", "prose": "nothing executed", "library": "all executed"}
    table = [["", "took", "programs executed", "wanted"]]
    for each in parts(number)["site"]["site"]:
        key, wanted, executed = each["key"], each["wanted"], each["executed"]
        said = [rules[key]] if key in rules else []
        if wanted is not None:
            verdict = verdict_of(*(each["seconds"] <= wanted[name] for name in ("must", "goal")))
            said.append(f"≤ {wanted['must']:.0f} s, goal {wanted['goal']:.0f} s: {verdict}")
        count = "1" if executed is None else str(len(executed))
        table.append([BUILDS[key], f"{each['seconds']:.1f} s", count, "; ".join(said)])
    return table


HATCHES = ("", "//", "..", "xx")
PROFILED = {
    "graph": "building the graph",
    "handing": "handing it over",
    "computing": "MLX's worker",
    "in C": "layers in C",
    "least": "at least, in MLX",
}
"""The columns of a profile."""


def profile(number: str) -> list[list[str]]:
    """Where the processor time of a step goes, per model."""
    made = [["", *PROFILED.values(), "operations"]]
    for key, each in parts(number)["training"]["profiles"].items():
        form, _, name = key.rpartition(" ")
        spans = [f"{each[part]:.2f} ms" if each.get(part) else "" for part in PROFILED]
        if each.get("in C"):
            spans[-1] = ""  # a bound on what MLX computes, not C
        made.append([f"{FORMS[form]}, {MODELS[name]}", *spans, str(each["operations"])])
    return made


def profile_chart(number: str) -> Figure:
    """Where the processor time of a step goes in one model and in each of a population, where layers run in C."""
    parts_of_step = {part: PROFILED[part] for part in ("in C", "computing", "handing", "graph")}
    found = {
        key: each for key, each in parts(number)["training"]["profiles"].items() if each.get("in C")
    }
    names = [f"{FORMS[form]}, {MODELS[name]}" for form, _, name in (key.rpartition(" ") for key in found)]
    points, told = [], []
    with figure(size=(WIDTH, 1.5 + 0.45 * len(found))) as (fig, (ax,)):
        ends = [0.0] * len(found)
        for colour, hatch, (part, said) in zip(COLOURS, HATCHES, parts_of_step.items(), strict=False):
            spans = [each[part] for each in found.values()]
            ax.barh(range(len(found)), spans, left=ends, color=colour, hatch=hatch, edgecolor="white", label=said)
            ends = [end + span for end, span in zip(ends, spans, strict=True)]
            points += [{"form": name, "part": said, "ms": span} for name, span in zip(names, spans, strict=True)]
        ax.set_yticks(range(len(found)), [_lines(name) for name in names], linespacing=0.9)
        ax.invert_yaxis()
        ax.set(xlabel="processor ms per model and step")
        fig.legend(loc="outside upper left", ncols=2)
    for name, each, end in zip(names, found.values(), ends, strict=True):
        told.append(f"{name}: {end:.2g} ms, {each['in C']:.2g} of them in C, {each['graph']:.2g} the graph")
    alt = f"Where the processor time of a training step goes, per model, on {machine(number)}. {'; '.join(told)}."
    return describe(fig, alt, kind="profile", x="form", y="ms", points=points, summary=points)


def ms(number: str, name: str, form: str) -> str:
    """Processor milliseconds per model and step of a form."""
    return f"{parts(number)['training']['models'][name][form]['cpu']:.2g} ms"


def less(number: str, name: str, form: str, than: str) -> str:
    """How many times less a form takes than another: as the comparisons say it, of others by their times."""
    found = parts(number)["training"]["models"][name]
    compared = [
        row["ratio"] for row in all_rows(number)
        if row["key"].partition(" ")[2] == name and (row["here"], row["beside"]) == (form, than)
    ]  # fmt: skip
    ratio = compared[0] if compared else found[than]["cpu"] / found[form]["cpu"]
    return f"{ratio:.3g} times"


def computing(each: dict[str, float]) -> tuple[float, float]:
    """How much of a step is computing, in MLX and in C, and the step: milliseconds per model."""
    at_work = each["computing"] + each.get("in C", 0.0)
    return at_work, each["graph"] + each["handing"] + at_work


def missed(number: str) -> list[list[str]]:
    """The goals that a machine's record misses, each with what stands between.

    Raises:
        KeyError: Nothing explains a goal that is missed.
    """
    made = [["goal missed", "reached", "goal", "what stands between"]]
    for row in all_rows(number):
        if row["wanted"] is not None and not met(row, "goal"):
            kind = row["key"].partition(" ")[0]
            reached, goal = f"{row['ratio']:.3g}", f"{row['wanted']['goal']:g}"
            made.append([named(row), reached, goal, REASONS[kind](number, row)])
    for each in parts(number).get("site", {"site": []})["site"]:
        if each["wanted"] is not None and each["seconds"] > each["wanted"]["goal"]:
            name, goal = each["key"], each["wanted"]["goal"]
            made.append([BUILDS[name], f"{each['seconds']:.0f} s", f"{goal:.0f} s", of_site(number, name)])
    return made if len(made) > 1 else [*made, ["none", "", "", ""]]


def of_one(number: str, row: dict[str, Any]) -> str:
    """Why one model is no quicker."""
    name = row["key"].partition(" ")[2]
    found = parts(number)["training"]["profiles"].get(f"one {name}")
    population = parts(number)["training"]["models"][name]["population"]["cpu"]
    shared = f"In a population of 16 a model takes {population:.2g} ms instead of {row['value']:.2g}: it shares that."
    if found is None:
        return f"One model pays alone for building the graph and for handing it over. {shared}"
    return (
        f"{share(number, name)} of the step is computing. The rest builds the graph in Python and hands "
        f"{found['operations']} operations to the worker. {shared}"
    )


def of_population(number: str, row: dict[str, Any]) -> str:
    """Why a population is no quicker."""
    name = row["key"].partition(" ")[2]
    found = parts(number)["training"]["profiles"].get(f"{row['here']} {name}")
    if found is None:
        return f"A step takes {row['value']:.2g} ms here for each model, {row['reference']:.2g} ms there."
    at_work, total = computing(found)
    text = f"Per model, {at_work:.2g} of {total:.2g} ms are computing"
    if found.get("in C"):
        return f"{text}, {found['in C']:.2g} of them in C; the rest builds graphs in Python and hands them over."
    return f"{text}. MLX's functions and products alone take {found['least']:.2g} ms."


def of_workers(number: str, row: dict[str, Any]) -> str:
    """Why two workers do not halve the time."""
    part = parts(number)["workers"]
    idle, busy = part["idle"], part["busy seconds"]
    return (
        f"Each worker takes {idle:.1f} s to start and to open its study; less that, the ratio would be "
        f"{(row['reference'] - idle) / (row['value'] - idle):.2f}. The busier of two takes {busy['2']:.1f} s of "
        f"processor time, one alone {busy['1']:.1f} s: two share memory and caches, and the last population may "
        "leave one waiting."
    )


def of_length(number: str, _: dict[str, Any]) -> str:
    """Why long sequences take more than their share."""
    found = parts(number)["lengths"]["lengths"]
    each = [f"{1e3 * forms['one'] / int(steps):.0f} µs at T = {steps}" for steps, forms in found.items()]
    return f"A reading takes {', '.join(each)}: what the gradient needs no longer fits the caches."


def of_memory(_: str, row: dict[str, Any]) -> str:
    """Why a population takes more than its members' share."""
    return f"A member takes {row['value'] / 16:.1f} MB, a model alone {row['reference']:.1f} MB."


def of_study(number: str, _: dict[str, Any]) -> str:
    """Why a trial costs more than nothing."""
    found = parts(number)["study"]["trials"].values()
    each = [
        f"in a study of {one['count']:,} trials, {one['planning']:.2g} of {one['all']:.3g} ms plan it" for one in found
    ]
    return f"Of each trial, {'; '.join(each)}. The rest asks the storage for it, trains one step and stores the result."


def of_planning(_: str, row: dict[str, Any]) -> str:
    """Why planning takes its time."""
    return f"Each trial takes {1e3 * row['value'] / 1000:.1f} ms on its way to the server and into its tables."


def of_site(number: str, key: str) -> str:
    """Why a build of the site is no quicker."""
    if key == "script":
        (scripts,) = (each["executed"] for each in parts(number)["site"]["site"] if each["key"] == "cold")
        name = max((name for name in scripts if name.startswith("gallery/")), key=scripts.__getitem__)
        return f"{name} trains what its comparison needs, on one of two cores."
    if key == "again":
        return (
            "Three processes start, Sphinx is imported with its extensions, and digests of all that an output depends "
            "on are compared; nothing is executed."
        )
    (programs,) = (each["executed"] for each in parts(number)["site"]["site"] if each["key"] == "cold")
    return (
        f"{len(programs)} programs take {sum(programs.values()):.0f} s, two at a time; the rest is the examples of "
        "docstrings, Sphinx itself and the tests of the built site."
    )


REASONS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "jit": of_one,
    "jax": of_population,
    "batched": of_population,
    "ncps": of_population,
    "vmap": of_population,
    "port": of_population,
    "workers": of_workers,
    "length": of_length,
    "cliff": of_length,
    "memory": of_memory,
    "trial": of_study,
    "trials": of_study,
    "planning": of_planning,
}
"""By the first word of a row's key."""


def share(number: str, name: str) -> str:
    """How much of one model's step is computing, in per cent of its processor time."""
    at_work, total = computing(parts(number)["training"]["profiles"][f"one {name}"])
    return f"{100 * at_work / total:.0f} %"


def operations(number: str, name: str) -> str:
    """Operations in a step's graph."""
    return str(parts(number)["training"]["profiles"][f"one {name}"]["operations"])


def machine(number: str) -> str:
    """The machine: no figure is shown without it."""
    return "{processor}, {cores} cores, {system}".format(**record()[int(number) - 1]["machine"])


def recorded_on(number: str) -> str:
    """The machine, the versions, and how busy it was, of the part on training."""
    part = parts(number)["training"]
    versions = ", ".join(f"{name} {version}" for name, version in part["versions"].items())
    said = [machine(number), versions, f"{part['rounds']} rounds"]
    if part["revision"]:
        said.append(f"the library of commit {part['revision']}")
    if part["busy"] is not None:
        said.append(f"{part['busy']:.1f} other threads wanted its cores at the start")
    if part["quick"]:
        said.append("a quick run: each step was timed once, which is good for an order of magnitude")
    return "; ".join(said)
