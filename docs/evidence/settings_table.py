"""What the best settings known gain on the library's defaults, for a sentence: from the records beside their files."""

from __future__ import annotations

import json
from pathlib import Path

from docs.evidence import says

__all__ = ["gain"]

FOLDER = Path(__file__).parent / "settings"


def gain(task: str) -> str:
    """What they gain on fresh seeds, in the task's unit."""
    found = json.loads((FOLDER / f"{task}.json").read_text(encoding="utf-8"))
    mean, low, high = (found["gain"][name] / found["delta"] for name in ("mean", "low", "high"))
    of = {"task": task, "unit": found["unit"], "delta": found["delta"], "effect": mean, "low": low, "high": high}
    return says.effect_of({"statistic": "test", "ratio": None}, of)
