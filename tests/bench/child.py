"""A process that runs benchmark cases when told to: one line of JSON in, one line of JSON out.

Some of these take turns, so that anything else the machine does slows all equally.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Case", "serve"]


@dataclass(frozen=True)
class Case:
    """Something to train.

    Attributes:
        run: Takes a number of training steps, and returns when the last one is done.
        computed: Before the first step: the ``outputs`` of each member (N, B, O) on the first member's batch, the
            ``losses`` (N,) and the norms of the ``gradients`` (N,), each member on its own batch; ``None``: the case
            trains weights or data of its own.
    """

    run: Callable[[int], None]
    computed: dict[str, Any] | None = None


def serve(make: Mapping[str, Callable[..., Any]], facts: Callable[[], dict[str, Any]]) -> None:
    """Answer until the input ends.

    ``{"make": KEY, "kind": NAME, "settings": {...}}`` prepares a case, takes two steps and gives what it computed
    before; ``{"run": KEY, "steps": K}`` gives the milliseconds per step, by the clock and of processor time over all
    threads; ``{"call": NAME, "settings": {...}}`` gives a function's own answer; ``{"facts": true}`` gives versions.

    Args:
        make: Makers of cases, and functions to call, by name.
        facts: What to tell of this process.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    cases: dict[str, Case] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any = None
        if "make" in asked:
            case = cases[asked["make"]] = make[asked["kind"]](**asked["settings"])
            answer = case.computed
            case.run(2)  # the first may compile
        elif "run" in asked:
            case, steps = cases[asked["run"]], asked["steps"]
            clock, cpu = time.perf_counter(), time.process_time()
            case.run(steps)
            answer = [
                1e3 * (time.perf_counter() - clock) / steps,
                1e3 * (time.process_time() - cpu) / steps,
            ]
        elif "call" in asked:
            answer = make[asked["call"]](**asked["settings"])
        else:
            answer = facts()
        print(json.dumps(answer), file=out, flush=True)
