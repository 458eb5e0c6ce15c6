"""Who takes what, and leases that run out: the queue of trials alone, nothing is trained."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

# Private: what one worker does between two steps of another shows in no Study.
from ncps_mlx.search._storage import leases as lease_module
from ncps_mlx.search._storage import trial_queue as queue_module
from ncps_mlx.search._storage.leases import Lease, LivenessMonitor
from ncps_mlx.search._storage.trial_queue import LEASE, TrialQueue
from ncps_mlx.search._storage.trial_store import TrialSpec, TrialStore
from tests.shared_study import make_store, record, same_shape, states


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tuning.db"


def on_other_machine(monkeypatch: pytest.MonkeyPatch, queue: TrialQueue) -> None:
    """Let a worker look as if it ran on another machine: its end is not seen, only that its lease stands still."""
    assert queue._lease is not None
    monkeypatch.setattr(queue, "_lease", replace(queue._lease, machine="another", pid=1))


class Clock:
    """Stands for the module time where leases are watched: it goes when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(lease_module, "time", self)

    def monotonic(self) -> float:
        return self.now


def test_of_two_changes_of_one_state_one_counts(path: Path) -> None:
    one, other = make_store(path, 30), make_store(path, 30)
    wins: list[list[bool]] = [[], []]
    keys = [trial._trial_id for trial in one.trials()]

    def take(number: int, store: TrialStore) -> None:
        for key in keys:
            meet.wait()  # both at the same moment
            wins[number].append(store.set_state(key, "RUNNING"))

    meet = threading.Barrier(2, timeout=60)
    threads = [threading.Thread(target=take, args=pair) for pair in enumerate((one, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a + b for a, b in zip(*wins, strict=True)] == [1] * 30


def test_what_is_finished_stays_as_it_is(path: Path) -> None:
    one, other = make_store(path, 1), make_store(path, 1)
    (key,) = (trial._trial_id for trial in one.trials())
    assert one.set_state(key, "RUNNING") and one.set_state(key, "COMPLETE", [1.0])
    assert not other.set_state(key, "FAIL")
    assert not other.set_state(key, "COMPLETE", [2.0])
    assert other.trials()[0].value == 1.0


def test_four_workers_finish_every_trial_once(path: Path) -> None:
    make_store(path, 24)
    finished: list[int] = []

    def work() -> None:
        store = make_store(path, 24)
        queue = TrialQueue(store)
        with queue.working():
            while batch := queue.claim(3, same_shape):
                finished.extend(item.index for item in batch if queue.finish(item, record(item)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == list(range(24))
    assert states(make_store(path, 24)) == {"COMPLETE": 24}


def test_a_population_is_of_one_kind_and_taken_at_once() -> None:
    store = make_store(None, 9)
    queue = TrialQueue(store)

    def half(item: TrialSpec) -> bool:
        return bool(item.config["learning_rate"] < 0.45)

    with queue.working():
        assert [item.index for item in queue.claim(9, half)] == [0, 1, 2, 3]
        assert [item.index for item in queue.claim(2, half)] == [4, 5]


def test_what_is_still_held_waits_again(path: Path) -> None:
    store = make_store(path, 5)
    queue = TrialQueue(store)

    def interrupted() -> None:
        with queue.working():
            batch = queue.claim(3, same_shape)
            queue.finish(batch[0], record(batch[0]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert states(store) == {"COMPLETE": 1, "FAIL": 2, "WAITING": 4}
    store.refresh()
    assert sorted(store.configs()) == [0, 1, 2, 3, 4]
    with queue.working():
        assert sorted(item.index for item in queue.claim(9, same_shape)) == [1, 2, 3, 4]


def test_a_dead_process_of_this_machine_is_seen_at_once(path: Path) -> None:
    code = """
import os, sys
from ncps_mlx.search._storage.trial_queue import TrialQueue
from tests.shared_study import make_store, record, same_shape
store = make_store(sys.argv[1], 5)
queue = TrialQueue(store)
with queue.working():
    one, other = queue.claim(2, same_shape)
    store.storage.set_trial_user_attr(other.optuna_id, "record", record(other).to_json())
    os._exit(9)
"""
    child = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[1], check=False
    )
    assert child.returncode == 9
    store = make_store(path, 5)
    queue = TrialQueue(store)
    assert states(store) == {"RUNNING": 2, "WAITING": 3}
    with queue.working():
        assert queue.other_leases() == []
        queue.requeue_orphans()
        assert states(store) == {"COMPLETE": 1, "FAIL": 1, "WAITING": 4}  # one had its record already
        assert sorted(item.index for item in queue.claim(9, same_shape)) == [0, 2, 3, 4]


def test_a_lease_that_stands_still_runs_out_and_its_holder_can_write_no_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(path, 5)
    stalled, queue = TrialQueue(make_store(path, 5)), TrialQueue(store)
    monkeypatch.setattr(queue_module, "heartbeat", lambda *_: nullcontext())  # it is never renewed
    clock = Clock(monkeypatch)
    with stalled.working(0.5), queue.working():
        on_other_machine(monkeypatch, stalled)
        batch = stalled.claim(2, same_shape)
        queue.requeue_orphans()
        assert len(queue.other_leases()) == 1 and states(store) == {"RUNNING": 2, "WAITING": 3}
        assert [item.index for item in queue.claim(1, same_shape)] == [2]  # what is held is not free
        clock.now = 0.6
        queue.requeue_orphans()
        assert queue.other_leases() == [] and states(store) == {"RUNNING": 1, "FAIL": 2, "WAITING": 4}
        again = queue.claim(9, same_shape)
        assert sorted(item.index for item in again) == [0, 1, 3, 4]
        assert not stalled.finish(batch[0], record(batch[0], score=2.0))
        assert all(queue.finish(item, record(item)) for item in again)
        assert not stalled.finish(batch[1], record(batch[1], score=2.0))
    store.refresh()
    assert {run.trial: run.score for run in store.records()} == {0: 1.0, 1: 1.0, 3: 1.0, 4: 1.0}


def renewed(store: TrialStore) -> None:
    """Wait until the lease of a worker on_other_machine is renewed."""
    sequences: set[int] = set()
    deadline = time.monotonic() + 60
    while len(sequences) < 2:
        assert time.monotonic() < deadline
        leases = [value for key, value in store.attributes().items() if key.startswith(LEASE)]
        sequences |= {lease["sequence"] for lease in leases if lease["machine"] == "another"}
        time.sleep(0.01)


def test_a_slow_worker_that_lives_keeps_its_trials(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(path, 5)
    slow, queue = TrialQueue(make_store(path, 5)), TrialQueue(store)
    clock = Clock(monkeypatch)
    with slow.working(0.4), queue.working():
        on_other_machine(monkeypatch, slow)
        batch = slow.claim(2, same_shape)
        for _ in range(6):  # more than four times as long as its lease lasts
            renewed(store)
            clock.now += 0.3
            queue.requeue_orphans()
        assert states(store) == {"RUNNING": 2, "WAITING": 3}
        assert all(slow.finish(item, record(item)) for item in batch)


def test_a_renewal_that_fails_is_not_the_last() -> None:
    sequences: list[int] = []
    renewed = threading.Event()

    def renew() -> None:
        sequences.append(len(sequences))
        if len(sequences) < 3:
            raise ConnectionError
        renewed.set()

    with lease_module.heartbeat(renew, 0.04):
        assert renewed.wait(60)


def test_an_outage_is_no_silence_of_the_workers() -> None:
    monitor, lease = LivenessMonitor(), replace(Lease.of_this_process(0.2), machine="another")
    assert monitor.alive([lease]) == [lease]
    time.sleep(0.3)
    monitor.reset()  # the storage was away: nobody could renew
    assert monitor.alive([lease]) == [lease]
    time.sleep(0.3)
    assert monitor.alive([lease]) == []
    assert monitor.alive([lease.renew(())]) != []


def test_a_lease_says_who_and_until_when(path: Path) -> None:
    store = make_store(path, 3)
    queue = TrialQueue(store)
    with queue.working():
        queue.claim(2, same_shape)
        (written,) = (value for key, value in store.attributes().items() if key.startswith(LEASE))
        assert (
            written["pid"] == os.getpid()
            and written["trials"] == [0, 1]
            and written["until"].endswith("+00:00")
        )
    (written,) = (value for key, value in store.attributes().items() if key.startswith(LEASE))
    assert written["trials"] == [] and written["until"] == ""


def test_two_that_want_the_same_withdraw(path: Path) -> None:
    one, other = TrialQueue(make_store(path, 4)), TrialQueue(make_store(path, 4))
    with one.working(), other.working():
        assert one.reserve([0, 1])
        assert not other.reserve([1, 2])
        assert other.reserve([3])
        assert [item.index for item in other.claim(9, same_shape)] == [
            2,
            3,
        ]  # 0 and 1 wait still, but are spoken for


def test_a_process_that_stopped_while_adding_leaves_no_gap(path: Path) -> None:
    store = make_store(path, 6)
    queue = TrialQueue(store)
    for trial in store.trials()[2:4]:
        store.set_state(trial._trial_id, "FAIL")  # failed, and then killed before it was added again
    with queue.working():
        queue.requeue_orphans()
        assert sorted(item.index for item in queue.claim(9, same_shape)) == list(range(6))


def test_what_was_finished_since_one_looked_is_not_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(path, 4)
    queue, other = TrialQueue(store), TrialQueue(make_store(path, 4))
    real = queue.reserve

    def reserve(trials: Sequence[int]) -> bool:
        monkeypatch.setattr(queue, "reserve", real)
        with other.working():  # after our look, a quick worker takes two trials and finishes them
            for item in other.claim(2, same_shape):
                assert other.finish(item, record(item))
        return real(trials)

    with queue.working():
        monkeypatch.setattr(queue, "reserve", reserve)
        assert [item.index for item in queue.claim(3, same_shape)] == [2]
        assert [lease.trials for lease in other.other_leases()] == [(2,)]
        assert states(store) == {"COMPLETE": 2, "RUNNING": 1, "WAITING": 1}


@pytest.mark.parametrize("whole", [True, False])
def test_what_another_took_meanwhile_is_left_to_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    store = make_store(path, 4)
    queue = TrialQueue(store)
    real = store.set_state

    def lose(*_: Any) -> bool:  # as if another worker had taken it while we slept
        monkeypatch.setattr(store, "set_state", real)
        return False

    with queue.working():
        monkeypatch.setattr(store, "set_state", lose)
        if whole:  # what is ranked together is taken whole or not
            assert sorted(item.index for item in queue.claim(3, same_shape, lambda specs: len(specs) > 2)) == [0, 1, 3]
            assert states(store) == {"FAIL": 2, "WAITING": 1, "RUNNING": 3}
        else:
            assert sorted(item.index for item in queue.claim(3, same_shape)) == [1, 2]
            assert states(store) == {"WAITING": 2, "RUNNING": 2}
