"""``ncps-mlx report``: one HTML file that says in words and figures what a study found."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from ncps_mlx import LogUniform, Space, Study
from ncps_mlx.__main__ import main
from ncps_mlx.data import irregular_sines

FIXED = {"hidden_size": 4, "backbone_units": 5, "batch_size": 16, "steps": 4}


def study_in(path: Path, trials: int) -> Study:
    """A study of a few short trainings, in a file."""
    task = irregular_sines(n_train=20, n_validation=10, n_test=10, readings=8)
    space = Space(learning_rate=LogUniform(1e-3, 1e-1), clip_norm=[0.5, 1.0])
    return Study(path, task, space, trials=trials, seeds=(0, 1), name="rates & norms", fixed=FIXED)


def test_the_report_shows_summary_figures_and_every_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = study_in(tmp_path / "s.db", trials=4).run(progress=False)
    path = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "s.db"), "rates & norms", "-o", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert page.title is not None and page.title.text == "Study 'rates & norms' on irregular sines"
    assert study.summary() in page.text
    images = page.find_all("img")
    assert len(images) == 5
    assert all(len(str(image["alt"])) > 40 and str(image["src"]).startswith("data:image/png") for image in images)
    assert not [tag for tag in page.find_all(src=True) if not str(tag["src"]).startswith("data:")]  # it stands alone
    assert f"{study.best.config['learning_rate']:.6g}" in page.text
    assert len(page.find_all("details")) == 6


def test_a_figure_that_needs_more_trials_says_so(tmp_path: Path) -> None:
    study_in(tmp_path / "s.db", trials=1).run(progress=False)
    path = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "s.db"), "rates & norms", "-o", str(path)]) == 0
    assert "4 trials" in path.read_text(encoding="utf-8")


def test_a_study_without_a_trial_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_in(tmp_path / "s.db", trials=1)
    assert main(["report", str(tmp_path / "s.db"), "rates & norms"]) == 1
    assert "RuntimeError: 'rates & norms' has no trial yet." in capsys.readouterr().err
