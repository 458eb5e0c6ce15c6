"""A study's book: what is planned, running and done, kept by Optuna in memory or in a database.

Every trial of the plan is one Optuna trial, added as waiting when the plan is made. It carries its place in the plan
and its seed, and in the end its record. Of several trials with one place, the first that has not failed counts, and
later ones are struck out: whoever adds a place again need not know whether another process just did.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncps_mlx.search._record import Record
from ncps_mlx.search._space import Space
from ncps_mlx.search._storage.open import open_storage, quiet, shown
from ncps_mlx.search._storage.retry import Patience, said

if TYPE_CHECKING:
    import optuna
    from optuna.study import StudyDirection

__all__ = ["Ledger", "Planned", "read_definition"]

SETTINGS = "ncps_mlx"  # the study's attribute that says how it was made
DEFINITION = "ncps_mlx:definition"  # the same, whole: enough for a worker to take part
FIRST_TABLE = "version_info"  # of Optuna's: what a database misses that holds no study
DONE = ("COMPLETE", "PRUNED")
LIVE = ("WAITING", "RUNNING", *DONE)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One trial to be trained.

    Attributes:
        trial: Place in the plan.
        seed: Seed to train with.
        config: Values of the space's knobs.
        key: Optuna's identity of the trial.

    Example:
        >>> Planned(trial=0, seed=3, config={"hidden_size": 16}).seed
        3
    """

    trial: int
    seed: int
    config: Mapping[str, Any]
    key: int = -1


class Ledger:
    """The trials of one study in one storage.

    Args:
        storage: ``None`` for memory, a file's path for SQLite, or a URL: see ``open.open_storage``.
        name: Name of the study; a storage can hold several.
        space: The knobs that vary.
        settings: What the plan depends on, by name, each as JSON can hold it.
        higher_is_better: Direction of the score.
        members: How many trials the plan has here; another process may have opened the study with more, which are its
            own to train.
        definition: All that a worker needs to take part, as JSON can hold it.

    Raises:
        ValueError: The folder of the file does not exist, or a study of that name was made otherwise.
        OSError: The storage cannot be read or written; the message gives the cure.

    Example:
        >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {"seeds": [3]}, higher_is_better=False)
        >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
        >>> book.configs()
        {0: {'hidden_size': 16}}
    """

    def __init__(
        self,
        storage: str | Path | None,
        name: str,
        space: Space,
        settings: Mapping[str, Any],
        *,
        higher_is_better: bool,
        members: float = math.inf,
        definition: Mapping[str, Any] | None = None,
    ) -> None:
        from optuna.study import StudyDirection

        self.space, self.members = space, members
        self.distributions = {knob: value.distribution() for knob, value in space.knobs.items()}
        self.where = shown(storage)
        with quiet():
            self.storage = open_storage(storage)
            self.call = Patience(self.where)
            direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
            self.optuna = self._opened(name, direction)
        self._study = self.optuna._study_id  # Optuna's storages know a study by it
        self.alone = storage is None
        self._records: dict[int, Record] = {}
        self._agree(settings, definition or {}, direction)

    def _opened(self, name: str, direction: StudyDirection) -> optuna.Study:
        import optuna

        given: dict[str, Any] = {"storage": self.storage, "study_name": name}
        given["sampler"] = optuna.samplers.RandomSampler(seed=0)  # nothing is sampled here: see draw
        with suppress(KeyError):  # first, because a file that can only be read can be opened, not created
            return self.call(optuna.load_study, **given)
        return self.call(optuna.create_study, **given, direction=direction, load_if_exists=True)

    def _agree(
        self, settings: Mapping[str, Any], definition: Mapping[str, Any], direction: StudyDirection
    ) -> None:
        """Write down how a new study is made, or refuse one that was made otherwise."""
        there = self.trials()  # before anything is written: a damaged file is left as it is
        kept = self.attributes().get(SETTINGS)
        name = self.optuna.study_name
        if kept is None:
            if there or self.optuna.directions != [direction]:
                raise ValueError(
                    f"name must be that of a study made here, or a new one; {name!r} in {self.where} is another's."
                )
        else:
            given = json.loads(json.dumps(settings))
            differing = [
                f"{key} was {kept.get(key)} and is {given.get(key)}"
                for key in sorted({*kept, *given})
                if kept.get(key) != given.get(key) and key != "trials"
            ]
            if differing:
                raise ValueError(
                    f"name must be new for another study; {name!r} in {self.where} was made differently: "
                    f"{'; '.join(differing)}."
                )
            if given["trials"] < kept["trials"]:
                raise ValueError(
                    f"trials must be at least the {kept['trials']} that {name!r} in {self.where} has, "
                    f"got {given['trials']}."
                )
        if kept is None or settings["trials"] != kept["trials"]:
            self.note(DEFINITION, dict(definition))
            self.note(SETTINGS, dict(settings))

    def attributes(self) -> dict[str, Any]:
        """Return what is noted about the study itself.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.attributes()
            {'ncps_mlx:definition': {}, 'ncps_mlx': {}}
        """
        return self.call(self.storage.get_study_user_attrs, self._study)

    def note(self, key: str, value: Any) -> None:
        """Note something about the study itself, as JSON can hold it.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.note("by", "Ann")
            >>> book.attributes()["by"]
            'Ann'
        """
        self.call(self.storage.set_study_user_attr, self._study, key, value)

    def trials(self, *states: str) -> list[optuna.trial.FrozenTrial]:
        """Return the trials in these states (default all), in the order in which they were added.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> len(book.trials("WAITING")), book.trials("RUNNING")
            (1, [])
        """
        trials = self.call(self.optuna.get_trials, deepcopy=False)
        return [trial for trial in trials if not states or trial.state.name in states]

    def set_state(self, key: int, state: str, values: Sequence[float] | None = None) -> bool:
        """Change a trial's state; false if another worker did before.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> [book.set_state(trial._trial_id, "RUNNING") for trial in book.trials()]
            [True]
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            return self.call(self.storage.set_trial_state_values, key, TrialState[state], values)
        except UpdateFinishedTrialError:
            return False

    def report(self, key: int, step: int, score: float) -> None:
        """Note a score on the way, which Optuna's sampler and dashboard want of a pruned trial.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> (trial,) = book.trials()
            >>> _ = book.set_state(trial._trial_id, "RUNNING")
            >>> book.report(trial._trial_id, step=5, score=0.3)
            >>> book.trials()[0].intermediate_values
            {5: 0.3}
        """
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):  # another worker finished it: see set_state
            self.call(self.storage.set_trial_intermediate_value, key, step, score)

    def whole(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether a trial is one of the plan, with all of its configuration.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> book.optuna.enqueue_trial({})  # another program's
            >>> [book.whole(trial) for trial in book.trials()]
            [True, False]
        """
        return "trial" in trial.user_attrs and self.space.whole(self._config(trial))

    def read(self, trial: optuna.trial.FrozenTrial) -> Planned:
        """Return what a trial is to train.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> [book.read(trial).config for trial in book.trials()]
            [{'hidden_size': 16}]
        """
        config = self._config(trial)
        return Planned(
            trial=trial.user_attrs["trial"],
            seed=trial.user_attrs["seed"],
            config=config,
            key=trial._trial_id,  # what its storage knows it by
        )

    def stored(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration as Optuna keeps it.

        Example:
            >>> book = Ledger(None, "study", Space(clip_norm=[None, 1.0]), {}, higher_is_better=False)
            >>> book.stored({"clip_norm": 1.0})
            {'clip_norm': 1.0}
        """
        return {name: self.space.knobs[name].encode(value) for name, value in config.items()}

    def _config(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        knobs = self.space.knobs
        return {name: knobs[name].decode(trial.params[name]) for name in knobs if name in trial.params}

    def first(self, trials: Iterable[optuna.trial.FrozenTrial]) -> dict[int, optuna.trial.FrozenTrial]:
        """Return the trial that counts for each place, striking out later ones that wait.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> book.optuna.add_trial(book.trials()[0])  # the same once more
            >>> [(place, trial.number) for place, trial in book.first(book.trials()).items()]
            [(0, 0)]
            >>> [trial.state.name for trial in book.trials()]
            ['WAITING', 'FAIL']
        """
        first: dict[int, optuna.trial.FrozenTrial] = {}
        for trial in trials:
            if trial.state.name not in LIVE or not self.whole(trial) or self._ended_elsewhere(trial):
                continue
            if (
                first.setdefault(trial.user_attrs["trial"], trial) is not trial
                and trial.state.name == "WAITING"
            ):
                self.set_state(trial._trial_id, "FAIL")
        return first

    def add(self, planned: Sequence[Planned]) -> None:
        """Add trials as waiting, leaving out those that wait, run or are done already.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> planned = Planned(trial=0, seed=3, config={"hidden_size": 16})
            >>> book.add([planned])
            >>> book.add([planned])
            >>> len(book.trials())
            1
        """
        from optuna.trial import TrialState, create_trial

        there = self.first(self.trials())
        for item in planned:
            if item.trial not in there:
                trial = create_trial(
                    state=TrialState.WAITING,
                    params=self.stored(item.config),
                    distributions={name: self.distributions[name] for name in item.config},
                    user_attrs={"trial": item.trial, "seed": item.seed},
                )
                self.call(self.optuna.add_trial, trial)

    def done(self) -> list[Record]:
        """Return the records, sorted by their place in the plan.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> book.done()
            []
        """
        for trial in self._done():
            if trial.number not in self._records:
                self._records[trial.number] = Record.from_json(trial.user_attrs["record"])
        return sorted(self._records.values(), key=lambda record: record.trial)

    def scores(self) -> dict[int, float]:
        """Return the score of every place that is done: what a progress bar needs, without reading records.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> (trial,) = book.trials()
            >>> book.storage.set_trial_user_attr(trial._trial_id, "record", "{...}")
            >>> _ = book.set_state(trial._trial_id, "COMPLETE", [0.3])
            >>> book.scores()
            {0: 0.3}
        """
        return {trial.user_attrs["trial"]: trial.value for trial in self._done() if trial.value is not None}

    def _done(self) -> list[optuna.trial.FrozenTrial]:
        """What is done of the plan as it is here."""
        return [
            trial
            for trial in self.trials(*DONE)
            if "record" in trial.user_attrs and trial.user_attrs["trial"] < self.members
        ]

    def _ended_elsewhere(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether another program took a trial of the plan and ended it: it has a score, but was not trained."""
        return trial.state.name in DONE and "record" not in trial.user_attrs

    def configs(self) -> dict[int, Mapping[str, Any]]:
        """Return the configuration of every place in the plan that waits, runs or is done.

        Example:
            >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {}, higher_is_better=False)
            >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
            >>> book.configs()
            {0: {'hidden_size': 16}}
        """
        return {place: self.read(trial).config for place, trial in self.first(self.trials()).items()}


def read_definition(storage: str | Path, name: str) -> dict[str, Any]:
    """Read how a study was made.

    Raises:
        ValueError: There is no file, or no study of this name in it that was made here.
        OSError: The storage cannot be read; the message gives the cure.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "tuning.db"
        >>> space = Space(hidden_size=[8, 16])
        >>> book = Ledger(file, "study", space, {}, higher_is_better=False, definition={"seeds": [3]})
        >>> read_definition(file, "study")
        {'seeds': [3]}
    """
    where = shown(storage)
    file = str(storage).removeprefix("sqlite:///")
    if "://" not in file and not Path(file).is_file():
        raise ValueError(f"storage must be a file that is there, got {where}.")
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    studies = []
    try:
        with quiet():
            studies = Patience(where, seconds=0)(open_storage(storage, make=False).get_all_studies)
    except (SQLAlchemyError, StorageInternalError) as error:
        if FIRST_TABLE not in said(error):
            raise
    found: dict[str, dict[str, Any]] = {
        study.study_name: study.user_attrs[DEFINITION] for study in studies if DEFINITION in study.user_attrs
    }
    if name not in found:
        there = ", ".join(map(repr, sorted(found))) or "none"
        raise ValueError(f"name must be that of a study in {where}, which holds {there}, got {name!r}.")
    return found[name]
