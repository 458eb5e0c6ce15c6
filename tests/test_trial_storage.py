"""The storage of trials: what its URL may be, and a server or a file that does not answer."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError, PendingRollbackError

# Private: a server that is away, without a server.
from ncps_mlx.search._storage.open import open_storage, redact_url
from ncps_mlx.search._storage.retry import StorageRetry, root_message
from tests.shared_study import make_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuning.db"


def test_a_file_is_opened_beside_a_writer(path: Path) -> None:
    """Optuna looks at a file with two connections at once; a writer may come between them."""
    make_store(path, 1)
    stop = threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
            while not stop.is_set():
                connection.execute("update version_info set library_version = library_version")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(12):
            open_storage(path)
    finally:
        stop.set()
        writer.join()


def fail_times(times: int) -> Any:
    """A call that finds its server away so many times."""
    answers = iter([OperationalError("select", {}, Exception("connection refused")), None] if times else [])

    def call() -> str:
        nonlocal times
        if times:
            times -= 1
            raise OperationalError("select", {}, Exception("connection refused\nmore")) from next(
                answers, None
            )
        return "here"

    return call


def test_a_server_that_is_away_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    retry = StorageRetry("postgresql://ann:***@host/studies")
    monkeypatch.setattr(retry, "_wait", pauses.append)
    assert retry(fail_times(7)) == "here"
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]
    assert retry.outages == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "postgresql://ann:***@host/studies does not answer (connection refused); trying again for up to 10 minutes.",
        "postgresql://ann:***@host/studies answers again after 0 s.",
    ]


def test_a_connection_that_outlives_its_server_ends_no_outage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    retry = StorageRetry("there")
    monkeypatch.setattr(retry, "_wait", lambda _: retry(lambda: "another thread's, still open"))
    assert retry(fail_times(3)) == "here"
    assert retry.outages == 1
    assert [line.split(" (")[0] for line in capsys.readouterr().err.splitlines()] == [
        "there does not answer", "there answers again after 0 s.",
    ]  # fmt: skip


def test_a_server_that_stays_away_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="storage must answer, got none from there: connection refused"):
        StorageRetry("there", seconds=0)(fail_times(1))


def test_a_process_that_ends_waits_for_no_server() -> None:
    retry, call = StorageRetry("there"), fail_times(10**6)
    errors: list[ConnectionError] = []

    def beat() -> None:
        try:
            retry(call)
        except ConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=beat)
    thread.start()
    while not retry.outages:
        time.sleep(0.01)
    with retry.without_waiting():
        thread.join(60)  # it need not sit out its ten minutes
        assert len(errors) == 1
        with pytest.raises(ConnectionError):
            retry(call)


def test_a_server_that_goes_while_a_read_is_tried_again_is_away_too() -> None:
    def call() -> None:
        try:
            fail_times(1)()
        except OperationalError:  # as Optuna does, with the connection that has just broken
            raise PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")  # noqa: B904  # without a cause, as there

    with pytest.raises(ConnectionError, match="storage must answer, got none from there: connection refused"):
        StorageRetry("there", seconds=0)(call)


def test_what_is_wrong_with_the_call_is_not_tried_again() -> None:
    def call() -> None:
        raise KeyError("no such study")

    with pytest.raises(KeyError):
        StorageRetry("there")(call)


@pytest.mark.parametrize(
    ("package", "storage", "message"),
    [
        ("psycopg", "postgresql://host/name", r"got postgresql\+psycopg://host/name: .*install \"psycopg\[binary\]"),
        ("grpc", "grpc://host:1", "storage needs the package grpcio for a proxy, got grpc://host:1"),
    ],
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, storage: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=message):
        open_storage(storage)


@pytest.mark.parametrize(
    ("storage", "error", "message"),
    [
        (
            "sqlite:///:memory:",
            ValueError,
            "storage must be None for memory, or name a file as sqlite:///FILE",
        ),
        ("sqlite://", ValueError, "storage must be None for memory"),
        ("{folder}", ValueError, "storage must be a file, got the folder"),
        ("nowhere/tuning.db", ValueError, "storage must lie in a folder that exists, got nowhere/tuning.db"),
        ("mysql+nosuch://host/name", ValueError, "storage must be None, a file's path, or a URL"),
    ],
)
def test_a_storage_that_cannot_be_is_named(
    tmp_path: Path, storage: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_storage(storage.format(folder=tmp_path))


def test_no_password_is_shown() -> None:
    assert (
        redact_url("postgresql+psycopg://ann:s3cret@host:5432/studies")
        == "postgresql+psycopg://ann:***@host:5432/studies"
    )
    assert redact_url("postgresql://ann@host/studies") == "postgresql://ann@host/studies"
    assert redact_url("grpc://host:13000") == "grpc://host:13000"


def test_what_the_database_says_is_told_and_not_what_was_looked_up_meanwhile() -> None:
    error = OSError("connection refused\nIs the server running?")
    error.__context__ = KeyError(())  # that SQLAlchemy was handling
    assert root_message(error) == "connection refused"
    assert root_message(KeyError("hyperparameter")) == "'hyperparameter'"
