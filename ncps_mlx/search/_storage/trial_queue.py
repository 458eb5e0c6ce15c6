"""The queue of a study's trials: which worker trains what, so that nothing is lost, and nothing is finished twice.

Any number of workers may share a study. Two rules keep it right whenever one of them, or the storage, stops:

* a worker writes into its lease which trials of the plan it takes, looks whether another living worker holds one of
  them, and withdraws if so; only then it marks them as running, each by a change that the storage makes once;
* a trial that runs and that no living worker holds is marked as failed, and its index is added again. Whoever lost
  it in this way can no longer write to it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ncps_mlx.search._record import Record
from ncps_mlx.search._storage.leases import LEASE_SECONDS, Lease, LivenessMonitor, heartbeat
from ncps_mlx.search._storage.trial_store import TrialSpec, TrialStore

__all__ = ["TrialQueue"]

LEASE = "ncps_mlx:worker:"  # begins the name of each worker's lease
BACKOFF_SECONDS = (0.02, 0.2)  # to wait after two workers wanted the same trials


class TrialQueue:
    """One worker's share of a study."""

    def __init__(self, store: TrialStore) -> None:
        self._store = store
        self._lease: Lease | None = None
        self._lease_lock = threading.RLock()
        self._monitor = LivenessMonitor()
        self._outages = 0
        self.n_free = 0  # how many trials the last claim left for others
        # Called for the trials trained of those held, and the best score so far: both go into the lease, for whoever
        # shows the progress of all.
        self.progress: Callable[[], tuple[float, float | None]] | None = None

    @contextmanager
    def working(self, lease_seconds: float = LEASE_SECONDS) -> Iterator[None]:
        """Hold a lease, renewed by a thread; in the end, or after an error, what is still held waits again."""
        self._lease = Lease.of_this_process(lease_seconds)
        try:
            self._hold(())
            with heartbeat(self._renew, lease_seconds):
                yield
        finally:
            try:
                with suppress(OSError), self._store.retry.without_waiting():
                    self._release(self._lease)  # one that cannot be released runs out
            finally:
                self._lease = None

    def _renew(self) -> None:
        with self._lease_lock:
            if self._lease is not None:
                self._hold(self._lease.trials)

    def _hold(self, trials: Iterable[int]) -> None:
        with self._lease_lock:
            if self._lease is None:
                raise RuntimeError("trials are claimed inside `with working()`.")
            self._lease = self._lease.renew(trials, *(self.progress() if self.progress else ()))
            self._store.set_attribute(LEASE + self._lease.worker, self._lease.to_json())

    def _release(self, lease: Lease) -> None:
        if lease.trials:
            self._hold(())
            self.requeue_orphans()
        with self._lease_lock:
            self._store.set_attribute(LEASE + lease.worker, lease.release().to_json())
            self._lease = None

    def other_leases(self) -> list[Lease]:
        """Return the leases of the other workers that live."""
        attributes = self._store.attributes()
        if self._outages != self._store.retry.outages:  # nobody could renew a lease while the storage was away
            self._outages = self._store.retry.outages
            self._monitor.reset()
        leases = [Lease.from_json(value) for key, value in attributes.items() if key.startswith(LEASE)]
        own = self._lease.worker if self._lease else None
        return [lease for lease in self._monitor.alive(leases) if lease.worker != own]

    def _held_by_others(self) -> set[int]:
        return {trial for lease in self.other_leases() for trial in lease.trials}

    def reserve(self, trials: Sequence[int]) -> bool:
        """Hold these trials alone among all living workers; false if another one wants them too.

        Each of two workers writes what it wants before it looks, so at least one of them sees the other.
        """
        self._hold(trials)
        if self._held_by_others().isdisjoint(trials):
            return True
        self._hold(())
        time.sleep(random.uniform(*BACKOFF_SECONDS))
        return False

    def claim(
        self, limit: int, group: Callable[[TrialSpec], object], is_ready: Callable[[Sequence[TrialSpec]], bool] = bool
    ) -> list[TrialSpec]:
        """Take the next population: at most ``limit`` free trials of one group, marked as running.

        A group of which what is free is not ready leaves its turn to the next. ``[]`` if nothing is free and ready.
        """
        store = self._store
        while True:
            store.refresh()  # before the leases: whoever's trial runs here has said so there
            held = self._held_by_others()
            groups: dict[object, list[TrialSpec]] = {}
            for spec in store.waiting():
                if spec.index not in held:
                    groups.setdefault(group(spec), []).append(spec)
            wanted = next((specs[:limit] for specs in groups.values() if is_ready(specs)), [])
            self.n_free = sum(map(len, groups.values())) - len(wanted)
            if not wanted:
                return []
            if not self.reserve([spec.index for spec in wanted]):
                continue
            taken = [spec for spec in wanted if store.set_state(spec.optuna_id, "RUNNING")]
            if taken == wanted:
                return taken
            # A quick worker took and finished some since we looked, or we slept for so long that our lease ran out.
            if taken and is_ready(taken):
                self._hold(spec.index for spec in taken)
                return taken
            self._hold(())
            self.requeue_orphans()

    def finish(self, spec: TrialSpec, record: Record) -> bool:
        """Keep the record, then mark the trial as done; false if it was given to another worker meanwhile."""
        return self._store.finish(spec.optuna_id, record)

    def requeue_orphans(self) -> None:
        """Take up what stopped workers left: what has its record is done, the rest waits again."""
        store = self._store
        store.refresh()  # before the leases, as in claim
        held = self._held_by_others() | set(self._lease.trials if self._lease else ())
        for trial in store.unfinished:
            index = store.index_of(trial)
            if index is None:  # another program's: it cannot be trained from here
                store.set_state(trial._trial_id, "FAIL")
            elif trial.state.name == "RUNNING" and index not in held:
                if "record" in trial.user_attrs:
                    store.finish(trial._trial_id, Record.from_json(trial.user_attrs["record"]))
                else:
                    store.set_state(trial._trial_id, "FAIL")
        store.refresh()
        store.add(store.lost())
