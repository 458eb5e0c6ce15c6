"""The pages of knobs: every parameter that can be tuned has one, and the record says what it matters."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any, cast

import pytest

import knob_pages
from docs.evidence import knob_facts, sensitivity
from ncps_mlx import CfC, fit, plots
from ncps_mlx._evidence.knobs import knobs, no_knobs
from ncps_mlx._evidence.plan import Member
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.trial_file import read_trials
from ncps_mlx.training._hyperparameters import HYPERPARAMETERS
from typed_numbers import typed_numbers

DOCS = Path(__file__).parents[1] / "docs"


def planted(steps: int = 500, momentum: float = 0.9) -> None:
    """Train.

    Args:
        steps: Updates
            of the parameters.
    """


def documented(momentum: float = 0.9) -> None:
    """Train.

    Args:
        momentum: Of the optimizer, as :meth:`step` takes it.

    Returns:
        Nothing.
    """


def test_every_hyperparameter_of_the_models_and_of_fit_is_a_knob_with_a_page() -> None:
    known = {name for name, each in HYPERPARAMETERS.items() if {"CfC", "LTC"} & each.defaults.keys()} | {"seed"}
    assert knobs().keys() == known == knob_pages.pages().keys()
    assert {name for names in knob_facts.groups().values() for name in names} == known
    assert not knobs().keys() & no_knobs().keys()


def test_a_new_parameter_is_a_knob_once_its_docstring_says_what_it_does() -> None:
    with pytest.raises(ValueError, match="the docstring of fit must say under Args what momentum does"):
        knobs({"fit": planted})
    (found,) = knobs({"fit": documented}).values()
    assert found.defaults == {"fit": 0.9} and found.about == {"fit": "Of the optimizer, as :meth:`step` takes it."}


def test_defaults_and_words_are_those_of_the_signatures_and_docstrings() -> None:
    assert knob_facts.default(knobs()["backbone_layers"]) == "``1`` (CfC), ``0`` (LTC)"
    box = knob_facts.box("warmup_steps")
    assert box.startswith("How many steps the learning rate rises before it falls.\n\nSteps of linear rise before the")
    assert ":Default: ``0``\n" in box
    assert ":meth:`~ncps_mlx.LTC.time_constants`" in knob_facts.box("time_constant_range")


def test_safe_values_name_their_model_where_models_differ() -> None:
    assert knob_facts.safe_values("activation").startswith("LTC: tanh, ")
    assert knob_facts.safe_values("hidden_size") == sensitivity.safe("hidden_size")


@pytest.mark.parametrize("name", knobs())
def test_levels_of_a_sweep_differ_in_the_knob_alone(name: str) -> None:
    for sweep in sensitivity.sweeps(name):
        solved = any(level.parameters_of for level in sweep.levels.values())
        timed = {"steps"} if any(level.steps_times for level in sweep.levels.values()) else set()
        for task in () if solved else sweep.tasks:
            each = [
                Member(pool=sweep.pool, task=task, budget="long", stage="report", level=level, rate=0.01, seed=100)
                for level in sweep.levels.values() if level.is_on(task.name)
            ]  # fmt: skip
            settings = [
                {**member.settings, **(member.level.settings if name == "learning_rate" else {})} for member in each
            ]
            differ = {key for own in settings for key in own if len({repr(other.get(key)) for other in settings}) > 1}
            replaced = {"hidden_size"} if name == "wiring" else set()
            assert differ - timed - replaced == {name}, sweep.title
            assert len({repr((member.level.forms, member.level.task)) for member in each}) == 1
            assert name == "learning_rate" or all(member.level.is_tuned for member in each)


def test_the_table_of_a_knob_is_what_its_trials_say() -> None:
    trials = read_trials(DOCS / "evidence" / "trials" / "backbone.jsonl")
    sizes = {"4", "8", "16", "28", "32", "64"}
    means: dict[str, dict[str, float]] = {task: {} for task in ("xor", "glucose", "sunspots")}
    for task, found in means.items():
        for size in sizes:
            own = [
                row for row in trials
                if row["task"] == task and row["budget"] == "long"
                and row["level"].keys() == {"hidden_size", "backbone_units", "learning_rate"}
                and (row["level"]["hidden_size"], row["level"]["backbone_units"]) == (16, int(size))
            ]  # fmt: skip
            by_rate: dict[float, list[float]] = {}
            for row in own:
                if row["stage"] == "tune":
                    by_rate.setdefault(row["level"]["learning_rate"], []).append(row["scores"]["validation"])
            choose = max if task == "xor" else min
            rate = choose(sorted(by_rate), key=lambda rate: fmean(by_rate[rate]))
            reported = [row for row in own if row["stage"] == "report" and row["level"]["learning_rate"] == rate]
            assert len(reported) == 10
            found[size] = fmean(row["scores"]["test"] for row in reported)
            shown = [row for row in sensitivity.table("backbone_units") if row[0].lower() == task and row[2] == size]
            assert shown[0][-1] == f"{rate:g}"
            assert float(shown[0][-2].split()[0]) == pytest.approx(found[size], rel=0.01)
    deltas = {"xor": -0.05, "glucose": 0.7, "sunspots": 1.0}
    best = {task: (max if task == "xor" else min)(found.values()) for task, found in means.items()}
    safe = [
        int(size) for size in sizes
        if all((means[task][size] - best[task]) / delta <= 1 for task, delta in deltas.items())
    ]  # fmt: skip
    assert sensitivity.safe("backbone_units") == f"{min(safe)} to {max(safe)}" and len(safe) > 2
    for task, found in means.items():
        assert found[sensitivity.best("backbone_units", task, "long")] == best[task]


def test_the_figure_has_every_seed_at_both_budgets_in_a_panel_for_each_task() -> None:
    figure = sensitivity.knob("num_layers")
    shown = plots.numbers(figure)
    trials = dict.fromkeys(BUDGETS, 0)
    (sweep, *_) = sensitivity.sweeps("num_layers")
    for task in sweep.tasks:
        for budget in BUDGETS:
            trials[budget] += sum(len(score.by_seed) for score in sensitivity.scores(sweep, task, budget).values())
    assert {budget: sum(p["budget"] == budget for p in shown["points"]) for budget in BUDGETS} == trials
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["XOR", "glucose", "sunspots"] == list(shown["best"])
    markers = {line.get_marker() for line in figure.axes[0].get_lines() if line.get_marker() not in ("None", "_", "")}
    assert len(markers) > 1 and "Test score against num layers on 3 tasks" in plots.alt_text(figure)


def test_what_no_trials_vary_is_not_measured() -> None:
    assert not sensitivity.is_measured("weight_decay")
    assert ":Within δ of the best on every task: not measured" in knob_facts.box("weight_decay")
    assert "Not measured" in knob_pages.page("weight_decay") and "Not measured" not in knob_pages.page("hidden_size")
    with pytest.raises(ValueError, match="a knob must be a parameter"):
        sensitivity.sweeps("task")
    with pytest.raises(ValueError, match="trials must vary hidden_size alone under 'on the moon'; they do under: CfC"):
        sensitivity.chosen("hidden_size", "on the moon")


def test_claims_belong_to_the_knobs_in_which_their_levels_differ() -> None:
    named = {name: [claim.id for claim in knob_facts.claims_of(name)] for name in knobs()}
    assert "depth-residual" in named["residual"] and "depth-residual" not in named["num_layers"]
    assert "lr-warmup" in named["warmup_steps"] and "backbone-helps" in named["backbone_layers"]
    assert "backbone-helps" not in named["hidden_size"]  # solved for, to have as many parameters
    assert not any("config-forecast" in claims for claims in named.values())


def test_prose_has_no_typed_measurement_and_claims_and_pages_that_are_there() -> None:
    assert knob_facts.all_prose().keys() == knobs().keys()
    for name, table in knob_facts.all_prose().items():
        texts = [text for value in table.values() for text in ([value] if isinstance(value, str) else value)]
        assert not typed_numbers("\n\n".join(texts)), name
        assert table["group"] in knob_facts.GROUPS and table["what"].endswith(".")
        assert all((DOCS / f"{page}.rst").exists() for page in knob_facts.guide_pages(name))


def test_only_pages_that_changed_are_written_and_those_of_gone_knobs_go(tmp_path: Path) -> None:
    app = cast(Any, SimpleNamespace(srcdir=tmp_path))
    folder = tmp_path / "knobs"
    folder.mkdir()
    (folder / "index.rst").write_text("Knobs\n=====\n")
    (folder / "gone.rst").touch()
    knob_pages.write_pages(app)
    assert {path.stem for path in folder.glob("*.rst")} == {*knobs(), "index"}
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    (folder / "steps.rst").write_text("old")
    knob_pages.write_pages(app)
    assert [path.name for path in folder.iterdir() if path.stat().st_mtime > 1] == ["steps.rst"]


def test_a_page_is_read_again_when_what_a_person_wrote_of_it_changes(tmp_path: Path) -> None:
    noted: list[str] = []
    app = cast(Any, SimpleNamespace(srcdir=tmp_path, env=SimpleNamespace(note_dependency=noted.append)))
    knob_pages.note_sources(app, "guide/cfc", [""])
    assert not noted
    knob_pages.note_sources(app, "knobs/mode", [""])
    assert [Path(path).name for path in noted] == ["prose.toml", "_cfc.py", "_ltc.py", "_fit.py"]


def test_the_reference_leads_from_each_parameter_to_its_page() -> None:
    lines = [":param steps: Updates", "   of the parameters.", ":type steps: int", ":param progress: Show a bar.", ""]
    knob_pages.link_knobs(cast(Any, None), "function", "ncps_mlx.fit", fit, None, lines)
    assert lines[1] == "   of the parameters. (:doc:`tuning steps </knobs/steps>`)"
    assert lines[0] == ":param steps: Updates" and lines[3] == ":param progress: Show a bar."
    before = list(lines)
    knob_pages.link_knobs(cast(Any, None), "function", "ncps_mlx.evaluate", CfC.__call__, None, lines)
    assert lines == before
