"""What a study says of itself: edges of its space, importance, a summary, limits of one call."""

import argparse
import math
import signal
from pathlib import Path
from typing import Any

import pytest

from ncps_mlx import AutoNCP, Halving, Integer, LogUniform, Space, Study, Task, Uniform, When

# Private: rows as a study gives them, and the command's arguments without a process.
from ncps_mlx._commands import worker
from ncps_mlx._trials import TrialResult, as_records
from ncps_mlx.search._analysis import boundary

FAST = {"backbone_units": 5, "hidden_size": 4, "batch_size": 16, "steps": 4}


def runs(*rows: tuple[dict[str, Any], float], **about: Any) -> list[TrialResult]:
    return as_records({**config, "seed": 0, "score": score, **about} for config, score in rows)


def edges(space: Space, config: dict[str, Any], **about: Any) -> list[tuple[str, str]]:
    worse = {name: next(v for v in (*each.bounds(), *each.bounds()) if v != config.get(name)) for name, each in
             space.distributions.items() if name in config}  # fmt: skip
    rows = runs((config, 1.0), (config | worse, -1e9 if about.get("higher_is_better") else 1e9), **about)
    return [(edge.name, edge.side) for edge in boundary(space, rows)]


@pytest.mark.parametrize(
    ("hyperparameter", "value", "side"),
    [
        ({"learning_rate": LogUniform(1e-4, 1e-1)}, 0.9e-1, "high"),
        ({"learning_rate": LogUniform(1e-4, 1e-1)}, 1.5e-4, "low"),
        ({"learning_rate": LogUniform(1e-4, 1e-1)}, 3e-4, None),  # near the low end on a linear scale alone
        ({"learning_rate": [1e-3, 1e-2, 1e-1]}, 1e-2, None),
        ({"learning_rate": [1e-1, 1e-2, 1e-3]}, 1e-1, "high"),
        ({"hidden_size": Integer(8, 64, log=True)}, 60, "high"),
        ({"hidden_size": Integer(8, 64, log=True)}, 8, "low"),
        ({"hidden_size": Integer(1, 64, log=True)}, 1, None),  # there is no smaller one
        ({"num_layers": [1, 2, 3]}, 1, None),
        ({"num_layers": [1, 2, 3]}, 3, "high"),
        ({"backbone_dropout": Uniform(0.0, 0.4)}, 0.0, None),
        ({"backbone_dropout": Uniform(0.0, 0.4)}, 0.39, "high"),
        ({"backbone_dropout": Uniform(0.1, 0.4)}, 0.12, "low"),
        ({"backbone_dropout": Uniform(0.0, 0.95)}, 0.95, None),  # a tenth more would be above 1
        ({"weight_decay": [0.0, 0.1]}, 0.0, None),
        ({"clip_norm": [None, 0.5, 1.0]}, 1.0, "high"),
        ({"clip_norm": [None, 0.5, 1.0]}, None, None),
        ({"clip_norm": [None, 0.5]}, 0.5, None),
        ({"residual": [False, True]}, True, None),
        ({"mode": ["default", "pure"]}, "pure", None),
        ({"wiring": [AutoNCP(7, 2), AutoNCP(8, 2)]}, AutoNCP(8, 2), None),
    ],
)
def test_an_edge_is_where_the_range_could_go_on(hyperparameter: dict[str, Any], value: Any, side: str | None) -> None:
    ((name, _),) = hyperparameter.items()
    assert edges(Space(**hyperparameter), {name: value}) == ([] if side is None else [(name, side)])


def test_the_best_configuration_decides_and_the_next_ones_are_counted() -> None:
    space = Space(learning_rate=LogUniform(1e-4, 1.0), num_layers=[1, 2, 3])
    rows = [({"learning_rate": 10.0 ** (-i / 4), "num_layers": 2}, float(i)) for i in range(16)]
    (edge,) = boundary(space, runs(*rows))
    assert (edge.name, edge.side, edge.value, edge.end) == ("learning_rate", "high", 1.0, 1.0)
    assert (edge.near, edge.of, edge.distance) == (2, 4, 0.0)
    assert str(edge) == ("learning_rate: best 1 at the upper end 1, where 2 of the best 4 lie: widen it upwards")
    (other,) = boundary(space, runs(*rows, higher_is_better=True))
    assert (other.side, other.near) == ("low", 1)
    assert "within 6.2 % of the lower end 0.0001" in str(other)
    assert boundary(space, runs(*rows, higher_is_better=True), margin=0.05) == []


def test_pruned_diverged_and_absent_knobs_are_no_evidence() -> None:
    space = Space(
        backbone_layers=[0, 1],
        backbone_units=When(Integer(8, 16), backbone_layers=1),
        learning_rate=Uniform(0.1, 0.9),
    )
    inside = {"backbone_layers": 0, "backbone_units": 16, "learning_rate": 0.5}
    pruned = runs((inside | {"learning_rate": 0.9}, 0.1), status="pruned")
    diverged = runs((inside | {"learning_rate": 0.1}, math.inf), status="diverged")
    assert boundary(space, [*pruned, *diverged, *runs((inside, 1.0))]) == []
    best, other = inside | {"backbone_layers": 1}, inside | {"backbone_layers": 1, "backbone_units": 9}
    found = boundary(space, runs((best, 1.0), (other, 2.0), (inside, 3.0)))
    assert [(edge.name, edge.side) for edge in found] == [("backbone_layers", "high"), ("backbone_units", "high")]
    assert boundary(space, runs((best, 1.0), (other | {"backbone_units": 16, "learning_rate": 0.4}, 2.0))) == []
    assert boundary(space, diverged) == []
    with pytest.raises(ValueError, match=r"margin must be at least 0 and below 0.5, got 0.5"):
        boundary(space, diverged, margin=0.5)


def test_importance_is_that_of_optuna_over_all_trials(task: Task) -> None:
    space = Space(
        learning_rate=LogUniform(1e-9, 1e-2),
        schedule=["constant", "cosine"],
        warmup_steps=When([0, 1, 2], schedule="cosine"),
    )
    study = Study(None, task, space, trials=24, halving=Halving(eta=2, rungs=1), fixed=FAST | {"steps": 20})
    with pytest.raises(RuntimeError, match="importance needs at least 4 trials that converged"):
        study.importance()
    shares = study.run(progress=False).importance()
    assert set(shares) == {"learning_rate", "schedule", "warmup_steps"}
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "learning_rate"


def test_a_summary_says_how_trials_ended_and_what_lies_at_the_edge(task: Task) -> None:
    space = Space(learning_rate=[1e-8, 1e-7, 1e-6, 1e-3], schedule=["constant"])
    halving = Halving(eta=2, rungs=1)
    fixed = FAST | {"steps": 20}
    study = Study(None, task, space, sampler="grid", seeds=(0, 1), halving=halving, fixed=fixed)
    assert study.summary().splitlines() == [repr(study), "trials: none; 0 s of training"]
    lines = study.run(progress=False).summary().splitlines()
    assert lines[0] == repr(study)
    assert "4 pruned" in lines[1] and "4 finished" in lines[1]
    assert lines[2].startswith("best: rmse ") and lines[2].endswith(
        "with learning_rate 0.001, schedule constant"
    )
    assert lines[3].startswith("learning_rate: best 0.001 at the upper end 0.001")
    assert [edge.name for edge in study.boundary()] == ["learning_rate"]


def test_a_run_that_ends_warns_of_edges_unasked(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    space = Space(learning_rate=[1e-8, 1e-7, 1e-6, 1e-3], schedule=["constant"])
    study = Study(None, task, space, sampler="grid", fixed=FAST | {"steps": 20})
    warning = "learning_rate: best 0.001 at the upper end 0.001, where 1 of the best 3 lies: widen it upwards\n"
    study.run(max_trials=3)
    assert "widen" not in capsys.readouterr().err  # the study has not ended
    study.run()
    assert capsys.readouterr().err.count(warning) == 1
    study.run(progress=False)
    assert capsys.readouterr().err == ""


def outcome(study: Study) -> list[Any]:
    return [(run.trial, run.config, run.seed, run.score, run.status) for run in study.records]


def test_one_call_may_be_limited_to_members(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"trials": 5, "seeds": (0, 1), "population_size": 4, "fixed": FAST}
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    study = Study(None, task, space, **settings)
    assert len(study.run(max_trials=7).records) == 7
    assert "7/7" in capsys.readouterr().err
    assert len(study.run(max_trials=2).records) == 9
    assert "9/9" in capsys.readouterr().err
    whole = Study(None, task, space, **settings).run(progress=False)
    assert outcome(study.run(max_trials=2)) == outcome(whole)


def test_a_bracket_is_begun_whole(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    halving = Halving(eta=2, rungs=1, bracket_size=4)
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    study = Study(None, task, space, trials=12, halving=halving, fixed=FAST | {"steps": 10})
    assert len(study.run(max_trials=5).records) == 8
    assert "8/8" in capsys.readouterr().err  # the bar's end moves with the bracket
    assert len(study.run(progress=False, max_trials=4).records) == 12


class Clock:
    """Stands for the module time: a second passes at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


def test_when_the_time_is_over_a_bracket_is_finished(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    halving = Halving(eta=2, rungs=1, bracket_size=4)
    space = Space(learning_rate=LogUniform(1e-3, 1e-1))
    settings: dict[str, Any] = {"trials": 12, "halving": halving, "fixed": FAST | {"steps": 10}}
    study = Study(None, task, space, **settings)
    for done, seconds in ((4, 1.5), (4, 0.5), (8, 1.5)):
        with monkeypatch.context() as patch:
            patch.setattr("ncps_mlx.search._worker.time", Clock())
            assert len(study.run(progress=False, timeout=seconds).records) == done
    assert outcome(study.run(progress=False)) == outcome(Study(None, task, space, **settings).run(progress=False))


def test_one_call_may_be_limited_to_seconds(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path / "a.db", task, Space(learning_rate=[1e-3, 1e-2]), sampler="grid", fixed=FAST)
    assert study.run(progress=False, timeout=1e-9).records == []
    parser = argparse.ArgumentParser()
    worker.add_arguments(parser)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest keeps its own
    url = str(tmp_path / "a.db")
    assert worker.run(parser.parse_args([url, "study", "--timeout", "1e-9", "--quiet"])) == 0
    assert study.records == []
    assert worker.run(parser.parse_args([url, "study", "--timeout", "1e6", "--quiet"])) == 0
    assert len(study.records) == 2


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_trials": 0}, "max_trials must be at least 1, got 0"),
        ({"timeout": 0}, "timeout must be above 0, got 0"),
        ({"max_trials": 3, "workers": 2}, "max_trials must be None with 2 workers, who share the plan, got 3"),
    ],
)
def test_bad_limits_are_named(task: Task, limits: dict[str, Any], message: str) -> None:
    study = Study(None, task, Space(learning_rate=[1e-3]), sampler="grid", fixed=FAST)
    with pytest.raises(ValueError, match=message):
        study.run(progress=False, **limits)
