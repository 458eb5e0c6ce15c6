"""A study's storage, opened by its URL: memory, a SQLite file, a database server, or Optuna's proxy before one."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncps_mlx._utils.validation import check_path
from ncps_mlx.search._storage.retry import StorageRetry, root_message
from ncps_mlx.search._storage.sqlite import Connection, begin_immediately

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

__all__ = ["open_storage", "quiet_optuna", "redact_url"]


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's notes on each trial out of the way, and its remarks that options of TPE may change."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Optuna 4 calls these experimental; Optuna 5 does not. Nothing else is hidden.
            experimental = optuna.exceptions.ExperimentalWarning
            warnings.filterwarnings("ignore", ".*(multivariate|constant_liar|group)", category=experimental)
            yield
    finally:
        optuna.logging.set_verbosity(before)


OPTUNA_TABLES = {"alembic_version", "studies", "study_directions", "trials", "version_info"}
LOCK_SECONDS = 60.0  # that a SQLite file may be held by another program
MEETING_SECONDS = 0.05  # between two tries, where another process makes the same tables


def redact_url(storage: str | Path | None) -> str:
    """Name a storage for a message, without its password."""
    return "memory" if storage is None else re.sub(r"(?s)(?<=://)([^:@]*):.*@", r"\1:***@", str(storage))


def open_storage(storage: str | Path | None, *, make: bool = True) -> BaseStorage:
    """Open a storage: see :class:`~ncps_mlx.Study`; another URL that SQLAlchemy knows will do, too.

    Args:
        storage: ``None``, a file's path, or a URL.
        make: Whether to make Optuna's tables where there are none; else that is an error of SQLAlchemy's.

    Raises:
        ValueError: The folder of the file does not exist, or the URL cannot be read.
        ImportError: The package for this kind of database is not installed.
        OSError: The storage cannot be read or written, or its server does not answer.
    """
    import optuna

    if storage is None:
        return optuna.storages.InMemoryStorage()
    if not isinstance(storage, str | Path):
        raise ValueError(f"storage must be None, a path or a URL, got {storage!r}.")
    url = str(storage)
    if url.startswith("grpc://"):
        return _open_proxy(url)
    if "://" not in url or url.startswith("sqlite:"):
        path, url, connection = _sqlite_connection(url, make)
        return _open_database(url, {"connect_args": connection}, path, make)
    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    patience = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}
    connection = dict(patience) if url.startswith("postgresql+psycopg://") else {}
    return _open_database(url, {"pool_pre_ping": True, "connect_args": connection}, redact_url(url), make)


def _sqlite_connection(url: str, make: bool) -> tuple[str, str, dict[str, Any]]:
    """The path of the file, its URL, and how to connect."""
    from sqlalchemy import URL

    given = url.removeprefix("sqlite:///") if "://" in url else url
    if "://" in given or not given or given == ":memory:":
        raise ValueError(f"storage must be None for memory, or name a file as sqlite:///FILE, got {url!r}.")
    path = check_path("storage", given).resolve()
    if not path.parent.is_dir():
        raise ValueError(f"storage must lie in a folder that exists, got {given}.")
    if path.is_dir():
        raise ValueError(f"storage must be a file, got the folder {given}.")
    if make:
        _refuse_foreign(path, given)
    connection: dict[str, Any] = {"timeout": LOCK_SECONDS}
    if not path.exists() or (_writable(path) and _writable(path.parent)):  # else it can still be read
        connection |= {"factory": Connection, "isolation_level": None}
    address = URL.create("sqlite", database=str(path)).render_as_string()  # a name may hold ? or %
    return given, address.replace("{", "{{").replace("}", "}}"), connection  # which Optuna formats


def _refuse_foreign(path: Path, given: str) -> None:
    """Refuse another program's database: Optuna would add its tables to it."""
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.Error:  # damaged or locked: said when it is opened
        return
    if tables and not tables & OPTUNA_TABLES:  # some of them: another process may be making the others
        raise ValueError(f"storage must be a new file or a database of studies, got {given}, another program's.")


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _open_database(url: str, settings: dict[str, Any], where: str, make: bool) -> BaseStorage:
    import optuna
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    # It says in many lines what StorageRetry says in one.
    logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)
    try:
        storage = StorageRetry(where, seconds=0)(_open_tables, url, settings, make)
        if "factory" in settings["connect_args"]:
            begin_immediately(storage.engine)
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


def _open_tables(url: str, settings: dict[str, Any], make: bool) -> RDBStorage:
    """Open a database, making Optuna's tables in a new one if asked to. Two processes may do so at the same moment."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    start = time.monotonic()
    while True:
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=settings, skip_table_creation=not make)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            meeting = ("already exists", "database is locked", "duplicate key", "unique constraint")
            text = root_message(error).lower()
            if not any(phrase in text for phrase in meeting) or time.monotonic() - start > LOCK_SECONDS:
                raise
        time.sleep(MEETING_SECONDS)


def _open_proxy(url: str) -> BaseStorage:
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
        raise ConnectionError(f"storage must answer, got no proxy at {host}:{port}. Is it running?") from error
    return client
