"""``python -m tests.bench.published FULL LEAN``: copies of two ports' designs against their published code.

FULL and LEAN are checkouts of the repositories in :data:`tests.bench.peers.PEERS`. Run it when a copy changes; the
performance page shows what it records, and a copy must be within a tenth.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from tests.bench.models import MODELS
from tests.bench.parent import Child, ratio, rounds
from tests.bench.peers import PEERS

PORTED = ("small", "middle")  # sizes at which they are compared
STEPS = 3  # of a turn


def compare(design: str, folder: Path, name: str, count: int) -> dict[str, Any]:
    """Processor time of a copy and of its model, at one size, in turns."""
    copy, published = Child("port_cases"), Child("port_cases")
    size = {key: value for key, value in MODELS[name].items() if key != "kind"}
    settings = {**size, "design": design}
    copy.ask(make="copy", kind="copied", settings=settings)
    published.ask(make="published", kind="published", settings={**settings, "folder": str(folder.resolve())})
    times = rounds({"copy": (copy, STEPS), "published": (published, STEPS)}, count)
    for child in (copy, published):
        child.close()
    middle, quartiles = ratio(times["copy"].cpu, times["published"].cpu)
    medians = {key: statistics.median(each.cpu) for key, each in times.items()}
    return {**medians, "ratio": middle, "quartiles": quartiles}


def main() -> None:
    """Time both designs at each size."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.published")
    for design, peer in PEERS.items():
        parser.add_argument(design, type=Path, help=f"a checkout of {peer.repository}")
    parser.add_argument("--rounds", type=int, default=80, help="turns of each (default: 80)")
    parser.add_argument("--write", type=Path, help="write the result as JSON")
    options = parser.parse_args()
    result = {}
    for design, peer in PEERS.items():
        folder = getattr(options, design)
        command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
        revision = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        sizes = {name: compare(design, folder, name, options.rounds) for name in PORTED}
        result[design] = {"repository": peer.repository, "revision": revision, "sizes": sizes}
    text = json.dumps(result, indent=1)
    print(text)
    if options.write:
        options.write.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
