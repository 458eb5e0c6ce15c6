"""Processes that train in turns, and what the turns took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["Child", "Children", "Times", "environment", "per_model", "ratio", "rounds"]


def take_one_core() -> None:
    """Leave this process one core, the last it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
WITHOUT_C = {"NCPS_MLX_NATIVE": "0"}
"""Keeps layers from running in C."""


def environment() -> dict[str, str]:
    """The variables of every process: one thread for products."""
    return {**os.environ, **ONE_THREAD}


class Child:
    """A process that trains on one core when told to.

    Args:
        module: ``"weights"``, ``"ncps_mlx_cases"``, ``"ncps_cases"``, ``"jax_cases"`` or ``"port_cases"``.
        native: Whether layers may run in C, where there is a compiler.
    """

    def __init__(self, module: str, *, native: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment() if native else {**environment(), **WITHOUT_C},
            preexec_fn=take_one_core,  # this process has one thread
        )

    def ask(self, **question: Any) -> Any:
        """Send a line and wait for the answer.

        Raises:
            RuntimeError: The process ended instead.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(question), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise RuntimeError(f"{self.process.args!r} ended with {code}, asked for {question}.")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Children:
    """The processes in use, each started when first wanted; ends them when the context does."""

    def __init__(self) -> None:
        self.started: dict[tuple[str, bool], Child] = {}

    def get(self, module: str, *, native: bool = True) -> Child:
        """The process for a module, with layers in C or without."""
        key = module, native
        if key not in self.started:
            self.started[key] = Child(module, native=native)
        return self.started[key]

    def close(self) -> None:
        """End them all."""
        while self.started:
            self.started.popitem()[1].close()

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Times:
    """Milliseconds of each round: by the clock, and of processor time over all threads."""

    def __init__(self) -> None:
        self.clock: list[float] = []
        self.cpu: list[float] = []

    def add(self, answer: Sequence[float]) -> None:
        """Add a round."""
        self.clock.append(answer[0])
        self.cpu.append(answer[1])


def rounds(cases: dict[str, tuple[Child, int]], count: int) -> dict[str, Times]:
    """Let the cases take turns, ``count`` times; each has its child and the steps of a turn."""
    times = {key: Times() for key in cases}
    for _ in range(count):
        for key, (child, steps) in cases.items():
            times[key].add(child.ask(run=key, steps=steps))
    return times


def ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median over the rounds of one over the other, and the quartiles."""
    found = [a / b for a, b in zip(above, below, strict=True)]
    low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    return middle, (low, high)


def per_model(times: Times, members: int) -> dict[str, float]:
    """Median milliseconds for each model: processor time of all threads, and by the clock."""
    return {"cpu": statistics.median(times.cpu) / members, "clock": statistics.median(times.clock) / members}
