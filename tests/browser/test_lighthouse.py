"""Lighthouse on a page of each kind, the median of three runs: what it gives is printed, and has a least value."""

from __future__ import annotations

import json
import os
import statistics
import subprocess

import pytest

from tests.browser.conftest import CHROMIUM

LIGHTHOUSE = os.environ.get("LIGHTHOUSE", "lighthouse")
KINDS = {
    "landing": "index", "guide": "guide/learning-rate", "formulas": "models/cfc",
    "gallery": "auto_examples/plot_learning_rate", "claims": "evidence/claims",
    "reference": "api/generated/ncps_mlx.CfC",
}  # fmt: skip
WANTED = {"mobile": (95, 100, 100, 100), "desktop": (98, 100, 100, 100)}
"""Performance, accessibility, best practices, search engines."""
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")


@pytest.mark.parametrize("form", WANTED)
@pytest.mark.parametrize("kind", KINDS)
def test_lighthouse(address: str, kind: str, form: str, tmp_path, capsys) -> None:
    runs = [scores(f"{address}/{KINDS[kind]}.html", form, tmp_path) for _ in range(3)]
    median = tuple(round(statistics.median(each)) for each in zip(*runs, strict=True))
    with capsys.disabled():
        print(f"\nLighthouse {form:8} {kind:10} {' / '.join(map(str, median))}")
    assert all(found >= least for found, least in zip(median, WANTED[form], strict=True)), (median, WANTED[form])


def scores(url: str, form: str, folder) -> list[float]:
    """The four scores of one run."""
    report = folder / "report.json"
    command = [LIGHTHOUSE, url, "--quiet", "--output=json", f"--output-path={report}"]
    command += [f"--only-categories={','.join(CATEGORIES)}", "--chrome-flags=--headless --no-sandbox"]
    command += ["--preset=desktop"] if form == "desktop" else []
    env = os.environ | {"CHROME_PATH": str(CHROMIUM)}
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=300)
    found = json.loads(report.read_text())["categories"]
    return [100 * found[name]["score"] for name in CATEGORIES]
