"""Who takes what, and leases that run out: the queue of trials alone, nothing is trained."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

# Private: what one worker does between two steps of another shows in no Study.
from ncps_mlx.search._storage import leases as lease_module
from ncps_mlx.search._storage.leases import Lease, Watch
from ncps_mlx.search._storage.trial_queue import LEASE, Claims
from ncps_mlx.search._storage.trial_store import Ledger, Planned
from tests.shared_study import alike, book, record, states


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuning.db"


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
from ncps_mlx.search._storage.trial_queue import Claims
from tests.shared_study import alike, book, record
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
