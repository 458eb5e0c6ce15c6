"""Halving keeps the best, exactly: the same members and bits whatever interrupts it."""

import math
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncps_mlx import CfC, Halving, Hyperband, LogUniform, Record, Space, Study, Task, Uniform, fit
from ncps_mlx.data import glucose

# Private: where training and the writing of results are cut off, and the steps of rungs.
from ncps_mlx.search._halving import rung_step
from ncps_mlx.search._record import TrialPopulation
from ncps_mlx.search._storage.trial_queue import TrialQueue
from ncps_mlx.search._worker import Worker, WorkerSettings

SPACE = Space(hidden_size=[3, 4, 6], learning_rate=LogUniform(1e-3, 1e-1), backbone_dropout=Uniform(0.0, 0.4))
FIXED = {"backbone_units": 5, "batch_size": 16, "steps": 20}
SETTINGS: dict[str, Any] = {
    "trials": 18,
    "draws_per_shape": 5,
    "seeds": (0, 7),
    "population_size": 6,
    "fixed": FIXED,
}


def outcome(study: Study) -> list[tuple[Any, ...]]:
    """Everything that must not depend on interruptions, to the last bit."""
    return [
        (
            run.trial,
            tuple(sorted(run.config.items())),
            run.seed,
            run.score,
            run.status,
            run.reason,
            run.history,
        )
        for run in study.records
    ]


@pytest.fixture(scope="module")
def undisturbed(task: Task) -> list[tuple[Any, ...]]:
    return outcome(Study(None, task, SPACE, halving=Halving(), **SETTINGS).run(progress=False))


@pytest.fixture(scope="module")
def whole(task: Task) -> Study:
    """The same plan, every trial trained to its end."""
    return Study(None, task, SPACE, **SETTINGS).run(progress=False)


def expected(whole: Study, rungs: list[int], eta: int) -> dict[int, int]:
    """From whole trainings: the step at which halving ends each configuration."""
    seeds = len(whole.config.seeds)
    ends: dict[int, int] = {}
    contest = list(range(whole.config.trials))
    for step in rungs:
        reached = {}
        for place in contest:
            runs = whole.records[place * seeds : (place + 1) * seeds]
            best = [
                min(s for at, s in zip(r.history.step, r.history.validation_score, strict=True) if at <= step)
                for r in runs
                if r.history is not None
            ]
            reached[place] = float(np.mean(best))
        order = sorted(contest, key=lambda place: (reached[place], place))
        keep = order[: max(1, len(order) // eta)]
        ends |= dict.fromkeys(set(contest) - set(keep), step)
        contest = keep
    return ends | dict.fromkeys(contest, FIXED["steps"])


@pytest.mark.parametrize(("eta", "rungs", "steps"), [(3, 2, [2, 6]), (2, 1, [10]), (2, 3, [2, 4, 10])])
def test_the_best_of_each_rung_go_on(
    task: Task, whole: Study, eta: int, rungs: int, steps: list[int]
) -> None:
    halved = Study(None, task, SPACE, halving=Halving(eta=eta, rungs=rungs), **SETTINGS).run(progress=False)
    ends = expected(whole, steps, eta)
    assert len(set(ends.values())) == rungs + 1
    for full, run in zip(whole.records, halved.records, strict=True):
        assert run.history is not None and full.history is not None
        end = ends[run.trial // 2]
        assert run.history.step == tuple(range(2, end + 1, 2))
        assert run.history.validation_score == full.history.validation_score[: end // 2]
        assert run.history.train_loss == full.history.train_loss[: end // 2]
        assert run.score == min(run.history.validation_score)
        assert run.status == ("finished" if end == 20 else "pruned")
        assert (run.config, run.seed) == (full.config, full.seed)
    sums = {place: sum(run.score for run in halved.records[2 * place : 2 * place + 2]) for place in ends}
    best = min((place for place in ends if ends[place] == 20), key=lambda place: sums[place])
    assert halved.best.trial // 2 == best


def test_a_survivor_is_what_a_lone_model_gives(task: Task, undisturbed: list[tuple[Any, ...]]) -> None:
    study = Study(None, task, SPACE, halving=Halving(), **SETTINGS).run(progress=False)
    assert outcome(study) == undisturbed
    for run in study.records:
        again = Record.from_json(run.to_json()).rerun(task)
        assert (again.score, again.history, again.status, again.reason) == (
            run.score, run.history, run.status, run.reason,
        )  # fmt: skip
        if run.status == "finished":
            model = CfC(
                1,
                run.config["hidden_size"],
                backbone_units=5,
                output_size=1,
                return_sequences=False,
                seed=run.seed,
            )
            alone = {name: run.config[name] for name in ("learning_rate", "backbone_dropout")}
            history = fit(model, task, steps=20, batch_size=16, seed=run.seed, progress=False, **alone)
            assert history.best_score == run.score
            assert run.history is not None and history.validation_score == run.history.validation_score


class CutOffError(Exception):
    """Stands for whatever stops a process."""


@pytest.mark.parametrize(
    ("where", "at", "storage"),
    [
        (TrialPopulation, 3, None),
        (TrialPopulation, 9, "tuning.db"),
        (TrialQueue, 5, None),
        (TrialQueue, 25, "tuning.db"),
        (TrialQueue, 33, None),
    ],
)
def test_a_bracket_cut_off_ends_as_if_it_had_not_been(
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: list[tuple[Any, ...]],
    storage: str | None,
    where: Any,
    at: int,
) -> None:
    """Cut off in the middle of a rung, or while a rung's decisions are written down."""
    place = None if storage is None else tmp_path / storage
    study = Study(place, task, SPACE, halving=Halving(), **SETTINGS)
    name = "train" if where is TrialPopulation else "finish"
    real, calls = getattr(where, name), []

    def cut_off(self: Any, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == at:
            raise CutOffError
        return real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, cut_off)
        with pytest.raises(CutOffError):
            study.run(progress=False)
    done = outcome(study)
    assert len(done) == (at - 1 if where is TrialQueue else 0 if at == 3 else 24)
    assert all(run in undisturbed for run in done)
    if place is not None:
        study = Study(place, task, SPACE, halving=Halving(), **SETTINGS)
    assert outcome(study.run(progress=False)) == undisturbed
    assert {trial.state.name for trial in study.optuna.trials} <= {"COMPLETE", "PRUNED", "FAIL"}


SEARCH = """
import sys
from tests.small_study import die_after
from tests.test_halving import search
die_after(50)
search(sys.argv[1]).run(progress=False)
"""


def search(storage: Path | str | None) -> Study:
    """A random search with 64 members on irregular glucose: at its rungs 48 and 12 are pruned."""
    space = Space(
        learning_rate=LogUniform(1e-3, 1e-1), backbone_dropout=Uniform(0.0, 0.4), clip_norm=[None, 1.0]
    )
    return Study(
        storage,
        glucose(300, 60, 60, readings=6).scaled_time("log"),
        space,
        trials=64,
        population_size=64,
        halving=Halving(eta=4, rungs=2),
        fixed={"hidden_size": 6, "backbone_units": 7, "steps": 64, "evaluate_every": 4},
    )


def test_a_search_killed_between_rungs_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends in one bar as if it had not been killed."""
    path = tmp_path / "tuning.db"
    child = subprocess.run(
        [sys.executable, "-c", SEARCH, str(path)], cwd=Path(__file__).parents[1], check=False
    )
    assert child.returncode == -signal.SIGKILL
    study = search(path)
    begun = outcome(study)
    assert len(begun) == 50
    resumed = outcome(study.run())
    counts = [
        tuple(map(int, count)) for count in re.findall(r"study: .*?(\d+)/(\d+) \[", capsys.readouterr().err)
    ]
    assert counts[0] == (50, 64) and counts[-1] == (64, 64)
    assert counts == sorted(counts) and {total for _, total in counts} == {64}  # one bar, from where it was
    assert [run[0] for run in resumed] == list(range(64))
    assert all(run in resumed for run in begun)
    assert [run[4] for run in resumed].count("pruned") == 60
    assert resumed == outcome(search(None).run(progress=False))


def test_hyperband_is_several_brackets(task: Task) -> None:
    halving = Hyperband(eta=2, rungs=2)
    study = Study(None, task, SPACE, sampler="quasi-random", halving=halving, **SETTINGS).run(progress=False)
    sizes = [bracket.size for bracket in halving.brackets(18)]
    assert sum(sizes) == 18
    ends = np.array([run.history.step[-1] for run in study.records[::2] if run.history is not None])
    first, second = sizes[0], sizes[0] + sizes[1]
    assert sorted(set(ends[:first])) == [4, 10, 20]
    assert sorted(set(ends[first:second])) == [10, 20]
    assert set(ends[second:]) == {20}
    assert (ends[:first] == 20).sum() == first // 2 // 2


def test_brackets_of_a_grid_are_ranked_apart(task: Task) -> None:
    space = Space(learning_rate=[1e-3, 1e-2, 1e-1, 0.3], hidden_size=[3, 4])
    fixed = FIXED | {"backbone_dropout": 0.1}
    study = Study(None, task, space, sampler="grid", halving=Halving(eta=2, rungs=1, bracket_size=4), fixed=fixed)
    study.run(progress=False)
    assert [sum(run.status == "finished" for run in study.records[i : i + 4]) for i in (0, 4)] == [2, 2]
    assert all("of 4 at step 10" in str(run.reason) for run in study.records if run.status == "pruned")


def test_tpe_halves_each_population_it_asks_for(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SETTINGS | {"sampler": "tpe", "trials": 20, "halving": Halving(eta=2, rungs=1)}
    study = Study(None, task, SPACE, **settings)
    real, calls = TrialQueue.finish, []

    def cut_off(self: Any, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 23:
            raise CutOffError
        return real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(TrialQueue, "finish", cut_off)
        with pytest.raises(CutOffError):
            study.run(progress=False)
    study.run(progress=False)
    statuses = [run.status for run in study.records]
    assert [run.trial for run in study.records] == list(range(40))
    assert [statuses[i : i + 10].count("finished") for i in range(0, 40, 10)] == [4, 4, 4, 4]


def test_diverged_and_stopped_members_keep_their_end(task: Task) -> None:
    space = Space(learning_rate=[1e-2, 1e38, 2e-2, 5e37, 1e-8, 1e-3, 2e-3, 4e-3])
    fixed = FIXED | {"clip_norm": None, "schedule": "constant", "hidden_size": 4, "patience": 3}
    study = Study(None, task, space, sampler="grid", halving=Halving(eta=2, rungs=2), fixed=fixed).run(
        progress=False
    )
    statuses = [run.status for run in study.records]
    assert statuses[1] == statuses[3] == "diverged"
    assert study.records[1].score == math.inf
    assert statuses.count("diverged") == 2 and "pruned" in statuses
    assert all(math.isfinite(run.score) for run in study.records if not run.diverged)
    assert {t.state.name for t in study.optuna.trials if t.value == math.inf} == {"COMPLETE"}


def test_an_optuna_study_says_what_was_pruned_when(task: Task, tmp_path: Path) -> None:
    import optuna

    study = Study(tmp_path / "a.db", task, SPACE, halving=Halving(), **SETTINGS).run(progress=False)
    plain = optuna.load_study(study_name="study", storage=f"sqlite:///{tmp_path / 'a.db'}")
    records = {run.trial: run for run in study.records}
    for trial in plain.trials:
        run = records[trial.user_attrs["trial"]]
        assert run.history is not None
        assert trial.state.name == ("PRUNED" if run.status == "pruned" else "COMPLETE")
        assert trial.value == run.score
        assert trial.params == {name: run.config[name] for name in SPACE.distributions}
        assert trial.intermediate_values == (
            {run.history.step[-1]: run.score} if run.status == "pruned" else {}
        )
        assert Record.from_json(trial.user_attrs["record"]) == run


def test_two_workers_share_brackets(tmp_path: Path, task: Task) -> None:
    settings = SETTINGS | {"halving": Halving(eta=3, rungs=1, bracket_size=6)}
    alone = outcome(Study(None, task, SPACE, **settings).run(progress=False))
    shared = Study(tmp_path / "a.db", task, SPACE, **settings).run(progress=False, workers=2)
    assert outcome(shared) == alone


def test_a_bracket_held_in_part_is_left_to_its_worker(tmp_path: Path, task: Task) -> None:
    """What another worker trains cannot be ranked with the rest of its bracket: the next bracket's turn comes."""
    settings = SETTINGS | {"halving": Halving(eta=3, rungs=1, bracket_size=6), "seeds": (0,)}
    path = tmp_path / "a.db"
    study, other = (Study(path, task, SPACE, **settings) for _ in range(2))
    worker = Worker(study.config, study._store, study._queue, WorkerSettings(population_size=99))
    with study._queue.working(), other._queue.working():
        assert other._queue.reserve([4])
        assert sorted(spec.index for spec in worker.claim(99)) == list(range(6, 12))
        assert sorted(spec.index for spec in worker.claim(99)) == list(range(12, 18))
        assert worker.claim(99) == []
        states = [trial.state.name for trial in study.optuna.trials]
        assert (states.count("RUNNING"), states.count("WAITING")) == (12, 6)
        other._queue._hold(())
        assert sorted(spec.index for spec in worker.claim(99)) == list(range(6))


def test_one_bar_counts_members(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study(None, task, SPACE, halving=Halving(), **SETTINGS).run()
    shown = capsys.readouterr().err
    assert "36/36" in shown and shown.count("study:") >= 1 and "pruned" not in shown
    assert f"best={min(run.score for run in study.records):.4g}" in shown


@given(trials=st.integers(3, 300), eta=st.integers(2, 5), rungs=st.integers(1, 2))
@settings(deadline=None)
def test_brackets_divide_the_plan(trials: int, eta: int, rungs: int) -> None:
    for halving in (Halving(eta=eta, rungs=rungs), Hyperband(eta=eta, rungs=rungs)):
        brackets = halving.brackets(trials)
        assert [b.first for b in brackets] == list(np.cumsum([0, *(b.size for b in brackets)]))[:-1]
        assert sum(b.size for b in brackets) == trials and min(b.size for b in brackets) >= 1
        for bracket in brackets:
            assert list(bracket.rungs) == sorted(set(bracket.rungs)) and bracket.counts_per_rung[0] == bracket.size
            steps = [rung_step(share, 250, 10) for share in bracket.rungs]
            assert steps == sorted(set(steps)) and all(step % 10 == 0 for step in steps)


def test_members_of_a_study_that_grows(task: Task, tmp_path: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name not in ("trials", "seeds")}
    halving = Halving(eta=2, rungs=1, bracket_size=6)
    small = outcome(
        Study(tmp_path / "a.db", task, SPACE, trials=6, halving=halving, **settings).run(progress=False)
    )
    grown = outcome(
        Study(tmp_path / "a.db", task, SPACE, trials=12, halving=halving, **settings).run(progress=False)
    )
    assert grown[:6] == small
    assert grown == outcome(
        Study(None, task, SPACE, trials=12, halving=halving, **settings).run(progress=False)
    )
    Study(tmp_path / "b.db", task, SPACE, trials=6, halving=Halving(), **settings)
    with pytest.raises(
        ValueError, match=r"halving was Halving\(eta=3, rungs=2, bracket_size=6\) and is .*bracket_size=12"
    ):
        Study(tmp_path / "b.db", task, SPACE, trials=12, halving=Halving(), **settings)


def test_a_study_that_grew_elsewhere_trains_what_it_was_opened_with(task: Task, tmp_path: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "trials"}
    settings["halving"] = Halving(eta=2, rungs=1, bracket_size=4)
    study = Study(tmp_path / "a.db", task, SPACE, trials=8, **settings)
    grown = Study(tmp_path / "a.db", task, SPACE, trials=12, **settings)
    undisturbed = outcome(Study(None, task, SPACE, trials=12, **settings).run(progress=False))
    assert outcome(study.run(progress=False)) == undisturbed[:16]
    assert repr(study).endswith("16 of 16 trials done)")
    assert outcome(grown.run(progress=False)) == undisturbed
    assert outcome(study.run(progress=False)) == undisturbed[:16]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"halving": 3}, "halving must be a Halving or a Hyperband, got 3"),
        ({"halving": Halving(bracket_size=4)}, "trials must be a multiple of the 4 members of a bracket, got 18"),
        ({"halving": Hyperband(), "trials": 2}, "trials must be at least the 3 brackets of Hyperband"),
        ({"halving": Hyperband(), "sampler": "tpe"}, "halving must be a Halving without bracket_size with sampler"),
        (
            {"halving": Halving(bracket_size=6), "sampler": "tpe"},
            "halving must be a Halving without bracket_size with sampler='tpe'",
        ),
        (
            {"halving": Halving(), "fixed": FIXED | {"evaluate_every": 5}},
            "evaluate_every must be at most 2.22 to rank after 0.111 of 20 steps, got 5. Evaluate .* In the conf",
        ),
    ],
)
def test_bad_halving_is_named(task: Task, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(None, task, SPACE, **(SETTINGS | change))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Halving(eta=1), "eta must be at least 2, got 1"),
        (lambda: Hyperband(rungs=0), "rungs must be at least 1, got 0"),
        (lambda: Halving().brackets(0), "trials must be at least 1, got 0"),
        (lambda: Hyperband().brackets("x"), "trials must be an integer, got 'x'"),  # type: ignore[arg-type]  # that is the test
        (lambda: Halving(bracket_size=1), "bracket_size must be at least 2, got 1"),
    ],
)
def test_bad_numbers_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
