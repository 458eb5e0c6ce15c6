"""What the pages on searching say of whole searches: as the verdicts have it, and by simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats as reference

from docs.evidence import address, power, says, searches
from ncps_mlx import plots


@pytest.mark.parametrize("task", ["xor", "glucose", "sunspots"])
@pytest.mark.parametrize("budget", ["short", "long"])
def test_a_search_against_another_is_what_the_verdict_says(task: str, budget: str) -> None:
    said = searches.gain("grid_4", task, budget, "quasi_random")
    assert said == says.effect("grid-exhaustive", budget, task)
    assert searches.gain("tpe", task, budget, "random_32") == says.effect("help-automated", budget, task)


def test_the_table_has_a_score_of_every_search_and_accuracies_within_their_scale() -> None:
    head, *rows = searches.scores("long")
    assert len(head) == 4
    assert [row[0] for row in rows] == list(searches.NAMES.values())
    for row in rows:
        low, high = map(float, row[1].partition("[")[2].rstrip("]").split(","))
        assert 0 <= low < high <= 100


def test_the_figure_shows_every_repeat_and_says_what_it_shows() -> None:
    drawn = searches.curve()
    values = plots.numbers(drawn)
    assert len(values["points"]) == 3 * 2 * 4 * 10
    assert [row["n"] for row in values["summary"]] == [10] * 24
    assert "glucose, short" in plots.alt_text(drawn)


def test_the_best_of_a_search_looked_better_than_it_is() -> None:
    assert " better [" in searches.flattery("random_16", "glucose", "long")


@pytest.mark.parametrize(("search", "message"), [("no_such", "search must be one of"), ("random_8", "must be halved")])
def test_what_no_search_is_or_does_is_refused(search: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        searches.halving_cost(search) if search == "random_8" else searches.gain(search, "xor", "long")


@pytest.mark.parametrize(("seeds", "spreads"), [(3, 2), (10, 1)])
def test_the_share_of_differences_found_is_that_of_a_simulation(seeds: int, spreads: int) -> None:
    draws = np.random.default_rng(0).normal(spreads, 1, (20_000, seeds))
    found = reference.ttest_1samp(draws, 0, axis=1)
    share = np.mean((found.pvalue < 0.05) & (found.statistic > 0))
    assert abs(float(power.share_found(str(seeds), str(spreads)).split()[0]) / 100 - share) < 0.015


def test_the_way_to_a_report_has_an_address_only_if_the_project_has_one(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "x"\n', encoding="utf-8")
    assert "HOST/OWNER/NAME" in address.how_to_report(str(tmp_path))
    file.write_text('[project.urls]\nRepository = "https://forge.example/we/it/"\n', encoding="utf-8")
    assert "--issue forge.example/we/it`" in address.how_to_report(str(tmp_path))


def test_the_library_is_installed_from_where_the_project_says_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    for urls, there, absent in (
        ("", 'pip install ".[guide]"', "git clone"),
        ('Repository = "https://forge.example/we/it/"', "git clone https://forge.example/we/it\n   cd it", "checkout"),
        ('PyPI = "https://pypi.example/it"', 'pip install "ncps-mlx[guide]"', "cd "),
    ):
        file.write_text(f'[project]\nname = "x"\n[project.urls]\n{urls}\n', encoding="utf-8")
        text = address.how_to_install(str(tmp_path))
        assert there in text and absent not in text
