"""The page for those who come from ncps: its programs print what it shows, its tables leave no argument out."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import ncps.torch
import ncps.wirings
import pytest

import ncps_mlx
import recorded
from pagerun import ROOT

PAGE = ROOT / "docs" / "howto" / "coming-from-ncps.rst"
MODELS = {name: getattr(ncps.torch, name) for name in ("CfC", "LTC")}
WIRINGS = {name: getattr(ncps.wirings, name) for name in ("AutoNCP", "FullyConnected", "NCP", "Random")}


@pytest.mark.parametrize("program", recorded.programs(), ids=lambda path: path.stem)
def test_program_prints_what_is_recorded(program: Path, request: pytest.FixtureRequest) -> None:
    printed, problems = recorded.run(program)
    if request.config.getoption("--refresh") and not problems:
        recorded.refresh(program, printed)
    problems = problems or recorded.check(program, printed)
    if problems:
        pytest.fail("\n".join(map(str, problems)), pytrace=False)


def arguments(*kinds: type) -> set[str]:
    return {name for kind in kinds for name in inspect.signature(kind).parameters}


def in_code(text: str) -> set[str]:
    return {word for code in re.findall(r"``(.+?)``", text) for word in re.findall(r"\w+", code)}


def section() -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index("\nArguments\n---") : text.index("\nTime steps\n---")]


def test_every_argument_of_ncps_has_its_row():
    shown = in_code("".join(re.findall(r"^   \* - (.*)", section(), re.MULTILINE)))
    assert arguments(*MODELS.values()) <= shown
    for name, wiring in WIRINGS.items():
        assert arguments(wiring) - arguments(getattr(ncps_mlx, name)) <= shown


def test_every_argument_here_is_named():
    existing = arguments(ncps_mlx.CfC, ncps_mlx.LTC)
    assert existing <= in_code(section())
    (new,) = re.findall(r"^New here: (.*?)\. Of wirings", section(), re.MULTILINE | re.DOTALL)
    assert in_code(new) <= existing - arguments(*MODELS.values())
