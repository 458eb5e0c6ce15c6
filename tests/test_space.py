"""Spaces draw what they say, plans are prefixes of longer ones, bad knobs are named."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncps_mlx import Integer, LogUniform, Space, Uniform
from ncps_mlx.plans import grid_plan, random_plan, shape_key, shape_order
from ncps_mlx.space import Choice

SPACE = Space(
    hidden_size=Integer(4, 64, log=True),
    mode=["default", "pure"],
    learning_rate=LogUniform(1e-4, 1e-1),
    clip_norm=[None, 1.0],
    backbone_dropout=Uniform(0.0, 0.5),
)


def test_names_say_what_is_shape_and_what_is_member() -> None:
    assert list(SPACE.shape) == ["hidden_size", "mode"]
    assert list(SPACE.member) == ["learning_rate", "clip_norm", "backbone_dropout"]
    assert SPACE.size == math.inf
    assert (
        repr(Space(num_layers=Integer(1, 3), mode=["pure"]))
        == "Space(num_layers=Integer(1, 3), mode=['pure'])"
    )


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_random_plans_stay_inside_and_share_shapes(seed: int, trials: int, members: int) -> None:
    plan = random_plan(SPACE, trials, members, seed)
    assert len(plan) == trials
    for config in plan:
        assert list(config) == list(SPACE.knobs)
        assert type(config["hidden_size"]) is int
        assert 4 <= config["hidden_size"] <= 64
        assert 1e-4 <= config["learning_rate"] <= 1e-1
        assert 0 <= config["backbone_dropout"] <= 0.5
    blocks = [
        {shape_key(SPACE, config) for config in plan[i : i + members]} for i in range(0, trials, members)
    ]
    assert all(len(block) == 1 for block in blocks)
    assert random_plan(SPACE, trials + 5, members, seed)[:trials] == plan


def test_a_finite_space_is_drawn_without_repeats() -> None:
    space = Space(hidden_size=[4, 8, 16], learning_rate=[0.1, 0.01], clip_norm=[None, 1.0])
    plan = random_plan(space, 12, 5, seed=0)
    assert len({repr(config) for config in plan}) == 12
    with pytest.raises(ValueError, match="trials must be at most 12, the size of the space, got 13"):
        random_plan(space, 13, 5, seed=0)


def test_without_shape_knobs_all_draws_are_members_of_one() -> None:
    space = Space(learning_rate=LogUniform(1e-4, 1e-1))
    assert {shape_key(space, config) for config in random_plan(space, 20, 3, seed=0)} == {"{}"}


def test_a_grid_is_every_combination_in_shape_order() -> None:
    space = Space(learning_rate=[0.1, 0.01], hidden_size=[4, 8])
    plan = grid_plan(space)
    assert len({repr(config) for config in plan}) == 4
    sizes = [plan[place]["hidden_size"] for place in shape_order(space, plan)]
    assert sizes == [4, 4, 8, 8]
    assert grid_plan(Space()) == [{}]
    with pytest.raises(
        ValueError, match=r"hidden_size must be a list of choices in a grid, got Integer\(1, 3\)"
    ):
        grid_plan(Space(hidden_size=Integer(1, 3)))


def test_log_ranges_are_even_in_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    widths = [Integer(1, 1000, log=True).draw(rng) for _ in range(4000)]
    assert 0.27 < np.mean(np.array(widths) < 10) < 0.47
    assert {Integer(1, 3).draw(rng) for _ in range(100)} == {1, 2, 3}
    assert {Integer(1, 3, log=True).draw(rng) for _ in range(100)} == {1, 2, 3}


def test_tuples_survive_a_store_of_plain_values() -> None:
    knob = Choice((None, (0.1, 1.0), "tanh"))
    assert [knob.decode(knob.encode(value)) for value in knob.values] == list(knob.values)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"hidden": [8]}, "hidden must be a knob, which are .*hidden_size"),
        ({"seed": [0, 1]}, r"seed must be given as Study\(..., seeds="),
        ({"input_size": [3]}, "input_size must be left to the task"),
        ({"learning_rate": 0.1}, "learning_rate must be a list of choices.*got 0.1.*fixed="),
        ({"learning_rate": []}, "values must hold at least 1 choice, got none"),
        ({"learning_rate": [0.1, 0.1]}, "values must be distinct, got 0.1 and 0.1"),
        ({"learning_rate": [0.1, -1]}, "learning_rate must be above 0, got -1"),
        ({"learning_rate": Uniform(0, 1)}, "learning_rate must be above 0, got 0"),
        ({"hidden_size": [16, 0]}, "hidden_size must be at least 1, got 0"),
        ({"hidden_size": Uniform(8, 16)}, "hidden_size must be an integer, got 8"),
        ({"backbone_dropout": Uniform(0, 1)}, "backbone_dropout must be at least 0 and below 1, got 1"),
        ({"clip_norm": [None, 0.0]}, "clip_norm must be above 0, got 0"),
        ({"weight_decay": [-0.1]}, "weight_decay must be at least 0"),
        ({"warmup": [-1]}, "warmup must be at least 0"),
        ({"schedule": ["linear"]}, "schedule must be one of"),
        ({"optimizer": ["sgd"]}, "optimizer must be one of"),
        ({"patience": [None, 0]}, "patience must be at least 1"),
        ({"mode": [print]}, "mode must be None, a bool"),
        ({"wiring": ["AutoNCP"]}, "config must be a dictionary whose name is one of"),
        ({"wiring": [{"name": "AutoNCP", "units": 7}]}, "config of AutoNCP must hold units, output_size"),
        ({"initial_ranges": [{"slop": (1, 2)}]}, "initial_ranges must be one of"),
    ],
)
def test_bad_knobs_are_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(**knobs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 1), "high must be above 1, got 1"),
        (lambda: Uniform(0, math.inf), "high must be a finite number"),
        (lambda: LogUniform(0, 1), "low must be above 0, got 0"),
        (lambda: Integer(3, 3), "high must be at least 4, got 3"),
        (lambda: Integer(0, 3, log=True), "low must be at least 1, got 0"),
        (lambda: Integer(1.0, 3), "low must be an integer, got 1.0"),  # type: ignore[arg-type]  # that is the test
    ],
)
def test_bad_ranges_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
