"""A study's book: what is planned, running and done, kept by Optuna in memory or in a database.

Every trial of the plan is one Optuna trial, added as waiting when the plan is made. It carries its place in
the plan and its seed, and in the end its record. Whatever a stopped process left running is found by its
state and added again, so nothing is lost and nothing is done twice.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncps_mlx.records import Record
from ncps_mlx.space import Space

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

__all__ = ["Ledger", "Planned"]

SETTINGS = "ncps_mlx"  # the study's attribute that says how it was made
DONE, STALE = "COMPLETE", "RUNNING"


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
        storage: ``None`` for memory, a file's path for SQLite, or a database URL.
        name: Name of the study; a storage can hold several.
        space: The knobs that vary.
        settings: What the plan depends on, by name, each as JSON can hold it.
        higher_is_better: Direction of the score.

    Raises:
        ValueError: The folder of the file does not exist, or a study of that name was made otherwise.

    Example:
        >>> book = Ledger(None, "study", Space(hidden_size=[8, 16]), {"seeds": [3]}, higher_is_better=False)
        >>> book.add([Planned(trial=0, seed=3, config={"hidden_size": 16})])
        >>> [planned.config for planned in book.waiting()]
        [{'hidden_size': 16}]
    """

    def __init__(
        self,
        storage: str | Path | None,
        name: str,
        space: Space,
        settings: Mapping[str, Any],
        *,
        higher_is_better: bool,
    ) -> None:
        import optuna

        self.space = space
        self.distributions = {knob: value.distribution() for knob, value in space.knobs.items()}
        with quiet():
            self._storage = optuna.storages.get_storage(_open(storage))
            self.optuna = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction="maximize" if higher_is_better else "minimize",
                sampler=optuna.samplers.RandomSampler(seed=0),  # replaced where something is sampled
                load_if_exists=True,
            )
        self._agree(settings, "memory" if storage is None else str(storage))

    def _agree(self, settings: Mapping[str, Any], where: str) -> None:
        """Write down how a new study is made, or refuse one that was made otherwise."""
        kept = self.optuna.user_attrs.get(SETTINGS)
        name = self.optuna.study_name
        if kept is None:
            if self.optuna.get_trials(deepcopy=False):
                raise ValueError(
                    f"name must be that of a study made here, or a new one; {name!r} in {where} is another's."
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
                    f"name must be new for another study; {name!r} in {where} was made differently: "
                    f"{'; '.join(differing)}."
                )
            if given["trials"] < kept["trials"]:
                raise ValueError(
                    f"trials must be at least the {kept['trials']} that {name!r} in {where} has, "
                    f"got {given['trials']}."
                )
        if kept is None or settings["trials"] != kept["trials"]:
            self.optuna.set_user_attr(SETTINGS, dict(settings))

    def _states(self, *names: str) -> list[optuna.trial.FrozenTrial]:
        from optuna.trial import TrialState

        return self.optuna.get_trials(deepcopy=False, states=[TrialState[name] for name in names])

    def _set(self, key: int, state: str, values: Sequence[float] | None = None) -> None:
        from optuna.trial import TrialState

        self._storage.set_trial_state_values(key, TrialState[state], values)

    def _read(self, trial: optuna.trial.FrozenTrial) -> Planned:
        config = self._config(trial)
        return Planned(
            trial=trial.user_attrs["trial"],
            seed=trial.user_attrs["seed"],
            config=config,
            key=self._storage.get_trial_id_from_study_id_trial_number(
                self.optuna._study_id,  # its only handle on a study whose storage is also in memory
                trial.number,
            ),
        )

    def _config(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        knobs = self.space.knobs
        return {name: knobs[name].decode(trial.params[name]) for name in knobs if name in trial.params}

    def add(self, planned: Sequence[Planned]) -> None:
        """Add trials as waiting, leaving out those that wait, run or are done already."""
        from optuna.trial import TrialState, create_trial

        there = {trial.user_attrs.get("trial") for trial in self._states("WAITING", STALE, DONE)}
        for item in planned:
            if item.trial not in there:
                trial = create_trial(
                    state=TrialState.WAITING,
                    params=self._stored(item.config),
                    distributions={name: self.distributions[name] for name in item.config},
                    user_attrs={"trial": item.trial, "seed": item.seed},
                )
                self.optuna.add_trial(trial)

    def _stored(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.space.knobs[name].encode(value) for name, value in config.items()}

    def waiting(self) -> list[Planned]:
        """List the trials that wait, in the order in which they were added.

        Two processes that opened a new study at the same moment may both have added its plan: the later
        double of a trial is struck out.
        """
        live = {trial.user_attrs.get("trial") for trial in self._states(STALE, DONE)}
        found = []
        for trial in self._states("WAITING"):
            planned = self._read(trial)
            if planned.trial in live:
                self._set(planned.key, "FAIL")
            else:
                live.add(planned.trial)
                found.append(planned)
        return found

    def start(self, planned: Sequence[Planned]) -> None:
        """Mark trials as running."""
        for item in planned:
            self._set(item.key, "RUNNING")

    def ask(self, shape_only: Mapping[str, Any], trial: int, seed: int) -> Planned:
        """Let Optuna's sampler choose a configuration, of this shape if one is given; it is then running."""
        attributes = {"trial": trial, "seed": seed}
        with quiet():
            self.optuna.enqueue_trial(self._stored(shape_only), user_attrs=attributes)
            asked = self.optuna.ask()
            self.space.fill(lambda name, knob: knob.decode(_suggest(asked, name, self.distributions[name])))
        return self._read(self._storage.get_trial(asked._trial_id))  # the handle its storage knows it by

    def finish(self, planned: Planned, record: Record) -> None:
        """Keep the record, then mark the trial as done."""
        self._storage.set_trial_user_attr(planned.key, "record", record.to_json())
        self._set(planned.key, DONE, [record.score])

    def recover(self) -> None:
        """Take up what a stopped process left: what has its record is done, the rest waits again."""
        again = []
        for trial in self._states("WAITING", STALE):
            complete = "trial" in trial.user_attrs and self.space.whole(self._config(trial))
            if complete and trial.state.name == "WAITING":
                continue
            key = self._storage.get_trial_id_from_study_id_trial_number(self.optuna._study_id, trial.number)
            if "record" in trial.user_attrs:
                self._set(key, DONE, [Record.from_json(trial.user_attrs["record"]).score])
                continue
            self._set(key, "FAIL")  # a sampler's question that was cut off has no configuration to try again
            if complete:
                again.append(self._read(trial))
        self.add(again)

    def done(self) -> list[Record]:
        """Return the records, sorted by their place in the plan."""
        texts = [trial.user_attrs["record"] for trial in self._states(DONE) if "record" in trial.user_attrs]
        return sorted(map(Record.from_json, texts), key=lambda record: record.trial)

    def configs(self) -> dict[int, Mapping[str, Any]]:
        """Return the configuration of every place in the plan that waits, runs or is done."""
        trials = self._states("WAITING", STALE, DONE)
        return {trial.user_attrs["trial"]: self._read(trial).config for trial in trials}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's notes on each trial out of the way, and its remark that options of TPE may change."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Optuna 4 calls these experimental; Optuna 5 does not. Nothing else is hidden.
            warnings.filterwarnings(
                "ignore",
                ".*(multivariate|constant_liar|group)",
                category=optuna.exceptions.ExperimentalWarning,
            )
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _suggest(trial: optuna.Trial, name: str, form: BaseDistribution) -> Any:
    """Let Optuna's sampler choose one value, knowing those it chose before."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(form, CategoricalDistribution):
        return trial.suggest_categorical(name, form.choices)
    if isinstance(form, IntDistribution):
        return trial.suggest_int(name, form.low, form.high, log=form.log)
    assert isinstance(form, FloatDistribution)  # there are no others
    return trial.suggest_float(name, form.low, form.high, log=form.log)


def _open(storage: str | Path | None) -> Any:
    """Open the storage; SQLite without a pool, so that no file stays open."""
    import optuna

    if storage is None:
        return optuna.storages.InMemoryStorage()
    url = str(storage)
    if "://" not in url:
        path = Path(url).resolve()
        if not path.parent.is_dir():
            raise ValueError(f"storage must lie in a folder that exists, got {url}.")
        url = f"sqlite:///{path}"
    if not url.startswith("sqlite"):
        return url
    from sqlalchemy.pool import NullPool

    return optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})
