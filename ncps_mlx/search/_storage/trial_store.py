"""A study's trials, waiting, running and done, kept by Optuna in memory or in a database.

Every trial of the plan is one Optuna trial, added as waiting some time before its turn: reading all that wait costs as
much as there are. It carries its index in the plan and its seed, and in the end its record. Of several trials with one
index, the first that has not failed counts, and later ones are marked as failed: whoever adds an index again need not
know whether another process just did.

Reading costs as much as there is unfinished: all but ``refresh`` and ``trials`` tell what was
last read.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncps_mlx._utils.validation import check_path
from ncps_mlx.search._distributions import decode, encode, to_optuna
from ncps_mlx.search._record import Record
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import open_storage, quiet_optuna, redact_url
from ncps_mlx.search._storage.retry import StorageRetry, root_message

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["TrialSpec", "TrialStore", "read_config"]

CONFIG = "ncps_mlx:config"  # the study's attribute that says how it is made
FORMER = "ncps_mlx:definition"  # that of versions whose studies have other names for the same things
FIRST_TABLE = "version_info"  # of Optuna's: what a database misses that holds no study
DONE = ("COMPLETE", "PRUNED")


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One trial to be trained."""

    index: int  # in the plan
    seed: int
    config: Mapping[str, Any]  # values of what the space varies
    notes: Mapping[str, Any] = field(default_factory=dict)  # what a sampler keeps about it: see ask_sampler
    optuna_id: int = -1  # Optuna's identity of it, once it is stored


class TrialStore:
    """The trials of one study in one storage, of which the plan has ``n_trials`` here.

    Another process may have opened the study with more, which are its own to train.
    """

    def __init__(
        self, storage: str | Path | None, name: str, space: Space, *, higher_is_better: bool, n_trials: int
    ) -> None:
        import optuna
        from optuna.study import StudyDirection

        self.space, self.n_trials = space, n_trials
        self.distributions = {name: to_optuna(each) for name, each in space.distributions.items()}
        self.where = redact_url(storage)
        self.retry = StorageRetry(self.where)
        direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
        with quiet_optuna():
            self.storage = open_storage(storage)
            sampler = optuna.samplers.RandomSampler(seed=0)  # nothing is sampled here: see ask_sampler
            given: dict[str, Any] = {"storage": self.storage, "study_name": name, "sampler": sampler}
            try:  # first, because a file that can only be read can be opened, not created
                self.optuna = self.retry(optuna.load_study, **given)
            except KeyError:
                self.optuna = self.retry(optuna.create_study, **given, direction=direction, load_if_exists=True)
        self._study_id = self.optuna._study_id  # Optuna's storages know a study by it
        self._lock = threading.Lock()  # a study may be looked at while it runs
        self._ended: set[int] = set()  # numbers of trials that change no more
        self._done: dict[int, FrozenTrial] = {}  # what has its record, by index
        self.scores: dict[int, float] = {}  # of every index that is done
        self._open: dict[int, FrozenTrial] = {}  # what waits or runs and counts, by index, in the order of adding
        self._known: dict[int, FrozenTrial] = {}  # the last trial of every index, failed ones too
        self._records: dict[int, Record] = {}
        self.unfinished: list[FrozenTrial] = []  # all that waits or runs, another program's too
        self.refresh()  # before anything is written: a damaged file is left as it is
        is_new = not (self._ended or self.unfinished) and self.optuna.directions == [direction]
        if self.config() is None and not is_new:
            raise ValueError(
                f"name must be that of a study made here, or a new one; {name!r} in {self.where} is another's."
            )

    def attributes(self) -> dict[str, Any]:
        """Return what is stored about the study itself."""
        return self.retry(self.storage.get_study_user_attrs, self._study_id)

    def set_attribute(self, key: str, value: Any) -> None:
        """Store something about the study itself, as JSON can hold it."""
        self.retry(self.storage.set_study_user_attr, self._study_id, key, value)

    def others(self) -> dict[str, dict[str, Any] | None]:
        """Return the studies of this storage by name: how each was made, ``None`` if it was not made here."""
        studies = self.retry(self.storage.get_all_studies)
        return {study.study_name: study.user_attrs.get(CONFIG) for study in studies}

    def config(self) -> dict[str, Any] | None:
        """Return how the study was made; ``None`` of a new one."""
        return _config_of(self.attributes(), self.optuna.study_name, self.where)

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Store how the study is made."""
        self.set_attribute(CONFIG, dict(config))

    def trials(self) -> list[FrozenTrial]:
        """Read all trials, in the order in which they were added."""
        return self.retry(self.optuna.get_trials, deepcopy=False)

    def refresh(self) -> None:
        """Read what any worker stored since; of several trials that wait with one index, the first is kept."""
        with self._lock:
            ended, done, scores, unfinished = set(), dict(self._done), dict(self.scores), []
            for trial in self.trials():
                if trial.number in self._ended:
                    continue
                index = self.index_of(trial)
                if index is not None:
                    self._known[index] = trial
                if not trial.state.is_finished():
                    unfinished.append(trial)
                    continue
                ended.add(trial.number)
                # Another program may take a trial of the plan and end it: it has a score, but was not trained.
                if index is not None and trial.state.name in DONE and "record" in trial.user_attrs:
                    done.setdefault(index, trial)
                    if index < self.n_trials and trial.value is not None:
                        scores.setdefault(index, trial.value)
            current: dict[int, FrozenTrial] = {}
            for trial in unfinished:
                index = self.index_of(trial)
                if index is None or (index not in done and current.setdefault(index, trial) is trial):
                    continue
                if trial.state.name == "WAITING":
                    self.set_state(trial._trial_id, "FAIL")
            self._done, self.scores, self._open, self.unfinished = done, scores, current, unfinished
            self._ended |= ended  # last: Ctrl-C may come between

    def set_state(self, optuna_id: int, state: str, values: Sequence[float] | None = None) -> bool:
        """Change a trial's state; false if another worker did before."""
        from optuna.trial import TrialState

        return self._change(self.storage.set_trial_state_values, optuna_id, TrialState[state], values) is True

    def finish(self, optuna_id: int, record: Record) -> bool:
        """Keep a trial's record, then mark the trial as done; false if another worker ended it before."""
        if self._change(self.storage.set_trial_user_attr, optuna_id, "record", record.to_json()) is False:
            return False
        state, reports = _end(record)
        for step, score in reports.items():
            self._change(self.storage.set_trial_intermediate_value, optuna_id, step, score)
        return self.set_state(optuna_id, state, [record.score])

    def _change(self, write: Callable[..., Any], *arguments: Any) -> Any:
        """Write to a trial; ``False`` if it had ended."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            return self.retry(write, *arguments)
        except UpdateFinishedTrialError:
            return False

    def index_of(self, trial: FrozenTrial) -> int | None:
        """Return a trial's index in the plan; ``None`` if it is not one of the plan, with all of its configuration."""
        is_ours = "trial" in trial.user_attrs and self.space.is_complete(self._config(trial))
        return trial.user_attrs["trial"] if is_ours else None

    def _config(self, trial: FrozenTrial) -> dict[str, Any]:
        return decode(self.space.distributions, trial.params)

    def _spec(self, index: int, trial: FrozenTrial) -> TrialSpec:
        seed, config, notes = trial.user_attrs["seed"], self._config(trial), trial.system_attrs
        return TrialSpec(index=index, seed=seed, config=config, notes=notes, optuna_id=trial._trial_id)

    def add(self, specs: Iterable[TrialSpec], n_waiting: float = math.inf) -> int:
        """Add trials as waiting, but those that wait, run or are done, until so many wait; return how many."""
        with self._lock:
            waiting = sum(trial.state.name == "WAITING" for trial in self._open.values())
            missing = [spec for spec in specs if spec.index not in self._done and spec.index not in self._open]
            for added, spec in enumerate(missing):
                if waiting + added >= n_waiting:
                    return added
                trial = self._frozen(spec)
                self.retry(self.optuna.add_trial, trial)
                self._open[spec.index] = trial  # until it is read
        return len(missing)

    def adopt(self, trained: Iterable[tuple[TrialSpec, Record]]) -> None:
        """Add trials that are done, each with its record, but those that run or are done."""
        kept = self._done.keys() | {i for i, trial in self._open.items() if trial.state.name == "RUNNING"}
        if missing := [(spec, record) for spec, record in trained if spec.index not in kept]:
            for spec, record in missing:
                self.retry(self.optuna.add_trial, self._frozen(spec, record))
            self.refresh()

    def _frozen(self, spec: TrialSpec, record: Record | None = None) -> FrozenTrial:
        """Return a trial of Optuna's that waits, or that is done and has its record."""
        from optuna.trial import FrozenTrial, TrialState

        now = value = None
        state, reports = TrialState.WAITING, dict[int, float]()
        attributes: dict[str, Any] = {"trial": spec.index, "seed": spec.seed}
        if record is not None:
            now, value, attributes["record"] = datetime.now(), record.score, record.to_json()
            name, reports = _end(record)
            state = TrialState[name]
        # Not by create_trial, which compares each distribution, of many choices perhaps, with itself.
        return FrozenTrial(
            state=state,
            params=encode(self.space.distributions, spec.config),
            distributions={name: self.distributions[name] for name in spec.config},
            user_attrs=attributes, system_attrs=dict(spec.notes), intermediate_values=reports,
            number=-1, trial_id=-1, value=value, datetime_start=now, datetime_complete=now,
        )  # fmt: skip

    def waiting(self) -> list[TrialSpec]:
        """Return what waits of the plan, in the order in which it was added."""
        waiting = {index: trial for index, trial in self._open.items() if trial.state.name == "WAITING"}
        return [self._spec(index, trial) for index, trial in waiting.items() if index < self.n_trials]

    def lost(self) -> list[TrialSpec]:
        """Return what was stored before, but neither waits nor runs nor is done."""
        indices = sorted(self._known.keys() - self._done.keys() - self._open.keys())
        return [self._spec(index, self._known[index]) for index in indices]

    def current(self) -> list[FrozenTrial]:
        """Return the trial that counts for each index, in the order in which they were added."""
        return sorted([*self._done.values(), *self._open.values()], key=lambda trial: trial.number)

    def configs(self) -> dict[int, dict[str, Any]]:
        """Return the configuration of every index that waits, runs or is done."""
        return {index: self._config(trial) for index, trial in [*self._done.items(), *self._open.items()]}

    def records(self) -> list[Record]:
        """Return the records, sorted by their index in the plan."""
        indices = sorted(index for index in self._done if index < self.n_trials)
        for index in indices:
            if index not in self._records:
                self._records[index] = Record.from_json(self._done[index].user_attrs["record"])
        return [self._records[index] for index in indices]


def _end(record: Record) -> tuple[str, dict[int, float]]:
    """How a trial ended, for Optuna, whose sampler and dashboard want a pruned one's score as that of its last step."""
    if record.status != "pruned" or record.history is None:
        return "COMPLETE", {}
    return "PRUNED", {record.history.step[-1]: record.score}


def read_config(storage: str | Path, name: str) -> dict[str, Any]:
    """Read how a study was made; refuse what is no file, or holds no study of this name that was made here."""
    where = redact_url(storage)
    file = str(storage).removeprefix("sqlite:///")
    if "://" not in file and not check_path("storage", file).is_file():
        raise ValueError(f"storage must be a file that is there, got {where}.")
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    studies = []
    try:
        with quiet_optuna():
            studies = StorageRetry(where, seconds=0)(open_storage(storage, make=False).get_all_studies)
    except (SQLAlchemyError, StorageInternalError) as error:
        if FIRST_TABLE not in root_message(error):
            raise
    attributes = {study.study_name: study.user_attrs for study in studies}
    config = _config_of(attributes.get(name, {}), name, where)
    if config is None:
        ours = sorted(name for name, each in attributes.items() if CONFIG in each)
        raise ValueError(
            f"name must be that of a study in {where}, which holds {', '.join(map(repr, ours)) or 'none'}, "
            f"got {name!r}."
        )
    return config


def _config_of(attributes: Mapping[str, Any], name: str, where: str) -> dict[str, Any] | None:
    if FORMER in attributes:
        raise ValueError(
            f"name must be that of a study of this version of ncps_mlx; {name!r} in {where} was made by an earlier "
            "one, which had other names for the same hyperparameters. Make the study again under a new name; Optuna "
            "still reads this one."
        )
    config: dict[str, Any] | None = attributes.get(CONFIG)
    return config
