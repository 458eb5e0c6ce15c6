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
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Heart", "LEASE_SECONDS", "Lease", "Watch", "machine"]

LEASE_SECONDS = 60.0
"""How long a lease lasts without being renewed."""
BEATS = 4  # renewals in that time


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What one worker says of itself in the study.

    Attributes:
        worker: Its name, unique: host, process, and a few random letters.
        host: The machine's name, for people.
        machine: What tells machines, their restarts and their containers apart.
        pid: The process.
        started: When the process started, as the system counts; ``""`` where it does not say.
        beat: Raised at each renewal.
        seconds: How long it holds without one.
        until: Until when it holds by the worker's clock, for people.
        places: The trials held, by their place in the plan.
        done: How much of them is trained, in trials, for who watches.
        best: The best score that its worker has seen.

    Example:
        >>> lease = Lease.of_this_process(60.0)
        >>> Lease.read(lease.written()) == lease, lease.ended
        (True, False)
        >>> lease.end().ended
        True
    """

    worker: str
    host: str
    machine: str
    pid: int
    started: str
    beat: int = 0
    seconds: float = LEASE_SECONDS
    until: str = ""
    places: tuple[int, ...] = field(default=())
    done: float = 0.0
    best: float | None = None

    @classmethod
    def of_this_process(cls, seconds: float) -> Lease:
        """Begin a lease.

        Example:
            >>> Lease.of_this_process(60.0).pid == os.getpid()
            True
        """
        host, pid = platform.node(), os.getpid()
        return cls(
            worker=f"{host}-{pid}-{uuid.uuid4().hex[:8]}",
            host=host,
            machine=machine(),
            pid=pid,
            started=_started(pid) or "",
            seconds=seconds,
        ).renew(())

    def renew(self, places: Iterable[int], done: float = 0.0, best: float | None = None) -> Lease:
        """Return it with these trials, trained so far, one beat on.

        Example:
            >>> lease = Lease.of_this_process(60.0).renew([3, 4])
            >>> lease.beat, lease.places
            (2, (3, 4))
        """
        until = datetime.now(UTC) + timedelta(seconds=self.seconds)
        return replace(
            self,
            beat=self.beat + 1,
            places=tuple(places),
            done=done,
            best=best,
            until=until.isoformat(timespec="seconds"),
        )

    def end(self) -> Lease:
        """Return it as that of a worker that has stopped.

        Example:
            >>> Lease.of_this_process(60.0).renew([3, 4]).end().places
            ()
        """
        return replace(self, beat=self.beat + 1, places=(), until="")

    @property
    def ended(self) -> bool:
        """Whether its worker has stopped.

        Example:
            >>> Lease.of_this_process(60.0).ended
            False
        """
        return not self.until

    @property
    def gone(self) -> bool:
        """Whether its process is known to be gone: only seen from the same machine.

        Example:
            >>> Lease.of_this_process(60.0).gone
            False
        """
        return self.machine == machine() and os.name == "posix" and _started(self.pid) != self.started

    def written(self) -> dict[str, Any]:
        """Return it as JSON can hold it.

        Example:
            >>> Lease.of_this_process(60.0).renew([3, 4]).written()["places"]
            [3, 4]
        """
        return {**asdict(self), "places": list(self.places)}

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Lease:
        """Read what :meth:`written` gave.

        Example:
            >>> Lease.read(Lease.of_this_process(60.0).renew([3, 4]).written()).places
            (3, 4)
        """
        return cls(**{**written, "places": tuple(written["places"])})


class Watch:
    """Which of the leases seen so far belong to workers that live.

    Example:
        >>> watch, lease = Watch(), Lease.of_this_process(60.0)
        >>> watch.living([lease]) == [lease], watch.living([lease.end()])
        (True, [])
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def forget(self) -> None:
        """Start watching anew: the storage was away, and nobody could renew a lease.

        Example:
            >>> watch, lease = Watch(), Lease.of_this_process(60.0)
            >>> watch.forget()
            >>> len(watch.living([lease]))
            1
        """
        self._seen.clear()

    def living(self, leases: Iterable[Lease]) -> list[Lease]:
        """Return the leases of workers that are not known to be dead.

        Example:
            >>> lease = Lease.of_this_process(60.0)
            >>> gone = replace(lease, worker="another", started="yesterday")  # another process had this number
            >>> Watch().living([lease, gone]) == [lease]
            True
        """
        now = time.monotonic()
        found = []
        for lease in leases:
            beat, since = self._seen.get(lease.worker, (lease.beat, now))
            if beat != lease.beat:
                since = now
            self._seen[lease.worker] = (lease.beat, since)
            if not (lease.ended or lease.gone or now - since > lease.seconds):
                found.append(lease)
        return found


class Heart:
    """A thread that renews a lease while its worker trains.

    Leaving it waits for no renewal under way, which may be one that waits for its server. A renewal that fails is not
    the last one: the storage may be back before the worker, which is training, asks it for anything.

    Args:
        beat: Renews it.
        seconds: How long the lease lasts.

    Example:
        >>> renewed = threading.Event()
        >>> with Heart(renewed.set, 0.04):
        ...     renewed.wait(60)
        True
    """

    def __init__(self, beat: Callable[[], object], seconds: float) -> None:
        self._beat, self._pause = beat, seconds / BEATS
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            with suppress(OSError):  # the worker itself meets what lasts at its next word with the storage
                self._beat()

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()


@cache
def machine() -> str:
    """Name this machine since its last start, and this container on it.

    Example:
        >>> machine() == machine()
        True
    """
    parts = [platform.node()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        parts.append(boot.read_text().strip())
    with suppress(OSError):  # there is no such thing everywhere
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _started(pid: int) -> str | None:
    """When a process of this machine started, ``""`` if the system does not say, ``None`` if it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # another user's
        return ""
    return ""
