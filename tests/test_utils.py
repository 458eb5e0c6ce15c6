"""What every module builds on: validators, values as JSON, files written whole, optional packages, progress."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncps_mlx import AutoNCP, FullyConnected

# Private: the library's own tools, which nothing public shows alone.
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.json_values import format_value, to_json_value
from ncps_mlx._utils.optional import import_optional, package_file
from ncps_mlx._utils.progress import Progress
from ncps_mlx._utils.validation import as_float, check_choice, check_flag, check_int, check_number


def test_validators_return_what_they_accept() -> None:
    assert check_int("hidden_size", 16) == 16
    assert type(check_int("hidden_size", np.int64(3))) is int
    assert check_number("dropout", 0.1, low=0, high=1, open_high=True) == 0.1
    assert check_choice("mode", "pure", ["default", "pure"]) == "pure"
    assert check_flag("residual", False) is False
    assert (as_float(2), as_float(10**400), as_float(-(10**400)), as_float(True)) == (2.0, math.inf, -math.inf, None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_int("hidden_size", 0), "hidden_size must be at least 1, got 0."),
        (lambda: check_int("hidden_size", 9, maximum=8), "hidden_size must be at most 8, got 9."),
        (lambda: check_int("hidden_size", True), "hidden_size must be an integer, got True."),
        (lambda: check_number("dropout", "a"), "dropout must be a finite number, got 'a'."),
        (lambda: check_number("dropout", math.nan), "dropout must be a finite number, got nan."),
        (
            lambda: check_number("dropout", 1, low=0, high=1, open_high=True),
            "dropout must be at least 0 and below 1, got 1.",
        ),
        (lambda: check_number("rate", 0, low=0, open_low=True), "rate must be above 0, got 0."),
        (
            lambda: check_choice("mode", "gated", ["default", "pure"]),
            "mode must be one of 'default', 'pure', got 'gated'.",
        ),
        (lambda: check_flag("residual", "yes"), "residual must be True or False, got 'yes'."),
    ],
)
def test_validators_name_argument_rule_and_value(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_values_become_json_and_short_text() -> None:
    value = to_json_value("hidden_size", np.int64(16))
    assert value == 16 and type(value) is int
    assert to_json_value("wiring", FullyConnected(7, seed=3)) == {
        "name": "FullyConnected", "output_size": 7, "seed": 3, "self_connections": True, "units": 7,
    }  # fmt: skip
    assert format_value(AutoNCP(19, 4, seed=7)) == "AutoNCP(19, 4, seed=7)"
    texts = [format_value(value) for value in ({"slope": (3.0, 8.0)}, None, "tanh")]
    assert texts == ["{'slope': (3.0, 8.0)}", "None", "tanh"]


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "notes.txt"
    atomic_write(file, b"seven", "The notes")
    assert file.read_bytes() == b"seven"

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"The notes could not be saved .*; the file there is as it was"):
        atomic_write(file, b"eight", "The notes")
    with pytest.raises(OSError, match="nothing was written"):
        atomic_write(tmp_path / "new.txt", b"eight", "The notes")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"] and file.read_bytes() == b"seven"
    with pytest.raises(ValueError, match="path must name a file, got the folder"):
        atomic_write(tmp_path, b"eight", "The notes")


def test_optional_packages_are_imported_or_named_with_their_cure() -> None:
    assert import_optional("json", "this test").dumps([1]) == "[1]"
    assert package_file("numpy", "__init__.py", purpose="this test").name == "__init__.py"
    with pytest.raises(
        ImportError, match=r'this test needs the package no_such_module. Install it: pip install "ncps-mlx\[guide\]"'
    ):
        import_optional("no_such_module.part", "this test")


def test_a_package_without_the_file_is_another_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"this test needs lost.csv of the package numpy"):
        package_file("numpy", "lost.csv", purpose="this test")


@pytest.mark.parametrize(("higher", "best"), [(False, 0.5), (True, 2.0)])
def test_progress_never_goes_back_and_knows_the_best_score(higher: bool, best: float) -> None:
    with Progress(4, "training", "step", done=1, shown=False, higher_is_better=higher) as bar:
        assert (bar.done, bar.best_score) == (1, None)
        bar.add(2)
        bar.reach(2)
        assert bar.done == 3
        bar.reach(6)  # more than was expected
        assert bar.done == 6
        for score in (0.5, 2.0, math.nan if higher else math.inf):
            bar.add_score(score)
        assert bar.best_score == best


def test_a_line_is_written_above_a_bar_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (False, True):
        with Progress(4, "training", "step", shown=shown) as bar:
            bar.write("half of them at a time")
        assert ("half of them at a time" in capsys.readouterr().err) == shown
