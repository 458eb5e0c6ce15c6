"""A figure's alternative text gives the best value and its interval: recomputed here from the figure's raw points."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import pagerun
from tests.site.site_pages import EXECUTED, HTML, ROOT, soup

IMAGES = ROOT / "docs" / "auto_examples" / "images"
FIGURES = sorted(IMAGES.glob("sphx_glr_plot_*_[0-9][0-9][0-9].json"))  # numbers; points lie beside them
TRIPLE = re.compile(r"([-+]?\d+(?:\.\d+)?) \[([-+]?\d+(?:\.\d+)?), ([-+]?\d+(?:\.\d+)?)\]")
KEYS = {"seed", "score", "status", "difference", "reference"}


def intervals(points: list[dict[str, Any]], value: str) -> list[tuple[dict[str, Any], float, float, float]]:
    """Per compared thing: what it is, the mean of its points and their 95 % Student interval."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        what = {key: point[key] for key in point if key not in KEYS}
        groups.setdefault(json.dumps(what, sort_keys=True), []).append(point)
    found = []
    for key, members in groups.items():
        scores = [member[value] for member in members]
        if value == "difference":
            scores = [score for score in scores if score is not None]
        if None in scores or len(scores) < 2:
            continue
        mean = float(np.mean(scores))
        half = float(stats.sem(scores) * stats.t.ppf(0.975, len(scores) - 1))
        found.append((json.loads(key), mean, mean - half, mean + half))
    return found


def said(alt: str, *expected: float) -> bool:
    """Whether a text gives these three numbers as "mean [low, high]", each rounded to the digits it shows."""
    for triple in TRIPLE.findall(alt):
        rounding = [0.5 * 10.0 ** -len(text.partition(".")[2]) * 1.001 for text in triple]
        pairs = zip(map(float, triple), expected, rounding, strict=True)
        if all(math.isclose(shown, value, abs_tol=off) for shown, value, off in pairs):
            return True
    return False


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_alternative_text_states_what_the_points_say(path: Path) -> None:
    figure = json.loads(path.read_text(encoding="utf-8"))
    alt, numbers = figure["alt"], figure["numbers"]
    if numbers["kind"] == "differences":
        rows = intervals(numbers["points"], "difference")
        assert rows
        for what, mean, low, high in rows:
            assert said(alt, mean, low, high), f"{what}: {mean} [{low}, {high}] is not in {alt!r}"
    elif numbers["kind"] == "sweep":
        rows = intervals(numbers["points"], "score")
        best = numbers["best"]
        assert best is not None, "a sweep of the gallery has a value that converged"
        named = {key: value for key, value in best.items() if key in rows[0][0]}
        (_, mean, low, high) = next(row for row in rows if row[0] == named)
        means = [row[1] for row in rows]
        assert math.isclose(mean, min(means)) or math.isclose(mean, max(means))
        assert np.allclose([best["mean"], best["low"], best["high"]], [mean, low, high])
        assert said(alt, mean, low, high), f"{mean} [{low}, {high}] is not in {alt!r}"


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_the_page_shows_that_text(path: Path) -> None:
    script = path.stem.removeprefix("sphx_glr_").rpartition("_")[0]
    images = soup(f"auto_examples/{script}").find_all("img")
    (shown,) = [image for image in images if str(image["src"]).endswith(f"{path.stem}.webp")]
    assert " ".join(str(shown["alt"]).split()) == " ".join(json.loads(path.read_text())["alt"].split())


@pytest.mark.parametrize("path", sorted((ROOT / "gallery").glob("plot_*.py")), ids=lambda path: path.stem)
def test_every_script_shows_a_sweep_with_every_seed(path: Path) -> None:
    files = [file for file in FIGURES if re.fullmatch(rf"sphx_glr_{path.stem}_\d+", file.stem)]
    kinds = [json.loads(file.read_text(encoding="utf-8"))["numbers"] for file in files]
    swept = [
        numbers for numbers in kinds if numbers["kind"] in {"sweep", "differences", "expected_best", "slices"}
    ]
    assert swept, "a script of the gallery draws what it swept"
    seeds = [{p["seed"] for p in numbers["points"] if "seed" in p} for numbers in swept]
    assert max(map(len, seeds)) >= 5 or any(len(numbers["points"]) >= 5 for numbers in swept)


@pytest.mark.parametrize("path", EXECUTED, ids=pagerun.docname_of)
def test_a_page_shows_the_figures_of_its_own_run(path):
    """Sphinx keeps all images in one folder, and read in parallel it lets one replace another of the same name."""
    folder, page = pagerun.kept_folder(path, ROOT), pagerun.docname_of(path)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    figures = [figure for result in run["results"] for figure in result["figures"]]
    own = {figure["alt"]: (folder / figure["file"]).read_bytes() for figure in figures}
    shown = {str(image["alt"]): (HTML / page).parent / str(image["src"]) for image in soup(page).select("img.drawn")}
    assert own.keys() & shown.keys() or not figures
    for alt in own.keys() & shown.keys():  # other figures of the page are drawn from the record
        assert shown[alt].suffix == ".webp" and shown[alt].with_suffix(".png").read_bytes() == own[alt]
        with Image.open(shown[alt]) as served, Image.open(shown[alt].with_suffix(".png")) as drawn:
            assert served.convert("RGBA").tobytes() == drawn.convert("RGBA").tobytes()


@pytest.mark.parametrize("path", EXECUTED, ids=pagerun.docname_of)
def test_a_figure_with_points_has_them_beside_it(path):
    for figure in soup(pagerun.docname_of(path)).select("div.pointed"):
        picture = (HTML / pagerun.docname_of(path)).parent / str(figure.select_one("img")["src"])
        script = picture.with_suffix(".points.js").read_text(encoding="utf-8")
        told = json.loads(script[script.index("] = ") + 4 : script.rindex(";")])
        points = [point for _, points in told["series"] for point in points]
        assert str(len(points)) == figure["data-points"] != "0"
        assert all(0 <= place <= 10_000 for point in points for place in point[:2])
