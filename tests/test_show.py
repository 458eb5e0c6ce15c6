"""A program leaves its figures: windows where there is a display, else images beside it, with their words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from ncps_mlx import plots

ROWS = [{"mode": mode, "seed": seed, "score": 1.0 + seed} for mode in ("default", "pure") for seed in range(3)]

PROGRAM = """
from ncps_mlx import plots

rows = [{"mode": "pure", "seed": seed, "score": 1.0 + seed} for seed in range(3)]
plots.sweep(rows, "mode")
plots.sweep(rows, "mode", split="test")
plots.show()
"""


def test_a_program_without_a_display_leaves_images_beside_itself(tmp_path: Path) -> None:
    program, elsewhere = tmp_path / "some_program.py", tmp_path / "elsewhere"
    program.write_text(PROGRAM)
    elsewhere.mkdir()
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, program], cwd=elsewhere, env=hidden | {"MPLBACKEND": "Agg"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    written = [tmp_path / f"some_program_{number}.png" for number in (1, 2)]
    assert done.stdout.splitlines() == [f"Saved {path}" for path in written] and not done.stderr
    assert all(path.stat().st_size > 5000 for path in written) and not list(elsewhere.iterdir())


def test_an_image_carries_its_words_and_its_figure_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = plots.alt_text(plots.sweep(ROWS, "mode"))
    plt.figure()  # of another library: it has none
    plots.show(tmp_path)
    first, second = sorted(tmp_path.iterdir())
    with Image.open(first) as image:
        assert image.info["Description"] == words
    with Image.open(second) as image:
        assert "Description" not in image.info
    assert not plt.get_fignums() and capsys.readouterr().out == f"Saved {first}\nSaved {second}\n"
    plots.show(tmp_path)
    assert capsys.readouterr().out == ""


def test_windows_are_shown_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "QtAgg")
    monkeypatch.setattr(plt, "show", lambda: shown.append(len(plt.get_fignums())))
    plots.sweep(ROWS, "mode")
    plots.show()
    assert shown == [1]


def test_a_folder_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="folder must name a file"):
        plots.show(3)  # type: ignore[arg-type]
