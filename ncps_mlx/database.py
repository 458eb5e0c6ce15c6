"""A study's storage, opened by its URL, and what is done when it does not answer.

A server that restarts is waited for. What waiting does not mend (a full disk, a file that is read-only, locked or
damaged) is said at once, with the cure; what the storage holds stays as it is.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

__all__ = ["Patience", "open_storage", "shown"]

LOCK_SECONDS = 60.0  # that a SQLite file may be held by another program
PATIENCE_SECONDS = 600.0  # that a server may be away
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between two tries

P = ParamSpec("P")
T = TypeVar("T")

CURES: tuple[tuple[tuple[str, ...], type[OSError], str], ...] = (
    (
        ("disk is full", "disk i/o error"),
        OSError,
        "storage must lie on a disk that takes more, got {text!r} for {where}. What was finished is kept: free some "
        "space and run the study again.",
    ),
    (
        ("readonly", "read-only", "unable to open database file"),
        PermissionError,
        "storage must be a file in a folder that you may write to, got {text!r} for {where}. "
        "Nothing in it was changed: copy it to such a folder, or ask for the right to write.",
    ),
    (
        ("malformed", "not a database"),
        OSError,
        "storage must be a sound SQLite file, got {text!r} for {where}. Nothing in it was changed: "
        "save what can be saved with `sqlite3 FILE .recover`, or give the name of a new file.",
    ),
    (
        ("database is locked",),
        TimeoutError,
        "storage must not be held by another program, got {text!r} for {where} after {lock:g} s. "
        "Close that program and run the study again.",
    ),
)
"""What SQLite says, and what is to be done."""


def shown(storage: str | Path | None) -> str:
    """Name a storage for a message, without its password.

    Example:
        >>> shown("postgresql://ann:secret@127.0.0.1/studies")
        'postgresql://ann:***@127.0.0.1/studies'
        >>> shown(None)
        'memory'
    """
    if storage is None:
        return "memory"
    text = str(storage)
    head, at, tail = text.rpartition("@")
    if "://" not in text or not at:
        return text
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.partition(':')[0]}{':***' if ':' in user else ''}@{tail}"


def open_storage(storage: str | Path | None) -> BaseStorage:
    """Open a storage.

    Args:
        storage: ``None`` for memory; a file's path, or ``sqlite:///FILE``, for SQLite; ``postgresql://...`` (with the
            package psycopg); ``grpc://HOST:PORT`` for Optuna's proxy (with the package grpcio); another URL that
            SQLAlchemy knows.

    Raises:
        ValueError: The folder of the file does not exist, or the URL cannot be read.
        ImportError: The package for this kind of database is not installed.
        OSError: The file is read-only, locked or damaged, or the disk is full.
        ConnectionError: The server does not answer, or refuses.

    Example:
        >>> open_storage(None).get_all_studies()
        []
    """
    import optuna

    if storage is None:
        return optuna.storages.InMemoryStorage()
    url = str(storage)
    if url.startswith("grpc://"):
        return _proxy(url)
    if "://" not in url or url.startswith("sqlite:"):
        path, url, settings = _sqlite(url)
        return _opened(url, settings, path)
    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    connection: dict[str, Any] = {}
    if url.startswith("postgresql+psycopg://"):
        connection = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}
    return _opened(url, {"pool_pre_ping": True, "connect_args": connection}, shown(url))


def _sqlite(url: str) -> tuple[str, str, dict[str, Any]]:
    """The path of the file, its URL, and settings without a pool, so that no file stays open."""
    from sqlalchemy.pool import NullPool

    from ncps_mlx._sqlite import DRIVER

    given = url.removeprefix("sqlite:///") if "://" in url else url
    if "://" in given or not given or given == ":memory:":
        raise ValueError(f"storage must be None for memory, or name a file as sqlite:///FILE, got {url}.")
    path = Path(given).resolve()
    if not path.parent.is_dir():
        raise ValueError(f"storage must lie in a folder that exists, got {given}.")
    if path.is_dir():
        raise ValueError(f"storage must be a file, got the folder {given}.")
    connection: dict[str, Any] = {"timeout": LOCK_SECONDS}
    settings: dict[str, Any] = {"poolclass": NullPool, "connect_args": connection}
    if path.exists() and not (_writable(path) and _writable(path.parent)):
        return given, f"sqlite:///{path}", settings  # it can still be read
    connection["isolation_level"] = None
    return given, f"{DRIVER}:///{path}", settings


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _opened(url: str, settings: dict[str, Any], where: str) -> BaseStorage:
    import optuna
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from ncps_mlx._sqlite import ImmediateSQLite

    # It says in many lines what Patience says in one.
    logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)
    try:
        storage = Patience(where, seconds=0)(_tables, url, settings)
        if isinstance(storage.engine.dialect, ImmediateSQLite):
            storage.engine.dialect.immediate = True
        weakref.finalize(storage, storage.engine.dispose)  # close the connections that it keeps
        return optuna.storages.get_storage(storage)
    except ImportError as error:
        raise ImportError(
            f"storage needs a package for this kind of database, got {where}: {error}. For PostgreSQL: "
            'pip install "psycopg[binary]"'
        ) from error
    except (ArgumentError, NoSuchModuleError) as error:
        raise ValueError(
            f"storage must be None, a file's path, or a URL such as postgresql://USER@HOST/NAME or grpc://HOST:PORT, "
            f"got {where}."
        ) from error


def _tables(url: str, settings: dict[str, Any]) -> RDBStorage:
    """Open a database, making Optuna's tables in a new one. Two processes may do so at the same moment."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    start = time.monotonic()
    while True:
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=settings)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            meeting = ("already exists", "database is locked", "duplicate key", "unique constraint")
            text = _text(error).lower()
            if not any(phrase in text for phrase in meeting) or time.monotonic() - start > LOCK_SECONDS:
                raise
        time.sleep(FIRST_PAUSE / 10)


def _proxy(url: str) -> BaseStorage:
    """A client of Optuna's gRPC proxy, once it answers."""
    import optuna

    host, _, port = url.removeprefix("grpc://").rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"storage must name host and port as grpc://HOST:PORT, got {url}.")
    try:
        with warnings.catch_warnings():  # Optuna calls it experimental; so does our page
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            client = optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    except ImportError as error:
        raise ImportError(
            f'storage needs the package grpcio for a proxy, got {url}. Install it: pip install "grpcio" "protobuf"'
        ) from error
    try:
        client.wait_server_ready(timeout=10)
    except ConnectionError as error:
        raise ConnectionError(
            f"storage must answer, got no proxy at {host}:{port}. Is it running?"
        ) from error
    return client


class Patience:
    """Calls a storage, waits for a server that is away, and says clearly what waiting does not mend.

    Args:
        where: The storage, for messages.
        seconds: How long a server may be away.

    Example:
        >>> Patience("tuning.db")(max, 3, 5)
        5
    """

    def __init__(self, where: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        self.where, self.seconds = where, seconds
        self.outages = 0  # how often the storage was away
        self._away_since: float | None = None
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._wait = self._leaving.wait

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function, again and again while its server is away.

        Raises:
            OSError: The storage cannot take or give what is asked; the message gives the cure.
            ConnectionError: The server stayed away.
        """
        pause = FIRST_PAUSE
        start = time.monotonic()
        while True:
            try:
                result = function(*args, **kwargs)
            except _errors() as error:
                self._raise_if_lasting(error, time.monotonic() - start)
            else:
                if self._away_since is not None:
                    self._back()
                return result
            self._wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Wait for nothing in here, nor elsewhere meanwhile: this process is about to end.

        Example:
            >>> with Patience("tuning.db").leaving():
            ...     pass
        """
        self._leaving.set()
        try:
            yield
        finally:
            self._leaving.clear()

    def _raise_if_lasting(self, error: Exception, waited: float) -> None:
        text = _text(error)
        for phrases, kind, message in CURES:
            if any(phrase in text.lower() for phrase in phrases):
                raise kind(message.format(text=text, where=self.where, lock=LOCK_SECONDS)) from error
        if not _passing(error):
            raise error
        if waited >= self.seconds or self._leaving.is_set():
            much = f" for {waited:.0f} s" if waited > 1 else ""
            raise ConnectionError(
                f"storage must answer, got none{much} from {self.where}: {text}."
            ) from error
        with self._lock:
            if self._away_since is None:
                self._away_since = time.monotonic()
                self.outages += 1
                say(
                    f"{self.where} does not answer ({text}); trying again for up to {self.seconds / 60:.0f} minutes."
                )

    def _back(self) -> None:
        with self._lock:
            if self._away_since is not None:
                say(f"{self.where} answers again after {time.monotonic() - self._away_since:.0f} s.")
                self._away_since = None


def say(line: str) -> None:
    """Print a line on stderr, above whatever progress bar stands there.

    Example:
        >>> say("")
    """
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


def _errors() -> tuple[type[Exception], ...]:
    """What a storage raises when something is wrong with it."""
    import optuna
    import sqlalchemy.exc

    found: list[type[Exception]] = [optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError]
    if (grpc := sys.modules.get("grpc")) is not None:
        found.append(grpc.RpcError)
    return tuple(found)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Go from an error to the first one, also through those met while one was handled (Optuna reads again)."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _text(error: BaseException) -> str:
    """The first line of what the database itself said."""
    text = ""
    for link in _chain(error):
        details = getattr(link, "details", None)
        text = str(details() if callable(details) else getattr(link, "orig", None) or link)
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else type(error).__name__


def _passing(error: Exception) -> bool:
    """Whether it may be gone after a while: the server is away, not the request wrong."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    for link in _chain(error):
        code = getattr(link, "code", None)
        if callable(code):  # of gRPC; a proxy whose database is away answers UNKNOWN
            return code().name in {"UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"}
        if isinstance(getattr(link, "orig", None), sqlite3.Error):  # a file is never away
            return False
        if getattr(link, "connection_invalidated", False) or isinstance(
            link, OperationalError | InterfaceError
        ):
            return True
    return False
