"""Each section of the guide begins with a short program that runs; what the section is about, short programs do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from copied_programs import programs_of
from pageblocks import parse_page

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
PAGES = sorted(path.stem for path in GUIDE.glob("*.rst") if path.stem != "index")
MOST_LINES = 15

TRAINED = {"Study", "run", "compare", "seeds"}
"""Words of a program that trains what it compares, with several seeds."""
SECTIONS: dict[str, list[set[object]]] = {
    "hidden-size": [
        {"CfC", "hidden_size", "parameter_count", "fit", "seconds"},
        {"CfC", "hidden_size", "parameter_count", *TRAINED},
    ],
    "num-layers": [{"num_layers", 1, 2, "residual", "learning_rate", "tuned", *TRAINED}],
    "backbone": [
        {"backbone_units", "learning_rate", "tuned", *TRAINED},
        {"backbone_layers", 1, 2, "learning_rate", "tuned", *TRAINED},
    ],
    "dropout": [{"backbone_dropout", 0.0, *TRAINED}],
    "time-scale": [{"TimeScaler", "fit", "train", "raw", "log", "normalized", "bounded", "time_scaling", *TRAINED}],
    "cfc": [
        {"mode", "default", "pure", "no_gate", "mixed_memory", "learning_rate", "tuned", *TRAINED},
        {"activation", "lecun_tanh", "learning_rate", "tuned", *TRAINED},
    ],
    "ltc": [
        {"LTC", "activation", "initializer", "stability", "ode_unfolds", "fit", "evaluate"},
        {"LTC", "activation", "tanh", "sigmoid", *TRAINED},
        {"LTC", "initializer", *TRAINED},
        {"LTC", "time_constant_range", *TRAINED},
        {"LTC", "ode_unfolds", 1, 2, 6, *TRAINED},
    ],
    "learning-rate": [
        {"learning_rate", "Study", "run", "sweep", "best"},
        {"find_learning_rate"},
        {"warmup_steps", "schedule", "constant", "exponential", *TRAINED},
    ],
    "batch-size": [
        {"find_batch_size", "examples_per_second"},
        {"find_batch_size", "learning_rates"},
        {"grad_accumulation_steps", "fit", "train_loss"},
    ],
    "grid-search": [
        {"Study", "grid", "hidden_size", "backbone_layers", "learning_rate", "backbone_dropout", "seeds", "run", "best"}
    ],
    "random-search": [
        {"LogUniform", "learning_rate", "hidden_size", "backbone_dropout", "trials", "Study", "run", "best"},
    ],
    "forecasting": [
        {"hidden_size", 64, "num_layers", "backbone_units", 128, "backbone_layers", 2, "backbone_dropout", 0.2, "mode",
         "default", "activation", "lecun_tanh", "fit", "evaluate", "ridge"},
        {"Study", "run", "best", "train", "score", "baselines"},
    ],
    "anomaly-detection": [
        {"LTC", "hidden_size", 32, "num_layers", 1, "backbone_units", 64, "backbone_layers", "backbone_dropout", 0.1,
         "activation", "tanh", "fit", "predict", "detection_scores", "detection_baselines"},
    ],
}  # fmt: skip
"""What the snippets of the thirteen sections that have one must do, in the words of programs that do it."""


def line_count(code: str) -> int:
    """Lines that are neither blank nor a comment."""
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in code.splitlines())


def words(code: str) -> set[object]:
    """Names, attributes, keywords and constants of a program."""
    found: set[object] = set()
    for node in ast.walk(ast.parse(code)):
        for kind in ("id", "attr", "arg", "name", "value"):
            value = getattr(node, kind, None)
            found |= {value} if isinstance(value, (str, int, float)) else set()
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_first_block_of_a_page_is_a_short_program_by_itself(page):
    blocks = parse_page(GUIDE / f"{page}.rst").blocks
    program = programs_of(blocks)[0]
    assert program.code.removesuffix("\nplots.show()\n").rstrip() == blocks[0].code.rstrip(), "nothing is missing"
    assert line_count(blocks[0].code) <= MOST_LINES
    assert blocks[0].output or blocks[0].drawn, "it shows what came"


@pytest.mark.parametrize(("page", "wanted"), [(page, wanted) for page, each in SECTIONS.items() for wanted in each])
def test_what_a_section_is_about_a_short_program_does(page, wanted):
    programs = [each.code for each in programs_of(parse_page(GUIDE / f"{page}.rst").blocks)]
    lacking = [wanted - words(code) for code in programs if line_count(code) <= MOST_LINES]
    assert set() in lacking, f"lacking in the nearest: {min(lacking, key=len)}"


def test_every_section_with_a_snippet_is_there():
    assert len(SECTIONS) == 13 and set(SECTIONS) <= set(PAGES)
