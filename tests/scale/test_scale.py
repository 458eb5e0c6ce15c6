"""One study, several workers, a real PostgreSQL, and what may happen to each of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ncps_mlx import Space, Study
from ncps_mlx.data import irregular_sines
from ncps_mlx.search._storage.trial_queue import LEASE
from tests.scale.server import Server, free_port

HERE = Path(__file__).parent
SECONDS = 600.0
Machine = Callable[[str, Path], subprocess.Popen[bytes]]


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    """End as after Ctrl-C when somebody ends the session, so that no server stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    path = tmp_path_factory.mktemp("alone") / "tuning.db"
    sweep(str(path))
    return outcome(Study.open(path, "rates").run(progress=False))


def environment() -> dict[str, str]:
    folder = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(HERE.parents[1])}


def sweep(url: str) -> None:
    run = subprocess.run([sys.executable, HERE / "sweep.py", url], check=True, capture_output=True, text=True)
    assert run.stdout == "Study('rates': random, 48 configurations x 1 seed, 0 of 48 trials done)\n"


@pytest.fixture
def machine() -> Iterator[Machine]:
    """What one machine runs: two workers. None outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str, log: Path) -> subprocess.Popen[bytes]:
        command = [str(HERE / "workers.sh"), url, "rates"]
        with log.open("wb") as errors:
            started.append(
                subprocess.Popen(command, stderr=errors, env=environment(), start_new_session=True)
            )
        return started[-1]

    yield start
    for each in started:
        with suppress(ProcessLookupError):
            os.killpg(each.pid, signal.SIGKILL)
        each.wait()


def outcome(study: Study) -> list[tuple[Any, ...]]:
    return [
        (run.trial, tuple(sorted(run.config.items())), run.seed, run.score, run.history)
        for run in study.records
    ]


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def states(study: Study) -> Counter[str]:
    return Counter(trial.state.name for trial in study.optuna.get_trials(deepcopy=False))


def training(study: Study) -> list[int]:
    """The processes that train at this moment, and not just want what another one trains."""
    trials = study.optuna.get_trials(deepcopy=False)
    running = {trial.user_attrs["trial"] for trial in trials if trial.state.name == "RUNNING"}
    leases = [value for key, value in study.optuna.user_attrs.items() if key.startswith(LEASE)]
    holders = Counter(trial for lease in leases for trial in lease["trials"])
    held = {trial for trial in running if holders[trial] == 1}
    return [lease["pid"] for lease in leases if held.intersection(lease["trials"])]


def kill_one_that_trains(study: Study) -> None:
    """Hold a worker, look whether it still trains, and kill it."""
    for _ in range(100):
        for worker in training(study):
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.2)  # what it asked of the server before is answered
            if worker in training(study):
                os.kill(worker, signal.SIGKILL)
                return
            os.kill(worker, signal.SIGCONT)
    raise AssertionError("nobody trains")


def count(logs: list[Path], phrase: str) -> int:
    return sum(log.read_text().count(phrase) for log in logs)


def finished_once(study: Study, undisturbed: list[tuple[Any, ...]]) -> None:
    assert states(study)["COMPLETE"] == 48
    assert outcome(study) == undisturbed
    done = [trial for trial in study.optuna.trials if trial.state.name == "COMPLETE"]
    assert sorted(trial.user_attrs["trial"] for trial in done) == list(range(48))
    assert set(states(study)) <= {"COMPLETE", "FAIL"}


def test_four_workers_outlive_one_of_them_and_the_server(
    server: Server, machine: Machine, tmp_path: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    sweep(server.url)
    study = Study.open(server.url, "rates")
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    machines = [machine(server.url, log) for log in logs]
    wait_for(lambda: states(study)["COMPLETE"] >= 4 and len(training(study)) == 4)
    kill_one_that_trains(study)
    wait_for(lambda: states(study)["COMPLETE"] >= 12)
    assert states(study)["COMPLETE"] < 40  # in mid-study
    server.kill()
    wait_for(lambda: count(logs, "does not answer") == 3)
    server.start()
    for each in machines:
        each.wait(SECONDS)
    said = [line for log in logs for line in log.read_text().splitlines()]
    print(*said, states(study), sep="\n")
    finished_once(study, undisturbed)
    assert states(study)["FAIL"] >= 1  # what the killed one trained
    away, back = (
        [line for line in said if phrase in line] for phrase in ("does not answer", "answers again")
    )
    assert len(away) == len(back) == 3  # of the three that live, one line each
    assert sorted(away + back) == sorted(line for line in said if "Killed" not in line), said
    assert all("ncps:***@127.0.0.1" in line for line in said if "Killed" not in line)


def test_workers_behind_a_proxy_outlive_it(
    machine: Machine, tmp_path: Path, undisturbed: list[tuple[Any, ...]]
) -> None:
    with Server() as database:
        port = free_port()
        url = f"grpc://127.0.0.1:{port}"
        command: list[str | Path] = [sys.executable, HERE / "proxy.py", database.url, str(port)]
        proxy = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: _answers(url))
            sweep(url)
            study = Study.open(database.url, "rates")
            workers = machine(url, tmp_path / "log")
            wait_for(lambda: states(study)["COMPLETE"] >= 4)
            proxy.kill()
            proxy.wait()
            wait_for(lambda: count([tmp_path / "log"], "does not answer") == 2)
            proxy = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
            workers.wait(SECONDS)
            print((tmp_path / "log").read_text(), states(study))
            finished_once(study, undisturbed)
            assert count([tmp_path / "log"], "answers again") == 2
        finally:
            proxy.kill()
            proxy.wait()


def _answers(url: str) -> bool:
    from ncps_mlx.search._storage.open import open_storage

    try:
        open_storage(url)
    except ConnectionError:
        return False
    return True


def test_a_server_that_refuses_is_named_without_its_password(server: Server) -> None:
    wrong = server.url.replace("ncps:", "nobody:")
    with pytest.raises(
        ConnectionError, match=r"storage must answer, got none from postgresql\+psycopg://nobody:\*\*\*@"
    ):
        Study.open(wrong, "rates")


def test_workers_train_a_users_own_module(server: Server, tmp_path: Path) -> None:
    def own(storage: str | Path) -> Study:
        return Study(
            storage,
            irregular_sines(n_train=48, n_validation=16, n_test=16, readings=8),
            Space(width=[2, 3], dropout=[0.0, 0.2], learning_rate=[0.003, 0.03]),
            model="tests.own_models:Small",
            sampler="grid",
            name="own",
            population_size=2,
            fixed={"steps": 20, "batch_size": 16},
        )

    study = own(server.url)
    command = [str(HERE / "workers.sh"), server.url, "own"]
    subprocess.run(command, env=environment(), check=True, timeout=SECONDS)
    assert outcome(study) == outcome(own(tmp_path / "alone.db").run(progress=False))
    assert {record.model for record in study.records} == {"tests.own_models:Small"}
