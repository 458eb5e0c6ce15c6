"""``python -m tests.bench``: how fast training is here, beside JAX, PyTorch, ncps and ports to MLX, all in one run.

What every form computes is compared first. Then each model is trained by processes that take turns of a fraction of a
second, so that anything else the machine does slows all of them equally; a row's ratio is the median over the rounds,
of processor time. Then come sequences of growing length, studies that train next to nothing, one worker and two on the
same study, and four builds of the site. ``--quick`` takes each step once, of small populations on short sequences, and
judges only what is computed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.compare import differences, drawn, train
from tests.bench.models import (
    FORMS,
    LENGTHS,
    MEMBERS,
    MODELS,
    QUICK_MEMBERS,
    QUICK_STEPS,
    forms_of,
    with_members,
    words,
)
from tests.bench.parent import Child, Children, Times, per_model, ratio
from tests.bench.report import (
    TRIALS,
    Row,
    compared,
    failures,
    site_failures,
    site_json,
    site_table,
    table,
    wanted_of,
)
from tests.bench.site import builds
from tests.bench.workers import STUDY, ended
from tests.scale.server import Server

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "docs" / "evidence" / "bench.json"
TEAMS = 3  # times that one worker, then two, end the study
LONG = 5  # turns of each length
POPULATION = 32  # of the studies that train next to nothing
AT_LENGTHS = ("one", "population", "jax map", "jax map by hand")


@dataclass
class Found:
    """What a part of the benchmark gives.

    Attributes:
        rows: Its rows.
        more: What else goes into the record.
        messages: What is wrong, other than a missed bound.
    """

    rows: list[Row]
    more: dict[str, Any]
    messages: list[str]


def training(options: argparse.Namespace) -> Found:
    """Every model in every form; where the time of ours goes."""
    found = Found([], {"models": {}, "profiles": {}}, [])
    native = options.versions["layers in C"] != "off"
    with Children() as children:
        for name in options.models:
            print(f"training {name}: {words(name)}", file=sys.stderr, flush=True)
            forms = forms_of(name, native, options.members)
            model = MODELS[name] | ({"steps": QUICK_STEPS} if options.quick else {})
            with drawn(model, children, options.members) as folder:
                times, computed = train(folder, forms, options.rounds, children, quick=options.quick)
                if not options.quick:
                    children.close()  # each model in processes of its own
                    if MODELS[name]["kind"] == "cfc":
                        found.more["profiles"] |= profiles(folder, name, native)
            found.messages += [f"{name}: {message}" for message in differences(computed)]
            found.rows += compared(name, times, options.members)
            found.more["models"][name] = {
                key: per_model(each, forms[key].members) for key, each in times.items()
            }
    return found


def profiles(folder: str, name: str, native: bool) -> dict[str, Any]:
    """Where the processor time of a step of ours goes, by form and model."""
    size = {key: value for key, value in MODELS[name].items() if key != "kind"}
    found = {}
    for key, form in forms_of(name, native).items():
        if form.kind == "population" and not form.settings:
            child = Child(form.child, native=form.native)
            settings = {**size, "folder": folder, "members": form.members}
            found[f"{key} {name}"] = child.ask(call="profile", settings=settings)
            child.close()
    return found


def lengths(options: argparse.Namespace) -> Found:
    """How time grows with T, at the middle size; and memory with the members of a population."""
    found = Found([], {"lengths": {}}, [])
    all_steps = (50, 100, 200, 1600) if options.quick else LENGTHS
    print(f"training the middle size at T {', '.join(map(str, all_steps))}", file=sys.stderr, flush=True)
    with Children() as children, contextlib.ExitStack() as folders:
        forms = {}
        for steps in all_steps:
            folder = folders.enter_context(drawn({**MODELS["middle"], "steps": steps}, children, options.members))
            for key in AT_LENGTHS:
                form = with_members(FORMS[key], options.members)
                forms[f"{key} T {steps}"] = replace(form, settings={**form.settings, "folder": folder})
            if steps == MODELS["middle"]["steps"]:
                memory = [peak(folder, members) for members in (options.members, 1)]
        count = 1 if options.quick else min(LONG, options.rounds)
        times, computed = train("", forms, count, children, quick=options.quick)
    for steps in all_steps:
        own = {key: computed[f"{key} T {steps}"] for key in AT_LENGTHS}
        found.messages += [f"T {steps}: {message}" for message in differences(own)]
        found.more["lengths"][str(steps)] = {
            key: per_model(times[f"{key} T {steps}"], forms[f"{key} T {steps}"].members)["cpu"] for key in AT_LENGTHS
        }
    for key, long, short in (("length", 1600, 50), ("cliff", 200, 100)):
        above, below = (times[f"one T {steps}"].cpu for steps in (long, short))
        medians = statistics.median(above), statistics.median(below)
        found.rows.append(Row(key, *medians, *ratio(above, below), "one", "one"))
    many, one = memory
    found.rows.append(Row("memory", many, one, many / one, None, "population", "one", "MB"))
    return found


def peak(folder: str, members: int) -> float:
    """Megabytes of a training step, in a process of its own."""
    child = Child("ncps_mlx_cases")
    found: float = child.ask(call="peak", settings={"folder": folder, "members": members})
    child.close()
    return found


def study(options: argparse.Namespace) -> Found:
    """What a study takes beside training; and how long planning takes in PostgreSQL."""
    trials = {"fewer": 40, "most": 160} if options.quick else TRIALS
    told = {}
    for name, count in trials.items():
        print(f"a study of {count} trials", file=sys.stderr, flush=True)
        child = Child("ncps_mlx_cases")
        told[name] = child.ask(call="overhead", settings={"trials": count, "population": POPULATION})
        child.close()
    most, fewer = (told[name]["all"] for name in ("most", "fewer"))
    rows = [Row("trial", most, None, most), Row("trials", most, fewer, most / fewer)]
    seconds = planned(40 if options.quick else TRIALS["fewer"])
    if seconds is not None:
        rows.append(Row("planning", seconds, None, seconds, unit="s"))
    return Found(rows, {"trials": {name: {"count": trials[name], **told[name]} for name in trials}}, [])


def planned(trials: int) -> float | None:
    """Seconds that planning takes in PostgreSQL on loopback; ``None`` where there is no server or no driver."""
    if importlib.util.find_spec("psycopg") is None:
        return None
    try:
        server = Server()
    except RuntimeError:
        return None
    with server:
        child = Child("ncps_mlx_cases")
        url = server.url.replace("postgresql://", "postgresql+psycopg://")
        seconds: float = child.ask(call="planning", settings={"url": url, "trials": trials})
        child.close()
    return seconds


def workers(options: argparse.Namespace) -> Found:
    """How much sooner two workers end a study, in seconds by the clock."""
    child = Child("ncps_mlx_cases")
    times = {count: Times() for count in (1, 2)}
    idle = []
    settings = {**STUDY, "rates": 2, "steps": 5} if options.quick else STUDY
    print(f"workers: {settings}", file=sys.stderr, flush=True)
    for i in range(1 if options.quick else TEAMS):
        for count in sorted(times, reverse=i % 2 == 1):
            with tempfile.TemporaryDirectory() as folder:
                file = str(Path(folder) / "study.db")
                child.ask(call="plan", settings={"file": file, **settings})
                times[count].add(ended(file, count))
                idle.append(ended(file, 1)[0])
    child.close()
    two, one = times[2].clock, times[1].clock
    row = Row("workers", statistics.median(two), statistics.median(one), *ratio(one, two), unit="s")
    busy = {str(count): statistics.median(each.cpu) for count, each in times.items()}
    return Found([row], {"study": settings, "idle": statistics.median(idle), "busy seconds": busy}, [])


def site(options: argparse.Namespace) -> Found:
    """How long the site's builds take."""
    with tempfile.TemporaryDirectory() as folder:
        found = builds(Path(folder), options.nox)
    print(site_table(found))
    return Found([], {"site": site_json(found)}, site_failures(found))


PARTS: dict[str, tuple[Callable[[argparse.Namespace], Found], tuple[str, ...]]] = {
    "training": (training, ("jax", "jit", "batched", "ncps", "vmap", "port")),
    "lengths": (lengths, ("length", "cliff", "memory")),
    "study": (study, ("trial", "trials", "planning")),
    "workers": (workers, ("workers",)),
    "site": (site, ()),
}
"""The parts of the benchmark, and the first words of the keys of their rows."""


def machine() -> dict[str, Any]:
    """The machine, without its name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []

    def told(what: str) -> str | None:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith(what)), None)

    named = told("model name") or platform.processor() or platform.machine()
    model = told("model\t")
    return {
        "processor": named if model is None else f"{named}, family {told('cpu family')}, model {model}",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def facts() -> dict[str, str]:
    """The versions of everything.

    Raises:
        RuntimeError: The port runs with another MLX or BLAS than this library.
    """
    told: dict[str, dict[str, str]] = {}
    for name in ("ncps_mlx_cases", "ncps_cases", "jax_cases", "port_cases"):
        child = Child(name)
        told[name] = child.ask(facts=True)
        child.close()
    port, library = told.pop("port_cases"), told["ncps_mlx_cases"]
    if port != {name: library[name] for name in port}:
        raise RuntimeError(f"The port has {port}, this library {library}: nothing can be compared.")
    return {name: version for each in told.values() for name, version in each.items()}


def revision() -> str:
    """The last commit of the library, with a plus sign if its files differ from it; empty without git."""

    def git(*command: str) -> str:
        done = subprocess.run(["git", *command, "--", "ncps_mlx"], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("log", "-1", "--format=%h") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def write(path: Path, parts: dict[str, Any]) -> None:
    """Put parts into the record of this machine; other parts, and other machines, stay."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    own = machine()
    entry = next((each for each in record if each["machine"] == own), None)
    if entry is None:
        entry = {"machine": own, "parts": {}}
        record.append(entry)
    entry["parts"] |= parts
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="each step once, no site: is everything computed right?")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each form (default: 15)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="run only these (default: all)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="train only these")
    parser.add_argument("--write", type=Path, nargs="?", const=RECORD, help=f"put it into a JSON file ({RECORD.name})")
    parser.add_argument("--nox", default=sys.executable, help="a Python that has nox (default: this one)")
    options = parser.parse_args()
    options.members = QUICK_MEMBERS if options.quick else MEMBERS
    if options.quick:
        options.rounds = 1
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # it compiles for longer than it computes
    options.parts = options.parts or [name for name in PARTS if not (options.quick and name == "site")]
    return options


def main() -> int:
    """Run the command line; return 1 if a form computes something else, or, unless quick, a Must is missed."""
    options = arguments()
    options.versions = facts()
    messages: list[str] = []
    for name in options.parts:
        busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # before we add to it
        run, kinds = PARTS[name]
        found = run(options)
        print(table(found.rows, judged=not options.quick), flush=True)
        messages += found.messages
        if not options.quick:
            keys = wanted_of(kinds, options.models)
            if not any(row.key == "planning" for row in found.rows):
                keys = [key for key in keys if key != "planning"]  # no server here
            messages += failures(found.rows, keys)
        if options.write:
            part = {
                "revision": revision(),
                "quick": options.quick,
                "rounds": options.rounds,
                "busy": busy,
                "versions": options.versions,
                "rows": [row.as_json() for row in found.rows],
                **found.more,
            }
            write(options.write, {name: part})
    if options.quick:
        sizes = f"populations of {QUICK_MEMBERS} instead of {MEMBERS}, {QUICK_STEPS} time steps, small studies"
        print(f"Quick: each step was taken once; {sizes}. Times are no more than a hint.")
    for message in messages:
        print(message, file=sys.stderr)
    return int(bool(messages))


if __name__ == "__main__":
    sys.exit(main())
