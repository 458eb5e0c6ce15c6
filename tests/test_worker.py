"""Workers: who takes what, leases that run out, and processes that share one study."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy.exc import OperationalError, PendingRollbackError

from ncps_mlx import LTC, Integer, LogUniform, Record, Space, Study, Task, Uniform
from ncps_mlx.__main__ import main
from ncps_mlx._utils.progress import Progress
from ncps_mlx.data import irregular_sines, load_task
from ncps_mlx.search._definition import restored, written
from ncps_mlx.search._storage import leases as lease_module
from ncps_mlx.search._storage.leases import Lease, Watch
from ncps_mlx.search._storage.open import open_storage, shown
from ncps_mlx.search._storage.retry import Patience, said
from ncps_mlx.search._storage.trial_queue import LEASE, Claims
from ncps_mlx.search._storage.trial_store import Ledger, Planned, read_definition
from ncps_mlx.search._worker import Shift
from ncps_mlx.search._worker_pool import Team

RATES = Space(hidden_size=[3, 4], learning_rate=LogUniform(1e-3, 1e-1))
FIXED = {"backbone_units": 5, "batch_size": 16, "steps": 10}
OWN = """
from ncps_mlx.data import irregular_sines
from ncps_mlx import Task
def make():
    task = irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)
    return Task("mine", task.train, task.validation, task.test)
"""


@pytest.fixture(scope="module")
def task() -> Task:
    return irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuning.db"


def study_of(task: Task, storage: Path | None, **changes: Any) -> Study:
    settings: dict[str, Any] = {"trials": 12, "members_per_shape": 4, "population": 2, "fixed": FIXED}
    return Study(storage, task, RATES, **(settings | changes))


def outcome(study: Study) -> list[tuple[Any, ...]]:
    return [
        (run.trial, tuple(sorted(run.config.items())), run.seed, run.score, run.history)
        for run in study.records
    ]


# The book alone: nothing is trained.


def book(path: Path | None, trials: int = 0) -> Ledger:
    found = Ledger(
        path, "book", Space(learning_rate=Uniform(0.1, 1.1)), {"trials": trials}, higher_is_better=False
    )
    found.add(
        [Planned(trial=i, seed=0, config={"learning_rate": 0.1 + i / (trials + 1)}) for i in range(trials)]
    )
    return found


def alike(_: Planned) -> str:
    return "all of one shape"


def record(planned: Planned, score: float = 1.0) -> Record:
    return Record(
        trial=planned.trial,
        model="CfC",
        config={},
        seed=0,
        task="a",
        data_hash="b",
        metric="rmse",
        score=score,
    )


def states(ledger: Ledger) -> Counter[str]:
    return Counter(trial.state.name for trial in ledger.trials())


def elsewhere(monkeypatch: pytest.MonkeyPatch, claims: Claims) -> None:
    """Let a worker look as if it ran on another machine: its end is not seen, only that its lease stands still."""
    assert claims._lease is not None
    monkeypatch.setattr(claims, "_lease", replace(claims._lease, machine="another", pid=1))


class Clock:
    """Stands for the module time where leases are watched: it goes when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(lease_module, "time", self)

    def monotonic(self) -> float:
        return self.now


def test_of_two_changes_of_one_state_one_counts(path: Path) -> None:
    one, other = book(path, 30), book(path, 30)
    wins: list[list[bool]] = [[], []]
    keys = [trial._trial_id for trial in one.trials()]

    def take(number: int, ledger: Ledger) -> None:
        for key in keys:
            meet.wait()  # both at the same moment
            wins[number].append(ledger.set_state(key, "RUNNING"))

    meet = threading.Barrier(2, timeout=60)
    threads = [threading.Thread(target=take, args=pair) for pair in enumerate((one, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a + b for a, b in zip(*wins, strict=True)] == [1] * 30


def test_what_is_finished_stays_as_it_is(path: Path) -> None:
    one, other = book(path, 1), book(path, 1)
    (key,) = (trial._trial_id for trial in one.trials())
    assert one.set_state(key, "RUNNING") and one.set_state(key, "COMPLETE", [1.0])
    assert not other.set_state(key, "FAIL")
    assert not other.set_state(key, "COMPLETE", [2.0])
    assert other.trials()[0].value == 1.0


def test_four_workers_finish_every_trial_once(path: Path) -> None:
    book(path, 24)
    finished: list[int] = []

    def work() -> None:
        ledger = book(path, 24)
        claims = Claims(ledger)
        with claims.working():
            while batch := claims.claim(3, alike):
                finished.extend(item.trial for item in batch if claims.finish(item, record(item)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == list(range(24))
    assert states(book(path, 24)) == {"COMPLETE": 24}


def test_a_population_is_of_one_kind_and_taken_at_once() -> None:
    ledger = book(None, 9)
    claims = Claims(ledger)

    def half(item: Planned) -> bool:
        return bool(item.config["learning_rate"] < 0.45)

    with claims.working():
        assert [item.trial for item in claims.claim(9, half)] == [0, 1, 2, 3]
        assert [item.trial for item in claims.claim(2, half)] == [4, 5]


def test_what_is_still_held_waits_again(path: Path) -> None:
    ledger = book(path, 5)
    claims = Claims(ledger)

    def interrupted() -> None:
        with claims.working():
            batch = claims.claim(3, alike)
            claims.finish(batch[0], record(batch[0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert states(ledger) == {"COMPLETE": 1, "FAIL": 2, "WAITING": 4}
    assert sorted(ledger.configs()) == [0, 1, 2, 3, 4]
    with claims.working():
        assert sorted(item.trial for item in claims.claim(9, alike)) == [1, 2, 3, 4]


def test_a_dead_process_of_this_machine_is_seen_at_once(path: Path) -> None:
    code = """
import os, sys
from tests.test_worker import Claims, alike, book, record
ledger = book(sys.argv[1], 5)
claims = Claims(ledger)
with claims.working():
    one, other = claims.claim(2, alike)
    ledger.storage.set_trial_user_attr(other.key, "record", record(other).to_json())
    os._exit(9)
"""
    child = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[1], check=False
    )
    assert child.returncode == 9
    ledger = book(path, 5)
    claims = Claims(ledger)
    assert states(ledger) == {"RUNNING": 2, "WAITING": 3}
    with claims.working():
        assert claims.others() == []
        claims.repair()
        assert states(ledger) == {"COMPLETE": 1, "FAIL": 1, "WAITING": 4}  # one had its record already
        assert sorted(item.trial for item in claims.claim(9, alike)) == [0, 2, 3, 4]


def test_a_lease_that_stands_still_runs_out_and_its_holder_can_write_no_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = book(path, 5)
    stalled, claims = Claims(book(path, 5)), Claims(ledger)
    monkeypatch.setattr(lease_module.Heart, "__enter__", lambda self: self)  # no beat
    clock = Clock(monkeypatch)
    with stalled.working(0.5), claims.working():
        elsewhere(monkeypatch, stalled)
        batch = stalled.claim(2, alike)
        claims.repair()
        assert len(claims.others()) == 1 and states(ledger) == {"RUNNING": 2, "WAITING": 3}
        assert [item.trial for item in claims.claim(1, alike)] == [2]  # what is held is not free
        clock.now = 0.6
        claims.repair()
        assert claims.others() == [] and states(ledger) == {"RUNNING": 1, "FAIL": 2, "WAITING": 4}
        again = claims.claim(9, alike)
        assert sorted(item.trial for item in again) == [0, 1, 3, 4]
        assert not stalled.finish(batch[0], record(batch[0], score=2.0))
        assert all(claims.finish(item, record(item)) for item in again)
        assert not stalled.finish(batch[1], record(batch[1], score=2.0))
    assert {run.trial: run.score for run in ledger.done()} == {0: 1.0, 1: 1.0, 3: 1.0, 4: 1.0}


def renewed(ledger: Ledger) -> None:
    """Wait until the lease of a worker elsewhere is renewed."""
    beats: set[int] = set()
    deadline = time.monotonic() + 60
    while len(beats) < 2:
        assert time.monotonic() < deadline
        leases = [value for key, value in ledger.attributes().items() if key.startswith(LEASE)]
        beats |= {lease["beat"] for lease in leases if lease["machine"] == "another"}
        time.sleep(0.01)


def test_a_slow_worker_that_lives_keeps_its_trials(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = book(path, 5)
    slow, claims = Claims(book(path, 5)), Claims(ledger)
    clock = Clock(monkeypatch)
    with slow.working(0.4), claims.working():
        elsewhere(monkeypatch, slow)
        batch = slow.claim(2, alike)
        for _ in range(6):  # more than four times as long as its lease lasts
            renewed(ledger)
            clock.now += 0.3
            claims.repair()
        assert states(ledger) == {"RUNNING": 2, "WAITING": 3}
        assert all(slow.finish(item, record(item)) for item in batch)


def test_a_renewal_that_fails_is_not_the_last() -> None:
    beats: list[int] = []
    renewed = threading.Event()

    def beat() -> None:
        beats.append(len(beats))
        if len(beats) < 3:
            raise ConnectionError
        renewed.set()

    with lease_module.Heart(beat, 0.04):
        assert renewed.wait(60)


def test_an_outage_is_no_silence_of_the_workers() -> None:
    watch, lease = Watch(), replace(Lease.of_this_process(0.2), machine="another")
    assert watch.living([lease]) == [lease]
    time.sleep(0.3)
    watch.forget()  # the storage was away: nobody could renew
    assert watch.living([lease]) == [lease]
    time.sleep(0.3)
    assert watch.living([lease]) == []
    assert watch.living([lease.renew(())]) != []


def test_a_lease_says_who_and_until_when(path: Path) -> None:
    ledger = book(path, 3)
    claims = Claims(ledger)
    with claims.working():
        claims.claim(2, alike)
        (written,) = (value for key, value in ledger.attributes().items() if key.startswith(LEASE))
        assert (
            written["pid"] == os.getpid()
            and written["places"] == [0, 1]
            and written["until"].endswith("+00:00")
        )
    (written,) = (value for key, value in ledger.attributes().items() if key.startswith(LEASE))
    assert written["places"] == [] and written["until"] == ""


def test_two_that_want_the_same_withdraw(path: Path) -> None:
    one, other = Claims(book(path, 4)), Claims(book(path, 4))
    with one.working(), other.working():
        assert one.reserve([0, 1])
        assert not other.reserve([1, 2])
        assert other.reserve([3])
        assert [item.trial for item in other.claim(9, alike)] == [
            2,
            3,
        ]  # 0 and 1 wait still, but are spoken for


def test_a_process_that_stopped_while_adding_leaves_no_gap(path: Path) -> None:
    ledger = book(path, 6)
    claims = Claims(ledger)
    for trial in ledger.trials()[2:4]:
        ledger.set_state(trial._trial_id, "FAIL")  # failed, and then killed before it was added again
    with claims.working():
        claims.repair()
        assert sorted(item.trial for item in claims.claim(9, alike)) == list(range(6))


def test_what_was_finished_since_one_looked_is_not_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = book(path, 4)
    claims, other = Claims(ledger), Claims(book(path, 4))
    real = ledger.trials

    def look(*states: str) -> Any:
        found = real(*states)
        monkeypatch.setattr(ledger, "trials", real)
        with other.working():  # between our two looks, a quick worker takes two trials and finishes them
            for item in other.claim(2, alike):
                assert other.finish(item, record(item))
        return found

    with claims.working():
        monkeypatch.setattr(ledger, "trials", look)
        assert [item.trial for item in claims.claim(3, alike)] == [2, 3]
        assert states(ledger) == {"COMPLETE": 2, "RUNNING": 2}


def test_a_population_is_taken_whole_or_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = book(path, 4)
    claims = Claims(ledger)
    real = ledger.set_state

    def lose(*_: Any) -> bool:  # as if another worker had taken it while we slept
        monkeypatch.setattr(ledger, "set_state", real)
        return False

    with claims.working():
        monkeypatch.setattr(ledger, "set_state", lose)
        assert sorted(item.trial for item in claims.claim(3, alike)) == [0, 1, 3]
        assert states(ledger) == {"FAIL": 2, "WAITING": 1, "RUNNING": 3}


def test_a_file_is_opened_beside_a_writer(path: Path) -> None:
    """Optuna looks at a file with two connections at once; a writer may come between them."""
    book(path, 1)
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


# The definition: enough for another process.


def test_a_definition_holds_every_argument(task: Task, path: Path) -> None:
    space = Space(
        ode_unfolds=Integer(2, 5), learning_rate=LogUniform(1e-3, 1e-1), backbone_dropout=Uniform(0.0, 0.4),
        time_constant_range=[None, (0.2, 0.6)], clip_norm=[None, 1.0],
    )  # fmt: skip
    made = Study(
        path, task.take(30), space, model=LTC, sampler="tpe", trials=5, seeds=(3, 1), name="whole", population=7,
        members_per_shape=3, sampler_seed=11,
        fixed={"backbone_layers": 1, "hidden_size": 4, "steps": 3, "batch_size": 16},
    )  # fmt: skip
    opened = Study.open(path, "whole")
    first, second, kept = (
        json.dumps(definition, sort_keys=True)
        for definition in (written(made), written(opened), read_definition(path, "whole"))
    )
    assert first == second == kept
    assert repr(opened.space) == repr(made.space) and opened.fixed == made.fixed
    known = restored(written(made)).keys() | {"storage", "name"}
    assert set(inspect.signature(Study.__init__).parameters) - {"self"} <= known


def test_what_cannot_be_opened_is_named(task: Task, path: Path) -> None:
    with pytest.raises(ValueError, match=r"storage must be a file that is there, got .*tuning\.db"):
        Study.open(path)
    study_of(task, path, name="mine")
    optuna.create_study(storage=f"sqlite:///{path}", study_name="theirs")
    for name in ("absent", "theirs"):
        with pytest.raises(
            ValueError, match=rf"name must be that of a study in .*, which holds 'mine', got '{name}'"
        ):
            Study.open(path, name)
    with pytest.raises(
        ValueError, match=r"task must hold the data of the study, with hash .*, got 'irregular sines'"
    ):
        Study.open(path, "mine", task=task.take(20))


def test_a_file_that_holds_no_study_is_left_as_it_is(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("create table photos (name)")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"name must be that of a study in .*, which holds none, got 'study'"):
        Study.open(path)
    assert path.read_bytes() == before


def test_a_task_from_arrays_needs_to_be_given(task: Task, path: Path) -> None:
    bare = Task("bare", task.train, task.validation, task.test)
    study = study_of(bare, path)
    with pytest.raises(
        ValueError,
        match=r"got one made from arrays in 'study'\. Put the code .* with ncps_mlx\.data\.load_task",
    ):
        study.run(workers=2, progress=False)
    with pytest.raises(ValueError, match=r"made from arrays in this study.*--task module:function"):
        Study.open(path)
    assert len(Study.open(path, task=bare).run(progress=False).records) == 12


def test_workers_need_a_storage(task: Task) -> None:
    with pytest.raises(
        ValueError, match=r"workers must be 1 for a study in memory, .* got 2\. Give it a file"
    ):
        study_of(task, None).run(workers=2)
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        study_of(task, None).run(workers=0)


# The command.


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ncps_mlx", "worker", *arguments],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip


def test_the_command_trains_a_study_to_its_end(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    made = load_task(f"{tmp_path / 'own.py'}:make")
    bare = Task("mine", made.train, made.validation, made.test)
    study = study_of(bare, path, name="one")
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own
    with pytest.raises(SystemExit) as ended:
        main(["worker", str(path), "one", "--task", f"{tmp_path / 'own.py'}:make", "--population=5"])
    assert ended.value.code == 0 and "12/12" in capsys.readouterr().err
    assert outcome(study) == outcome(study_of(bare, None).run(progress=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{path}", "absent"], "ValueError: name must be that of a study in"),
        (["{path}.none", "study"], "ValueError: storage must be a file that is there"),
        (["{path}", "study", "--population=0"], "ValueError: population must be at least 1"),
        (["{path}", "study", "--task", "nowhere:make"], "ModuleNotFoundError: No module named 'nowhere'"),
        (["carrier://pigeon", "study"], "ValueError: storage must be None, a file's path, or a URL"),
        (["grpc://pigeon", "study"], "ValueError: storage must name host and port as grpc://HOST:PORT"),
    ],
)
def test_the_command_names_what_is_wrong(
    task: Task, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    study_of(task, path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main(["worker", *(word.format(path=path) for word in arguments)])
    assert ended.value.code == 1 and message in capsys.readouterr().err


def begun(path: Path, least: int = 1) -> None:
    """Wait until a study in a file has so many trials running."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if states_in(path)["RUNNING"] >= least:
            return
        time.sleep(0.05)
    raise AssertionError(states_in(path))


def states_in(path: Path) -> Counter[str]:
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{path}")
    return Counter(trial.state.name for trial in study.get_trials(deepcopy=False))


def test_a_worker_that_is_stopped_puts_back_what_it_trains(task: Task, path: Path) -> None:
    study_of(task, path, fixed=FIXED | {"steps": 20_000})
    worker = command("-", "study", "--quiet")
    assert worker.stdin is not None and worker.stderr is not None
    worker.stdin.write(f"{path}\n")
    worker.stdin.flush()
    begun(path)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 130
    assert f"Stopped. What was being trained waits in {path}." in worker.stderr.read()
    assert states_in(path) == {"FAIL": 2, "WAITING": 12}
    worker.stdin.close()
    worker.stderr.close()


# Several processes.


def leases_in(path: Path) -> list[dict[str, Any]]:
    attributes = optuna.load_study(study_name="study", storage=f"sqlite:///{path}").user_attrs
    return [value for key, value in attributes.items() if key.startswith(LEASE)]


@pytest.mark.slow
def test_two_workers_end_as_one_would(task: Task, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = study_of(task, path, seeds=(0, 1))
    assert study.run(workers=2, progress=True, memory_mb=1e-3) is study
    assert outcome(study) == outcome(study_of(task, None, seeds=(0, 1)).run(progress=False))
    assert Counter(trial.state.name for trial in study.optuna.trials) == {"COMPLETE": 24}
    shown = capsys.readouterr().err
    assert "24/24" in shown and f"best={min(run.score for run in study.records):.4g}" in shown
    assert (
        sum(key.startswith(LEASE) for key in study.optuna.user_attrs) == 3
    )  # the parent's too, while it repairs
    assert study.best.rerun(task).score == study.best.score


def test_a_name_may_begin_with_a_dash(task: Task, path: Path) -> None:
    study = study_of(task, path, name="--help", trials=2)
    assert len(study.run(workers=2, progress=False).records) == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_stop_with_the_process_that_started_them(task: Task, path: Path, how: signal.Signals) -> None:
    study_of(task, path, fixed=FIXED | {"steps": 20_000})
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"  # a shell's jobs ignore it
        "from ncps_mlx import Study; Study.open(sys.argv[1]).run(workers=2, progress=False)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE) as parent:
        try:
            begun(path, 4)
            parent.send_signal(how)
            told = parent.communicate(timeout=60)[1]
        finally:
            parent.kill()
    assert (how == signal.SIGKILL) != (b"KeyboardInterrupt" in told)
    deadline = time.monotonic() + 60
    while any(lease["until"] for lease in leases_in(path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    trials = optuna.load_study(study_name="study", storage=f"sqlite:///{path}").get_trials(deepcopy=False)
    assert {trial.state.name for trial in trials} == {"FAIL", "WAITING"}
    waiting = [trial.user_attrs["trial"] for trial in trials if trial.state.name == "WAITING"]
    assert set(waiting) == set(range(12)) and len(trials) - len(waiting) >= 4
    study_of(task, path, fixed=FIXED | {"steps": 20_000})  # two that stop at once may both put a trial back
    assert states_in(path)["WAITING"] == 12


def test_a_bar_ends_with_what_others_trained(
    task: Task, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, other = study_of(task, path), study_of(task, path)

    real = Shift.take

    def look(*_: Any) -> list[Planned]:  # before we look, the other one trains all
        monkeypatch.setattr(Shift, "take", real)
        other.run(progress=False)
        return []

    monkeypatch.setattr(Shift, "take", look)
    study.run()
    assert "12/12" in capsys.readouterr().err


def test_a_bar_counts_what_others_have_trained_of_what_they_hold(task: Task, path: Path) -> None:
    study, other = study_of(task, path), study_of(task, path)
    shift = Shift(study._design, study._ledger, study._claims, population=2)
    with other._claims.working(), Progress(12, "study", "trial", shown=False) as bar:
        batch = other._claims.claim(4, alike)
        other._claims.reached = lambda: (3.6, 0.25)
        other._claims._renew()
        shift.show(bar)
        assert (bar.done, bar.score) == (3, 0.25)
        for item in batch[:2]:
            assert other._claims.finish(item, record(item))
        shift.show(bar)
        assert bar.done == 4  # the lease is older than the scores
        with study._claims.working():
            own = study._claims.claim(2, alike)
            assert all(study._claims.finish(item, record(item)) for item in own)
        shift.show(bar)
        assert bar.done == 6


def test_a_worker_tells_how_much_of_its_population_is_trained(
    task: Task, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, told = Claims.finish, []

    def finish(self: Claims, planned: Planned, record: Record) -> bool:
        assert self.reached is not None
        told.append(self.reached())
        return real(self, planned, record)

    monkeypatch.setattr(Claims, "finish", finish)
    study = study_of(task, path).run(progress=False)
    assert [done for done, _ in told] == [2, 1] * 6
    assert told[-1][1] is not None and told[-1][1] <= min(run.score for run in study.records)
    assert study._claims.reached is None


def test_a_worker_that_ends_before_it_is_told_the_storage_is_quoted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: list[str], **settings: Any) -> subprocess.Popen[bytes]:
        process = real([sys.executable, "-c", "import sys; sys.exit('no such module')"], **settings)
        process.wait()
        return process

    real = subprocess.Popen
    monkeypatch.setattr("ncps_mlx.search._worker_pool.subprocess.Popen", start)
    with Team(path, "study", 2, population=1, lease=60.0) as team:
        assert not team.running()
        assert team.error() == "no such module"


def test_workers_that_fail_are_quoted(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(OWN)
    study = study_of(load_task(f"{tmp_path / 'own.py'}:make"), path)
    (tmp_path / "own.py").unlink()
    with pytest.raises(
        RuntimeError, match=r"workers of 'study' stopped .*: ValueError: path must name a file"
    ):
        study.run(workers=2, progress=False)
    assert "Worker 1 stopped: ValueError: path must name a file" in capsys.readouterr().err
    assert states_in(path) == {"WAITING": 12}


def test_a_killed_worker_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Team(path, "absent", 1, population=1, lease=60.0) as team:
        team._workers[0].kill()
        team._workers[0].wait()
        assert not team.running()
        assert team.error() == "killed by SIGKILL."
    assert "Worker 1 stopped: killed by SIGKILL." in capsys.readouterr().err


# The storage.


def away(times: int) -> Any:
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
    patience = Patience("postgresql://ann:***@host/studies")
    monkeypatch.setattr(patience, "_wait", pauses.append)
    assert patience(away(7)) == "here"
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]
    assert patience.outages == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "postgresql://ann:***@host/studies does not answer (connection refused); trying again for up to 10 minutes.",
        "postgresql://ann:***@host/studies answers again after 0 s.",
    ]


def test_a_connection_that_outlives_its_server_ends_no_outage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    patience = Patience("there")
    monkeypatch.setattr(patience, "_wait", lambda _: patience(lambda: "another thread's, still open"))
    assert patience(away(3)) == "here"
    assert patience.outages == 1
    assert [line.split(" (")[0] for line in capsys.readouterr().err.splitlines()] == [
        "there does not answer", "there answers again after 0 s.",
    ]  # fmt: skip


def test_a_server_that_stays_away_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="storage must answer, got none from there: connection refused"):
        Patience("there", seconds=0)(away(1))


def test_a_process_that_ends_waits_for_no_server() -> None:
    patience, call = Patience("there"), away(10**6)
    errors: list[ConnectionError] = []

    def beat() -> None:
        try:
            patience(call)
        except ConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=beat)
    thread.start()
    while not patience.outages:
        time.sleep(0.01)
    with patience.leaving():
        thread.join(60)  # it need not sit out its ten minutes
        assert len(errors) == 1
        with pytest.raises(ConnectionError):
            patience(call)


def test_a_server_that_goes_while_a_read_is_tried_again_is_away_too() -> None:
    def call() -> None:
        try:
            away(1)()
        except OperationalError:  # as Optuna does, with the connection that has just broken
            raise PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")  # noqa: B904  # without a cause, as there

    with pytest.raises(ConnectionError, match="storage must answer, got none from there: connection refused"):
        Patience("there", seconds=0)(call)


def test_what_is_wrong_with_the_call_is_not_tried_again() -> None:
    def call() -> None:
        raise KeyError("no such study")

    with pytest.raises(KeyError):
        Patience("there")(call)


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
        shown("postgresql+psycopg://ann:s3cret@host:5432/studies")
        == "postgresql+psycopg://ann:***@host:5432/studies"
    )
    assert shown("postgresql://ann@host/studies") == "postgresql://ann@host/studies"
    assert shown("grpc://host:13000") == "grpc://host:13000"


def test_the_command_has_a_page_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["worker", "--help"])
    text = capsys.readouterr().out
    assert "postgresql://USER@HOST/NAME" in text and "--task MODULE:FUNCTION" in text


def test_what_the_database_says_is_told_and_not_what_was_looked_up_meanwhile() -> None:
    error = OSError("connection refused\nIs the server running?")
    error.__context__ = KeyError(())  # that SQLAlchemy was handling
    assert said(error) == "connection refused"
    assert said(KeyError("knob")) == "'knob'"
