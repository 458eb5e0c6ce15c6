"""Nothing lost: kills at random moments, a full disk, files that cannot be read or written."""

from __future__ import annotations

import contextlib
import math
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ncps_mlx import Record, Space, Study
from ncps_mlx.records import load, save
from tests.small_study import FIXED, make_study, outcome, task

RUN = """
import sys
from tests.small_study import make_study
make_study(None, sys.argv[2])  # all is imported
print("ready", flush=True)
make_study(sys.argv[1], sys.argv[2]).run(progress=False)
"""


def run_for(path: Path, kind: str, seconds: float = math.inf) -> float | None:
    """Run the study in another process: how long it took, or nothing if it was killed after so many seconds."""
    command = [sys.executable, "-c", RUN, str(path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            start = time.monotonic()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(None if seconds == math.inf else seconds)
            took = time.monotonic() - start
        finally:
            child.kill()
    assert child.returncode in (0, -signal.SIGKILL)
    return took if child.returncode == 0 else None


def rows_of(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What a file holds; nothing if its process was killed before it made its tables."""
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


def done_in(path: Path) -> dict[int, float]:
    """The scores that a file holds as done, by place."""
    rows = rows_of(
        path,
        """
        select a.value_json, v.value from trials t join trial_user_attributes a on a.trial_id = t.trial_id
        join trial_values v on v.trial_id = t.trial_id where t.state in ('COMPLETE', 'PRUNED') and a.key = 'trial'
        """,
    )
    assert len({place for place, _ in rows}) == len(rows)
    return {int(place): score for place, score in rows}


@pytest.mark.slow
def test_twenty_kills_at_random_times_lose_nothing(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)  # shown if this fails
    rng = random.Random(seed)
    kills = in_training = with_some_done = 0
    for kind in ("random", "grid", "quasi-random", "tpe", "halved"):
        path = tmp_path / f"{kind}.db"
        whole = run_for(tmp_path / f"{kind} undisturbed.db", kind)
        assert whole is not None
        pause = 0.6 * whole
        undisturbed = outcome(make_study(tmp_path / f"{kind} undisturbed.db", kind))
        before: dict[int, float] = {}
        for _ in range(4):
            while run_for(path, kind, rng.uniform(0, pause)) is not None:  # it ended: begin again, kill sooner
                assert kind == "tpe" or outcome(make_study(path, kind)) == undisturbed
                path.unlink()
                before, pause = {}, 0.7 * pause
            kills += 1
            after = done_in(path)
            assert before.items() <= after.items()
            in_training += bool(rows_of(path, "select 1 from trials where state = 'RUNNING'"))
            with_some_done += bool(after)
            before = after
        study = make_study(path, kind)
        resumed = outcome(study.run(progress=False))
        assert {place: score for place, _, _, score, _, _ in resumed}.items() >= before.items()
        assert [run[0] for run in resumed] == list(range(20))
        assert set(study.optuna.user_attrs["ncps_mlx:config"]) >= {"trials", "sampler"}
        if kind == "tpe":
            for record in study.records[::7]:
                assert record.rerun(task()).score == record.score
        else:
            assert resumed == undisturbed
    assert kills == 20
    assert in_training and with_some_done  # else nothing was tried


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_a_study_that_then_goes_on(tmp_path: Path) -> None:
    undisturbed = outcome(make_study(None).run(progress=False))
    path = tmp_path / "tuning.db"
    make_study(path)
    for room in (0, 20):  # KiB: in the first write, and in a later one
        study = make_study(path)
        size = path.stat().st_size
        with (
            file_size_limit(size + room * 1024),
            pytest.raises(OSError, match="a disk that takes more, got") as caught,
        ):
            study.run(progress=False)
        assert f"for {path}" in str(caught.value) and "run the study again" in str(caught.value)
        assert outcome(study) == undisturbed[: len(study.records)] or set(outcome(study)) <= set(undisturbed)
    assert 0 < len(study.records) < 20
    assert outcome(make_study(path).run(progress=False)) == undisturbed


def test_a_full_disk_leaves_no_half_made_study(tmp_path: Path) -> None:
    path = tmp_path / "tuning.db"
    with (
        file_size_limit(20 * 1024),
        pytest.raises(OSError, match="storage must lie on a disk that takes more"),
    ):
        make_study(path)
    assert len(make_study(path).optuna.trials) == 20


def test_a_full_disk_leaves_no_half_made_study_beside_another(tmp_path: Path) -> None:
    path = tmp_path / "tuning.db"
    make_study(path)
    space = Space(learning_rate=[1e-2])
    with (
        file_size_limit(1024),
        pytest.raises(OSError, match="storage must lie on a disk that takes more"),
    ):
        Study(path, task(), space, sampler="grid", name="second", fixed=FIXED | {"hidden_size": 4})
    assert len(make_study(path).optuna.trials) == 20


def test_a_full_disk_leaves_saved_records(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    record = Record(
        trial=0, model="CfC", config={}, seed=0, task="a", data_hash="b", metric="rmse", score=1.0
    )
    save([record], path)
    with (
        file_size_limit(path.stat().st_size),
        pytest.raises(OSError, match=r"records could not be saved .*as it was"),
    ):
        save([record] * 3, path)
    assert load(path) == [record] and list(tmp_path.iterdir()) == [path]


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Permissions do not bind root: be somebody else for the while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that anyone can look into (pytest's own are private), with a study."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_study(folder / "tuning.db").run(progress=False)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def test_a_folder_that_cannot_be_written_to_can_be_read(readable: Path) -> None:
    path = readable / "tuning.db"
    content = path.read_bytes()
    with without_privileges():
        study = make_study(path)
        assert len(study.records) == 20 and study.best.status == "finished"
        with pytest.raises(PermissionError, match=r"a folder that you may write to, got .*read"):
            study.run(progress=False)
        with pytest.raises(PermissionError, match="a folder that you may write to"):
            make_study(readable / "new.db")
        with pytest.raises(PermissionError, match="a folder that you may write to"):
            Study(path, task(), study.space, name="second", trials=1, fixed=FIXED)
    assert path.read_bytes() == content and list(readable.iterdir()) == [path]


def test_a_locked_file_is_named_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncps_mlx.search._storage.open.LOCK_SECONDS", 0.2)
    path = tmp_path / "tuning.db"
    study = make_study(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        for attempt in (lambda: make_study(path), lambda: study.run(progress=False)):
            with pytest.raises(TimeoutError, match=r"not be held by another program.*locked.* after \d\.\d s"):
                attempt()
    assert len(make_study(path).optuna.trials) == 20 and study.records == []


@pytest.mark.parametrize("damage", ["no database", "cut off", "overwritten"])
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "tuning.db"
    if damage == "no database":
        path.write_bytes(b"trial,score\n" * 500)
    else:
        make_study(path)
        content = bytearray(path.read_bytes())
        if damage == "cut off":
            content = content[: len(content) // 2]
        else:
            content[100:] = os.urandom(len(content) - 100)
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"storage must be a sound SQLite file, got .*new file"):
        make_study(path)
    with pytest.raises(OSError, match="storage must be a sound SQLite file"):
        Study.open(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("byte", [b"\xff", b"\x01"])
@pytest.mark.parametrize("where", [b'"space": [', b'{"config"', b'{"name": "FloatDistribution"'])
def test_damage_within_a_row_is_named_too(tmp_path: Path, where: bytes, byte: bytes) -> None:
    """SQLite reads it; what it gives is no text, or not the one that was written."""
    path = tmp_path / "tuning.db"
    make_study(path).run(progress=False, max_trials=2)
    content = path.read_bytes()
    where = where if where in content else where.replace(b'"', b'\\"')
    assert where in content
    path.write_bytes(content.replace(where, byte + where[1:]))
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"storage must be a sound SQLite file, got .*new file") as caught:
        make_study(path)
    assert len(str(caught.value)) < 600
    assert path.read_bytes() == before
