"""What is done when a study's storage does not answer.

A server that restarts is waited for. What waiting does not mend (a full disk, a file that is read-only, locked or
damaged) is said at once, with the cure; what the storage holds stays as it is.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from ncps_mlx._utils.progress import log

__all__ = ["StorageRetry", "root_message"]

OUTAGE_SECONDS = 600.0  # that a server may be away
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between two tries
LONGEST_TEXT = 200  # characters: SQLite quotes all of a row that it cannot read
UNREADABLE = (json.JSONDecodeError, UnicodeDecodeError)  # what Optuna stored is no longer that

P = ParamSpec("P")
T = TypeVar("T")

CURES: dict[tuple[str, ...], tuple[type[OSError], str]] = {
    ("disk is full", "disk i/o error"): (
        OSError,
        "storage must lie on a disk that takes more, got {text!r} for {where}. What was finished is kept: free some "
        "space and run the study again.",
    ),
    ("readonly", "read-only", "unable to open database file"): (
        PermissionError,
        "storage must be a file in a folder that you may write to, got {text!r} for {where}. "
        "Nothing in it was changed: copy it to such a folder, or ask for the right to write.",
    ),
    ("malformed", "not a database", "could not decode"): (
        OSError,
        "storage must be a sound SQLite file, got {text!r} for {where}. Nothing in it was changed: "
        "save what can be saved with `sqlite3 FILE .recover`, or give the name of a new file.",
    ),
    ("database is locked",): (
        TimeoutError,
        "storage must not be held by another program, got {text!r} for {where} after {waited:.1f} s. "
        "Close that program and run the study again.",
    ),
}
"""What SQLite says, and what is to be done."""


class StorageRetry:
    """Calls a storage, waits for a server that is away, and says clearly what waiting does not mend."""

    def __init__(self, where: str, *, seconds: float = OUTAGE_SECONDS) -> None:
        self.where, self.seconds = where, seconds  # the storage's name in messages, and how long it may be away
        self.outages = 0  # how often the storage was away
        self._away_since: float | None = None
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._wait = self._hurry.wait

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, again and again while its server is away; say by an ``OSError`` what does not mend."""
        pause, start, failed = FIRST_PAUSE, time.monotonic(), False
        while True:
            began = time.monotonic()
            try:
                result = function(*args, **kwargs)
            except _errors() as error:
                self._raise_unless_transient(error, time.monotonic() - start)
                failed = True
            else:
                self._note_answer(began, failed)
                return result
            self._wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Wait for nothing in here, nor elsewhere meanwhile: this process is about to end."""
        self._hurry.set()
        try:
            yield
        finally:
            self._hurry.clear()

    def _raise_unless_transient(self, error: Exception, waited: float) -> None:
        text = root_message(error)
        for phrases, (kind, message) in CURES.items():
            if any(phrase in text.lower() for phrase in phrases):
                raise kind(message.format(text=text, where=self.where, waited=waited)) from error
        if not _is_transient(error):
            raise error
        if waited >= self.seconds or self._hurry.is_set():
            much = f" for {waited:.0f} s" if waited > 1 else ""
            raise ConnectionError(f"storage must answer, got none{much} from {self.where}: {text}.") from error
        with self._lock:
            if self._away_since is None:
                self._away_since = time.monotonic()
                self.outages += 1
                minutes = self.seconds / 60
                log(f"{self.where} does not answer ({text}); trying again for up to {minutes:.0f} minutes.")

    def _note_answer(self, began: float, failed: bool) -> None:
        """End an outage: not by a connection of another thread that outlives its server for a moment."""
        with self._lock:
            if self._away_since is not None and (failed or began - self._away_since >= FIRST_PAUSE):
                log(f"{self.where} answers again after {time.monotonic() - self._away_since:.0f} s.")
                self._away_since = None


def _errors() -> tuple[type[Exception], ...]:
    """What a storage raises when something is wrong with it."""
    import optuna
    import sqlalchemy.exc

    grpc = sys.modules.get("grpc")
    of_grpc = () if grpc is None else (grpc.RpcError,)
    return (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, *UNREADABLE, *of_grpc)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go from an error to the first one, also through those met while one was handled (Optuna reads again)."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def root_message(error: BaseException) -> str:
    """The first line of what the database itself said."""
    text = ""
    for link in _chain(error):
        if text and isinstance(link, KeyError):  # SQLAlchemy looked something up while the error arose
            continue
        details = getattr(link, "details", None)
        text = str(details() if callable(details) else getattr(link, "orig", None) or link)
        if isinstance(link, UNREADABLE):
            text = f"malformed text: {text}"
    text = text.strip()
    return text.splitlines()[0][:LONGEST_TEXT].rstrip(".") if text else type(error).__name__


def _is_transient(error: Exception) -> bool:
    """Whether it may be gone after a while: the server is away, not the request wrong."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    for link in _chain(error):
        code = getattr(link, "code", None)
        if callable(code):  # of gRPC; a proxy whose database is away answers UNKNOWN
            return code().name in {"UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"}
        if isinstance(getattr(link, "orig", None), sqlite3.Error):  # a file is never away
            return False
        if getattr(link, "connection_invalidated", False) or isinstance(link, OperationalError | InterfaceError):
            return True
    return False
