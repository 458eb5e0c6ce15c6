"""``python -m tests.bench``: how fast training is here, in ncps on PyTorch, and in ports to MLX, all in one run.

Each size is trained by processes that take turns of a few steps, so that anything else the machine does slows all of
them equally; a row's ratio is the median over the rounds. Then one worker and two finish the same study, in turns; and
the site is built four times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.parent import Child, Times, ratio, rounds
from tests.bench.report import Row, failures, site_failures, site_json, site_table, table
from tests.bench.site import builds
from tests.bench.workers import STUDY, ended

SIZES = {
    "small": {"inputs": 1, "hidden": 16, "backbone": 32, "steps": 50, "batch": 32},
    "middle": {"inputs": 10, "hidden": 32, "backbone": 64, "steps": 50, "batch": 32},
    "large": {"inputs": 10, "hidden": 64, "backbone": 128, "steps": 100, "batch": 32},
}
MEMBERS = 16
PORTED = ("small", "middle")  # sizes at which ports take part
DESIGNS = {"port": "full", "lean": "lean"}  # by the rows' first word
TEAMS = 3  # times that one worker, then two, end the study
TURN = {"small": 12, "middle": 12, "large": 3}  # steps: enough to time, few enough for the same load on the machine
SWEPT = {"small": 3, "middle": 3, "large": 1}  # of a population, which takes longer


def compare(name: str, count: int) -> list[Row]:
    """Rows of one size: one model, variants of it, a population, each against ncps; the last against ports too."""
    size, turn = SIZES[name], TURN[name]
    child, others = Child("ncps_mlx_cases"), {"ncps": Child("ncps_cases")}
    others["ncps"].ask(make="ncps", kind="step", settings=size)
    for key, design in DESIGNS.items() if name in PORTED else ():
        others[key] = Child("port_cases")
        others[key].ask(make=key, kind="step", settings={**size, "design": design})
    cases = {key: (other, turn) for key, other in others.items()}
    for key, kind, settings, steps in (
        ("one", "population", {}, turn),
        ("plain", "plain", {}, turn),
        ("irregular", "population", {"irregular": True}, turn),
        ("sweep", "population", {"members": MEMBERS}, SWEPT[name]),
    ):
        child.ask(make=key, kind=kind, settings={**size, **settings})
        cases[key] = (child, steps)
    times = rounds(cases, count)
    for each in (child, *others.values()):
        each.close()
    rows = [
        against(f"{key} {name}", each, times["ncps"], MEMBERS if key == "sweep" else 1)
        for key, each in times.items()
        if key not in others
    ]
    return rows + [
        against(f"{key} {name}", times["sweep"], times[key], MEMBERS) for key in others if key in DESIGNS
    ]


def against(key: str, measured: Times, reference: Times, members: int) -> Row:
    """A row: the reference over what was measured, per model."""
    per_model = [each / members for each in measured.clock]
    times, quartiles = ratio(reference.clock, per_model)
    return Row(
        key=key,
        value=statistics.median(per_model),
        reference=statistics.median(reference.clock),
        ratio=times,
        quartiles=quartiles,
        cpu=(statistics.median(measured.cpu) / members, statistics.median(reference.cpu)),
    )


def scaling(count: int) -> list[Row]:
    """Rows on how time grows with T, and memory with the members of a population."""
    child = Child("ncps_mlx_cases")
    size = SIZES["middle"]
    short, long = 50, 400
    for steps in (short, long):
        child.ask(make=str(steps), kind="population", settings={**size, "steps": steps})
    times = rounds({"50": (child, 8), "400": (child, 1)}, count)
    slow, quick = (statistics.median(times[key].clock) for key in ("400", "50"))
    rows = [Row("length", slow, quick, *ratio(times["400"].clock, times["50"].clock))]
    many, one = (
        child.ask(call="peak", settings={**size, "members": members}) / 2**20 for members in (MEMBERS, 1)
    )
    rows.append(Row("memory", many, one, many / one))
    child.close()
    return rows


def teams(count: int) -> tuple[Row, float]:
    """The row on two workers, in seconds; and how long a worker takes that finds everything done."""
    child = Child("ncps_mlx_cases")
    times = {workers: Times() for workers in (1, 2)}
    idle = []
    for i in range(count):
        for workers in sorted(times, reverse=i % 2 == 1):
            with tempfile.TemporaryDirectory() as folder:
                file = str(Path(folder) / "study.db")
                child.ask(call="plan", settings={"file": file, **STUDY})
                times[workers].add(ended(file, workers))
                idle.append(ended(file, 1)[0])
    child.close()
    return against("workers", times[2], times[1], 1), statistics.median(idle)


def machine() -> dict[str, Any]:
    """The machine, without its name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def facts() -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """The versions; and profiles of one model's step and of a population's, by ``one SIZE`` and ``sweep SIZE``.

    Raises:
        RuntimeError: The port runs with another MLX or BLAS than this library.
    """
    children = {name: Child(name) for name in ("ncps_mlx_cases", "ncps_cases", "port_cases")}
    told = {name: child.ask(facts=True) for name, child in children.items()}
    profiles = {
        f"{kind} {name}": children["ncps_mlx_cases"].ask(call="profile", settings={**size, "members": members})
        for kind, members in (("one", 1), ("sweep", MEMBERS))
        for name, size in SIZES.items()
    }
    for child in children.values():
        child.close()
    port, library = told["port_cases"], told["ncps_mlx_cases"]
    if port != {name: library[name] for name in port}:
        raise RuntimeError(f"The port has {port}, this library {library}: nothing can be compared.")
    return library | told["ncps_cases"], profiles


def main() -> int:
    """Run the command line; return 1 if a Must is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="turns of each case (default: 25)")
    parser.add_argument("--write", type=Path, help="write the result as JSON")
    parser.add_argument("--nox", default=sys.executable, help="a Python that has nox (default: this one)")
    options = parser.parse_args()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # before we add to it
    versions, profiles = facts()
    rows: list[Row] = []
    for name in SIZES:
        print(f"timing {name}: {SIZES[name]}", file=sys.stderr, flush=True)
        rows += compare(name, options.rounds)
    rows += scaling(options.rounds)
    print(f"timing workers: {STUDY}", file=sys.stderr, flush=True)
    workers, idle = teams(TEAMS)
    rows.append(workers)
    with tempfile.TemporaryDirectory() as folder:
        site = builds(Path(folder), options.nox)
    result = {
        "machine": machine(),
        "busy": busy,
        "versions": versions,
        "sizes": SIZES,
        "members": MEMBERS,
        "rounds": options.rounds,
        "study": STUDY,
        "rows": [row.as_json() for row in rows],
        "profiles": profiles,
        "idle": idle,
        "site": site_json(site),
    }
    print(table(rows))
    print(site_table(site))
    if options.write:
        options.write.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    missed = failures(rows) + site_failures(site)
    for message in missed:
        print(message, file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
