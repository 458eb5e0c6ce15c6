"""Leases: which worker holds which trials, and whether it still lives.

Each worker keeps one lease in the study: who it is, the trials it holds, and a count that it raises every few seconds.
A worker is dead when its process is gone (seen on its own machine at once), or when its lease has not changed while
another worker watched it for as long as the lease lasts. Clocks of different machines are never compared.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ncps_mlx._runtime.process import machine, start_of

__all__ = ["LEASE_SECONDS", "Lease", "LivenessMonitor", "heartbeat"]

LEASE_SECONDS = 60.0
"""How long a lease lasts without being renewed."""
RENEWALS = 4  # in that time


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What one worker says of itself in the study."""

    worker: str  # its name, unique: host, process, and a few random letters
    host: str  # the machine's name, for people
    machine: str  # what tells machines, their restarts and their containers apart
    pid: int
    started: str  # when the process started, as the system counts; "" where it does not say
    sequence: int = 0  # raised at each renewal
    seconds: float = LEASE_SECONDS  # how long it holds without one
    until: str = ""  # until when it holds by the worker's clock, for people
    trials: tuple[int, ...] = ()  # those held, by their index in the plan
    done: float = 0.0  # how much of them is trained, in trials, for who watches
    best: float | None = None  # the best score that its worker has seen

    @classmethod
    def of_this_process(cls, seconds: float) -> Lease:
        """Begin a lease."""
        host, pid = platform.node(), os.getpid()
        return cls(
            worker=f"{host}-{pid}-{uuid.uuid4().hex[:8]}",
            host=host,
            machine=machine(),
            pid=pid,
            started=start_of(pid) or "",
            seconds=seconds,
        ).renew(())

    def renew(self, trials: Iterable[int], done: float = 0.0, best: float | None = None) -> Lease:
        """Return it with these trials, trained so far, renewed once more."""
        until = (datetime.now(UTC) + timedelta(seconds=self.seconds)).isoformat(timespec="seconds")
        return replace(
            self, sequence=self.sequence + 1, trials=tuple(trials), done=done, best=best, until=until
        )

    def release(self) -> Lease:
        """Return it as that of a worker that has stopped."""
        return replace(self, sequence=self.sequence + 1, trials=(), until="")

    @property
    def process_exited(self) -> bool:
        """Whether its process is known to be gone: only seen from the same machine."""
        return self.machine == machine() and os.name == "posix" and start_of(self.pid) != self.started

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "trials": list(self.trials)}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Lease:
        """Read what :meth:`to_json` gave."""
        return cls(**{**written, "trials": tuple(written["trials"])})


class LivenessMonitor:
    """Which of the leases seen so far belong to workers that live."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def reset(self) -> None:
        """Start watching anew: the storage was away, and nobody could renew a lease."""
        self._seen.clear()

    def alive(self, leases: Iterable[Lease]) -> list[Lease]:
        """Return the leases of workers that are not known to be dead."""
        now = time.monotonic()
        found = []
        for lease in leases:
            sequence, since = self._seen.get(lease.worker, (lease.sequence, now))
            if sequence != lease.sequence:
                since = now
            self._seen[lease.worker] = (lease.sequence, since)
            if lease.until and not lease.process_exited and now - since <= lease.seconds:
                found.append(lease)
        return found


@contextmanager
def heartbeat(renew: Callable[[], object], seconds: float) -> Iterator[None]:
    """Let a thread renew a lease, which lasts so many seconds, while its worker trains.

    Leaving it waits for no renewal under way, which may be one that waits for its server. A renewal that fails is not
    the last one: the storage may be back before the worker, which is training, asks it for anything.
    """
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(seconds / RENEWALS):
            with suppress(OSError):  # a lasting one is raised in the worker, at its next call of the storage
                renew()

    threading.Thread(target=beat, name="lease", daemon=True).start()
    try:
        yield
    finally:
        stopped.set()
