"""Workers: the command, and several processes that share one study."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from ncps_mlx import Record, Task

# Private: what a worker tells while it trains, and one that ends too soon.
from ncps_mlx.__main__ import main
from ncps_mlx._utils.progress import Progress
from ncps_mlx.data import load_task
from ncps_mlx.search._storage.trial_queue import LEASE, TrialQueue
from ncps_mlx.search._storage.trial_store import TrialSpec
from ncps_mlx.search._worker import Worker, WorkerSettings
from ncps_mlx.search._worker_pool import WorkerPool
from tests.shared_study import OWN_TASK, record, same_shape, study_of
from tests.small_study import FIXED, outcome


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuning.db"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process that started workers see at once that they have ended."""
    monkeypatch.setattr("ncps_mlx.search._study.LOOK_SECONDS", 0.02)


def test_workers_need_a_storage(task: Task) -> None:
    with pytest.raises(
        ValueError, match=r"workers must be 1 for a study in memory, .* got 2\. Give it a file"
    ):
        study_of(task, None).run(workers=2)
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        study_of(task, None).run(workers=0)


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ncps_mlx", "worker", *arguments],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip


def test_the_command_trains_a_study_to_its_end(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(OWN_TASK)
    made = load_task(f"{tmp_path / 'own.py'}:make")
    bare = Task("mine", made.train, made.validation, made.test)
    study = study_of(bare, path, name="one")
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own
    status = main(["worker", str(path), "one", "--task", f"{tmp_path / 'own.py'}:make", "--population-size=5"])
    assert status == 0 and "12/12" in capsys.readouterr().err
    assert outcome(study) == outcome(study_of(bare, None).run(progress=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{path}", "absent"], "ValueError: name must be that of a study in"),
        (["{path}.none", "study"], "ValueError: storage must be a file that is there"),
        (["{path}", "study", "--population-size=0"], "ValueError: population_size must be at least 1"),
        (["{path}", "study", "--task", "nowhere:make"], "got 'nowhere': nowhere is neither installed nor in "),
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
    status = main(["worker", *(word.format(path=path) for word in arguments)])
    assert status == 1 and message in capsys.readouterr().err


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

    real = Worker.claim

    def look(*_: Any) -> list[TrialSpec]:  # before we look, the other one trains all
        monkeypatch.setattr(Worker, "claim", real)
        other.run(progress=False)
        return []

    monkeypatch.setattr(Worker, "claim", look)
    study.run()
    assert "12/12" in capsys.readouterr().err


def test_a_bar_counts_what_others_have_trained_of_what_they_hold(task: Task, path: Path) -> None:
    study, other = study_of(task, path), study_of(task, path)
    worker = Worker(study.config, study._store, study._queue, WorkerSettings(population_size=2))
    with other._queue.working(), Progress(12, "study", "trial", shown=False) as bar:
        batch = other._queue.claim(4, same_shape)
        other._queue.progress = lambda: (3.6, 0.25)
        other._queue._renew()
        worker.update(bar)
        assert (bar.done, bar.best_score) == (3, 0.25)
        for item in batch[:2]:
            assert other._queue.finish(item, record(item))
        worker.update(bar)
        assert bar.done == 4  # the lease is older than the scores
        with study._queue.working():
            own = study._queue.claim(2, same_shape)
            assert all(study._queue.finish(item, record(item)) for item in own)
        worker.update(bar)
        assert bar.done == 6


def test_a_worker_tells_how_much_of_its_population_is_trained(
    task: Task, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, told = TrialQueue.finish, []

    def finish(self: TrialQueue, spec: TrialSpec, record: Record) -> bool:
        assert self.progress is not None
        told.append(self.progress())
        return real(self, spec, record)

    monkeypatch.setattr(TrialQueue, "finish", finish)
    study = study_of(task, path).run(progress=False)
    assert [done for done, _ in told] == [2, 1] * 6
    assert told[-1][1] is not None and told[-1][1] <= min(run.score for run in study.records)
    assert study._queue.progress is None


def test_a_worker_that_ends_before_it_is_told_the_storage_is_quoted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: list[str], **settings: Any) -> subprocess.Popen[bytes]:
        process = real([sys.executable, "-c", "import sys; sys.exit('no such module')"], **settings)
        process.wait()
        return process

    real = subprocess.Popen
    monkeypatch.setattr("ncps_mlx.search._worker_pool.subprocess.Popen", start)
    with WorkerPool(path, "study", 2, WorkerSettings(population_size=1)) as pool:
        assert not pool.running()
        assert pool.error() == "no such module"


def test_workers_that_fail_are_quoted(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(OWN_TASK)
    study = study_of(load_task(f"{tmp_path / 'own.py'}:make"), path)
    (tmp_path / "own.py").unlink()
    with pytest.raises(
        RuntimeError, match=r"workers of 'study' stopped .*: ValueError: path must name a file"
    ):
        study.run(workers=2, progress=False)
    assert "Worker 1 stopped: ValueError: path must name a file" in capsys.readouterr().err
    assert states_in(path) == {"WAITING": 12}


def test_a_killed_worker_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with WorkerPool(path, "absent", 1, WorkerSettings(population_size=1)) as pool:
        pool._workers[0].kill()
        pool._workers[0].wait()
        assert not pool.running()
        assert pool.error() == "killed by SIGKILL."
    assert "Worker 1 stopped: killed by SIGKILL." in capsys.readouterr().err


def test_the_command_has_a_page_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["worker", "--help"])
    text = capsys.readouterr().out
    assert "postgresql://USER@HOST/NAME" in text and "--task MODULE:FUNCTION" in text


class Untrained:
    """Stands for a population: a study of hundreds of trials, none of which is trained."""

    def __init__(self, task: Task, model: str, configs: Any, seeds: Any, trials: Any, _: float | None) -> None:
        shared: dict[str, Any] = {"model": model, "task": task.name, "data_hash": task.data_hash, "metric": "rmse"}
        each = zip(trials, configs, seeds, strict=True)
        self.made = [Record(trial=i, config=config, seed=seed, score=1.0, **shared) for i, config, seed in each]

    def train(self, bar: Progress) -> None:
        bar.reach(bar.done + len(self.made))

    def records(self) -> list[Record]:
        return self.made


@pytest.mark.parametrize("stored", [True, False])
def test_a_long_plan_is_stored_piece_by_piece(
    task: Task, path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    monkeypatch.setattr("ncps_mlx.search._worker.TrialPopulation", Untrained)
    settings: dict[str, Any] = {"trials": 300, "draws_per_shape": 50, "population_size": 20}
    study, other = (study_of(task, path if stored else None, **settings) for _ in range(2))
    assert len(study.optuna.trials) == 128
    study.run(progress=False, max_trials=100)
    if stored:
        other.run(progress=False, max_trials=100)
    assert sum(trial.state.name == "WAITING" for trial in study.optuna.trials) <= 128
    study.run(progress=False)
    assert [run.trial for run in study.records] == list(range(300))
    assert len(study.optuna.trials) == 300
