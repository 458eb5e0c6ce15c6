"""Claims: which worker trains what, so that nothing is lost, and nothing is finished twice.

Any number of workers may share a study. Two rules keep it right whenever one of them, or the storage, stops:

* a worker writes into its lease which places of the plan it takes, looks whether another living worker holds one of
  them, and withdraws if so; only then it marks their trials as running, each by a change that the storage makes once;
* a trial that runs and that no living worker holds is marked as failed, and its place is added again. Whoever lost
  it in this way can no longer write to it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ncps_mlx.search._record import Record
from ncps_mlx.search._storage.leases import LEASE_SECONDS, Heart, Lease, Watch
from ncps_mlx.search._storage.trial_store import Ledger, Planned

__all__ = ["Claims"]

LEASE = "ncps_mlx:worker:"  # begins the name of each worker's lease
WITHDRAWN = (0.02, 0.2)  # seconds to wait after two workers wanted the same trials


class Claims:
    """One worker's share of a study.

    Args:
        ledger: The study's book.

    Attributes:
        reached: Says how much of what is held is trained, in trials, and the best score seen: the lease tells it on,
            for whoever shows the progress of all.

    Example:
        >>> from ncps_mlx import Space
        >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {"trials": 1}, higher_is_better=False)
        >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
        >>> claims = Claims(book)
        >>> with claims.working():
        ...     [planned.config for planned in claims.claim(8, lambda planned: "one shape")]
        [{'hidden_size': 16}]
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lease: Lease | None = None
        self._lease_lock = threading.RLock()
        self._watch = Watch()
        self._outages = 0
        self.reached: Callable[[], tuple[float, float | None]] | None = None

    @contextmanager
    def working(self, seconds: float = LEASE_SECONDS) -> Iterator[None]:
        """Hold a lease, renewed by a thread; in the end, or after an error, what is still held waits again.

        Example:
            >>> from ncps_mlx import Space
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> claims = Claims(book)
            >>> with claims.working():
            ...     taken = claims.claim(1, lambda planned: "one shape")
            ...     [trial.state.name for trial in book.trials()]
            ['RUNNING']
            >>> [trial.state.name for trial in book.trials()]
            ['FAIL', 'WAITING']
        """
        self._lease = Lease.of_this_process(seconds)
        try:
            if self._ledger.alone:
                yield
            else:
                self._hold(())
                with Heart(self._renew, seconds):
                    yield
        finally:
            try:
                with suppress(OSError), self._ledger.call.leaving():
                    self._give_back()  # a lease that cannot be given back runs out
            finally:
                self._lease = None

    def _renew(self) -> None:
        with self._lease_lock:
            if self._lease is not None:
                self._hold(self._lease.places)

    def _hold(self, places: Iterable[int]) -> None:
        with self._lease_lock:
            if self._lease is None:
                raise RuntimeError("trials are claimed inside `with working()`.")
            self._lease = self._lease.renew(places, *(self.reached() if self.reached else ()))
            if not self._ledger.alone:
                self._ledger.note(LEASE + self._lease.worker, self._lease.written())

    def _give_back(self) -> None:
        with self._lease_lock:
            lease = self._lease
        if lease is None:
            return
        if lease.places:
            self._hold(())
            self.repair()
        if not self._ledger.alone:
            with self._lease_lock:
                self._ledger.note(LEASE + lease.worker, lease.end().written())
                self._lease = None

    def others(self) -> list[Lease]:
        """Return the leases of the other workers that live.

        Example:
            >>> from ncps_mlx import Space
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> claims = Claims(book)
            >>> claims.others()  # a study in memory has one worker
            []
        """
        if self._ledger.alone:
            return []
        attributes = self._ledger.attributes()
        if (
            self._outages != self._ledger.call.outages
        ):  # nobody could renew a lease while the storage was away
            self._outages = self._ledger.call.outages
            self._watch.forget()
        leases = [Lease.read(value) for key, value in attributes.items() if key.startswith(LEASE)]
        own = self._lease.worker if self._lease else None
        return [lease for lease in self._watch.living(leases) if lease.worker != own]

    def _held(self) -> set[int]:
        return {place for lease in self.others() for place in lease.places}

    def reserve(self, places: Sequence[int]) -> bool:
        """Hold these places alone among all living workers; false if another one wants them too.

        Each of two workers writes what it wants before it looks, so at least one of them sees the other.

        Example:
            >>> from ncps_mlx import Space
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> claims = Claims(book)
            >>> with claims.working():
            ...     claims.reserve([0])
            True
        """
        self._hold(places)
        if self._held().isdisjoint(places):
            return True
        self._hold(())
        time.sleep(random.uniform(*WITHDRAWN))
        return False

    def claim(
        self,
        limit: int,
        kind: Callable[[Planned], object],
        ready: Callable[[Sequence[Planned]], bool] = bool,
    ) -> list[Planned]:
        """Take the next population: free trials of one kind, all at once, marked as running.

        Args:
            limit: At most so many.
            kind: What trials must share to be trained together.
            ready: Whether all that is free of one kind may be begun; otherwise the next kind's turn comes.

        Returns:
            list[Planned]: ``[]`` if nothing is free and ready.

        Example:
            >>> from ncps_mlx import Space
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {"trials": 3}, higher_is_better=False)
            >>> book.add([Planned(trial=i, seed=i, config={"hidden_size": 8 * min(i, 1) + 8}) for i in range(3)])
            >>> claims = Claims(book)
            >>> with claims.working():
            ...     [item.trial for item in claims.claim(8, lambda item: item.config["hidden_size"])]
            ...     [item.trial for item in claims.claim(8, lambda item: item.config["hidden_size"])]
            [0]
            [1, 2]
        """
        while True:
            trials = self._ledger.trials()  # before the leases: whoever's trial runs here has said so there
            held = self._held()
            free = [
                self._ledger.read(trial)
                for place, trial in self._ledger.first(trials).items()
                if trial.state.name == "WAITING" and place not in held and place < self._ledger.members
            ]
            kinds: dict[object, list[Planned]] = {}
            for item in free:
                kinds.setdefault(kind(item), []).append(item)
            wanted = next((items[:limit] for items in kinds.values() if ready(items)), [])
            if not wanted:
                return []
            if not self.reserve([item.trial for item in wanted]):
                continue
            waiting = {trial._trial_id for trial in self._ledger.trials("WAITING")}
            if not waiting.issuperset(item.key for item in wanted):
                continue  # a quick worker took and finished one of them since we looked
            if sum(self._ledger.set_state(item.key, "RUNNING") for item in wanted) == len(wanted):
                return wanted
            self._hold(())  # we were asleep for so long that our lease ran out
            self.repair()

    def finish(self, planned: Planned, record: Record) -> bool:
        """Keep the record, then mark the trial as done; false if it was given to another worker meanwhile.

        Example:
            >>> from ncps_mlx import Space
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> claims = Claims(book)
            >>> done = Record(trial=0, model="CfC", config={"hidden_size": 16}, seed=3, task="sines", data_hash="",
            ...               metric="rmse", score=0.2)
            >>> with claims.working():
            ...     [claims.finish(planned, done) for planned in claims.claim(1, lambda planned: "one shape")]
            [True]
            >>> book.scores()
            {0: 0.2}
        """
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self._ledger.call(
                self._ledger.storage.set_trial_user_attr, planned.key, "record", record.to_json()
            )
        except UpdateFinishedTrialError:
            return False
        return self._finish(planned.key, record)

    def _finish(self, key: int, record: Record) -> bool:
        if record.status != "pruned" or record.history is None:
            return self._ledger.set_state(key, "COMPLETE", [record.score])
        self._ledger.report(key, record.history.step[-1], record.score)
        return self._ledger.set_state(key, "PRUNED", [record.score])

    def repair(self) -> None:
        """Take up what stopped workers left: what has its record is done, the rest waits again.

        Example:
            >>> from ncps_mlx import Space
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> claims = Claims(book)
            >>> _ = book.set_state(book.trials()[0]._trial_id, "RUNNING")  # by a worker that is no more
            >>> claims.repair()
            >>> [trial.state.name for trial in book.trials()]
            ['FAIL', 'WAITING']
        """
        trials = self._ledger.trials("WAITING", "RUNNING")  # before the leases, as in claim
        held = self._held() | set(self._lease.places if self._lease else ())
        for trial in trials:
            if not self._ledger.whole(trial):
                self._ledger.set_state(
                    trial._trial_id, "FAIL"
                )  # another program's: it cannot be trained from here
            elif trial.state.name == "RUNNING" and trial.user_attrs["trial"] not in held:
                if "record" in trial.user_attrs:
                    self._finish(trial._trial_id, Record.from_json(trial.user_attrs["record"]))
                else:
                    self._ledger.set_state(trial._trial_id, "FAIL")
        whole = map(self._ledger.read, filter(self._ledger.whole, self._ledger.trials()))
        known = {item.trial: item for item in whole}
        self._ledger.add([known[place] for place in sorted(known)])
