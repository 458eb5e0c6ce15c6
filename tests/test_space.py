"""Spaces draw what they say, plans are prefixes of longer ones, bad names and values are refused."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncps_mlx import GRU, LTC, AutoNCP, CfC, Integer, LogUniform, Space, Study, Task, Uniform, When

# Private: plans before a study takes them, and how a distribution is written down.
from ncps_mlx.search._distributions import Choice, Distribution, from_json
from ncps_mlx.search._samplers import grid_plan, quasi_random_plan, random_plan

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


PLANS = pytest.mark.parametrize("plan_of", [random_plan, quasi_random_plan])


@PLANS
@given(seed=st.integers(0, 2**32), trials=st.integers(1, 40), members=st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_drawn_plans_stay_inside_and_share_shapes(plan_of: Any, seed: int, trials: int, members: int) -> None:
    plan = plan_of(SPACE, trials, members, seed)
    assert len(plan) == trials
    for config in plan:
        assert list(config) == list(SPACE.distributions)
        assert type(config["hidden_size"]) is int
        assert 4 <= config["hidden_size"] <= 64
        assert 1e-4 <= config["learning_rate"] <= 1e-1
        assert 0 <= config["backbone_dropout"] <= 0.5
    blocks = [
        {SPACE.shape_key(config) for config in plan[i : i + members]} for i in range(0, trials, members)
    ]
    assert all(len(block) == 1 for block in blocks)
    assert plan_of(SPACE, trials + 5, members, seed)[:trials] == plan


@PLANS
def test_a_finite_space_is_drawn_without_repeats(plan_of: Any) -> None:
    space = Space(hidden_size=[4, 8, 16], learning_rate=[0.1, 0.01], clip_norm=[None, 1.0])
    plan = plan_of(space, 12, 5, seed=0)
    assert len({repr(config) for config in plan}) == 12
    with pytest.raises(ValueError, match="trials must be at most 12, the size of the space, got 13"):
        plan_of(space, 13, 5, seed=0)


CONDITIONAL = Space(
    wiring=[None, AutoNCP(7, 2)],
    num_layers=Integer(1, 3),
    hidden_size=When([4, 8], wiring=None),
    residual=When([False, True], num_layers=Integer(2, 3)),
    share_layers=When([False, True], num_layers=3, residual=True),
    schedule=["constant", "cosine"],
    warmup_steps=When([0, 1, 2], schedule="cosine"),
)


@PLANS
def test_conditional_spaces_are_counted_and_drawn_to_the_last(plan_of: Any) -> None:
    # Layers 1, 2 and 3 leave 1, 2 and 3 ways to connect; dense models have 2 sizes; warm-up goes with the cosine.
    assert CONDITIONAL.size == (1 + 2 + 3) * (2 + 1) * (1 + 3)
    plan = plan_of(CONDITIONAL, 72, 5, seed=3)
    assert len({repr(config) for config in plan}) == 72
    for config in plan:
        assert CONDITIONAL.is_complete(config)
        assert ("hidden_size" in config) == (config["wiring"] is None)
        assert ("residual" in config) == (config["num_layers"] > 1)
        assert ("share_layers" in config) == (config["num_layers"] == 3 and config["residual"])
        assert ("warmup_steps" in config) == (config["schedule"] == "cosine")
        assert not CONDITIONAL.is_complete({name: value for name, value in config.items() if name != "num_layers"})
    written = [item for item in CONDITIONAL.to_json() if item[0] != "num_layers"]
    grid = grid_plan(Space.from_json([["num_layers", Choice((1, 2, 3)).to_json(), {}], *written]))
    assert {frozenset(map(str, config.items())) for config in grid} == {
        frozenset(map(str, config.items())) for config in plan
    }


def test_an_example_makes_its_hyperparameter_exist() -> None:
    for name, distribution in CONDITIONAL.distributions.items():
        for value in distribution.bounds():
            config = CONDITIONAL.example_with(name, value)
            assert CONDITIONAL.is_complete(config) and config[name] == value
    assert CONDITIONAL.example_with("share_layers", True)["num_layers"] == 3


def test_conditions_are_part_of_what_a_space_is() -> None:
    text = repr(CONDITIONAL)
    assert "hidden_size=When([4, 8], wiring=[None])" in text
    assert "share_layers=When([False, True], num_layers=[3], residual=[True])" in text
    assert Space(learning_rate=[0.1], warmup_steps=When([0, 3], learning_rate=Uniform(0.05, 0.2))).size == 2
    assert (
        Space(learning_rate=Uniform(0.1, 1), warmup_steps=When([0, 3], learning_rate=Uniform(0.5, 2))).size
        == math.inf
    )


def test_a_space_survives_json() -> None:
    again = Space.from_json(json.loads(json.dumps(CONDITIONAL.to_json())))
    assert repr(again) == repr(CONDITIONAL)
    for distribution in (LogUniform(1e-3, 1), Uniform(0, 1), Integer(3, 9, log=True), Choice((None, (0.1, 1.0)))):
        assert from_json(json.loads(json.dumps(distribution.to_json()))) == distribution
    with pytest.raises(
        ValueError, match="kind must be one of 'Choice', 'Uniform', 'LogUniform', 'Integer', got 'Normal'"
    ):
        from_json({"kind": "Normal"})


def test_quasi_random_plans_fill_every_range_evenly() -> None:
    space = Space(learning_rate=LogUniform(1e-4, 1.0), backbone_dropout=Uniform(0.0, 0.8))
    for seed in range(5):
        plan = quasi_random_plan(space, 64, 8, seed)
        table = np.array(
            [[math.log10(c["learning_rate"]) / 4 + 1, c["backbone_dropout"] / 0.8] for c in plan]
        )
        for column in table.T:
            assert np.bincount((column * 64).astype(int), minlength=64).max() == 1
        cells = (table * 8).astype(int)
        assert np.bincount(cells[:, 0] * 8 + cells[:, 1], minlength=64).max() == 1
    by_chance = random_plan(space, 64, 8, 0)
    assert len({int(c["backbone_dropout"] * 80) for c in by_chance}) < 64
    assert quasi_random_plan(space, 8, 8, 0) != quasi_random_plan(space, 8, 8, 1)


@pytest.mark.parametrize(
    "distribution",
    [
        Choice((1, 2, 3)),
        Uniform(-1, 2),
        LogUniform(1e-3, 1),
        Integer(3, 9),
        Integer(1, 30, log=True),
    ],
)
def test_quantiles_follow_the_draws(distribution: Distribution) -> None:
    rng = np.random.default_rng(0)
    shares = (np.arange(4000) + 0.5) / 4000
    drawn = sorted(distribution.sample(rng) for _ in range(4000))
    even = sorted(distribution.quantile(share) for share in shares)
    low, high = min(distribution.bounds()), max(distribution.bounds())
    assert np.max(np.abs(np.array(drawn) - np.array(even))) <= max(
        0.05 * (high - low), 1 if distribution.size < 99 else 0
    )
    assert all(distribution.contains(value) for value in (*drawn[:9], *even[:9], *even[-9:]))
    assert not distribution.contains(high + 1) and not distribution.contains(None)


def test_without_shape_knobs_all_draws_are_members_of_one() -> None:
    space = Space(learning_rate=LogUniform(1e-4, 1e-1))
    assert {space.shape_key(config) for config in random_plan(space, 20, 3, seed=0)} == {"{}"}


def test_a_grid_is_every_combination() -> None:
    space = Space(learning_rate=[0.1, 0.01], hidden_size=[4, 8])
    plan = grid_plan(space)
    assert len({repr(config) for config in plan}) == 4
    assert [(config["hidden_size"], config["learning_rate"]) for config in plan] == [
        (4, 0.1), (8, 0.1), (4, 0.01), (8, 0.01)
    ]  # fmt: skip
    assert grid_plan(Space()) == [{}]
    with pytest.raises(
        ValueError, match=r"hidden_size must be a list of choices in a grid, got Integer\(1, 3\)"
    ):
        grid_plan(Space(hidden_size=Integer(1, 3)))


def test_log_ranges_are_even_in_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    widths = [Integer(1, 1000, log=True).sample(rng) for _ in range(4000)]
    assert 0.27 < np.mean(np.array(widths) < 10) < 0.47
    assert {Integer(1, 3).sample(rng) for _ in range(100)} == {1, 2, 3}
    assert {Integer(1, 3, log=True).sample(rng) for _ in range(100)} == {1, 2, 3}


def test_tuples_survive_a_store_of_plain_values() -> None:
    distribution = Choice((None, (0.1, 1.0), "tanh"))
    stored = [distribution.encode(value) for value in distribution.values]
    assert [distribution.decode(value) for value in stored] == list(distribution.values)


@pytest.mark.parametrize(
    ("distributions", "message"),
    [
        ({"seed": [0, 1]}, r"seed must be given as Study\(..., seeds="),
        ({"input_size": [3]}, "input_size must be left to the task"),
        ({"learning_rate": 0.1}, "learning_rate must be a list of choices.*got 0.1.*fixed="),
        (
            {"learning_rate": (1e-3, 0.1)},
            r"learning_rate must say whether it is a range or a list, got \(0.001, 0.1\): write Uniform\(0.001, 0.1\)",
        ),
        ({"learning_rate": []}, "values must hold at least 1 choice, got none"),
        ({"learning_rate": [0.1, 0.1]}, "values must be distinct, got 0.1 and 0.1"),
        ({"learning_rate": [0.1, -1]}, "learning_rate must be above 0, got -1"),
        ({"learning_rate": Uniform(0, 1)}, "learning_rate must be above 0, got 0"),
        ({"backbone_dropout": Uniform(0, 1)}, "backbone_dropout must be at least 0 and below 1, got 1"),
        ({"clip_norm": [None, 0.0]}, "clip_norm must be above 0, got 0"),
        ({"weight_decay": [-0.1]}, "weight_decay must be at least 0"),
        ({"warmup_steps": [-1]}, "warmup_steps must be at least 0"),
        ({"schedule": ["linear"]}, "schedule must be one of"),
        ({"time_scaling": ["raw", "zscore"]}, "time_scaling must be one of"),
        ({"initial_scale": Uniform(0, 2)}, "initial_scale must be above 0, got 0"),
        ({"optimizer": ["sgd"]}, "optimizer must be one of"),
        ({"patience": [None, 0]}, "patience must be at least 1"),
        ({"mode": [print]}, "mode must be None, a bool"),
        (
            {"warmup_steps": When([0, 1], schedule="cosine")},
            "warmup_steps must depend on one that the space names before it",
        ),
        (
            {"warmup_steps": When([0, 1], schedule="cosine"), "schedule": ["cosine"]},
            "warmup_steps must depend on one that the space names before it, got schedule",
        ),
        (
            {"schedule": ["cosine"], "warmup_steps": When([0, 1], schedule=["cosine", "constant"])},
            r"schedule must be able to have the value that warmup_steps asks for, got \['cosine', 'constant'\]",
        ),
        (
            {"num_layers": Integer(1, 2), "residual": When([False, True], num_layers=Integer(3, 4))},
            r"num_layers must be able to have the value that residual asks for, got Integer\(3, 4\)",
        ),
        (
            {"learning_rate": [0.1], "num_layers": When([1, 2], learning_rate=0.1)},
            "num_layers must not depend on learning_rate: learning_rate varies within a population",
        ),
        (
            {
                "num_layers": [1, 2],
                "residual": When([False, True], num_layers=2),
                "mode": When(["pure", "no_gate"], residual=True, num_layers=1),
            },
            r"num_layers must be able to have the value that mode asks for, got \[1\] and \[2\]",
        ),
        ({"schedule": ["cosine"], "warmup_steps": When([0, -1], schedule="cosine")}, "warmup_steps must be at least 0"),
    ],
)
def test_bad_spaces_are_named(distributions: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(**distributions)


@pytest.mark.parametrize(
    ("model", "distributions", "message"),
    [
        (CfC, {"hidden": [8]}, r"hidden must be a hyperparameter of CfC .*They are .*hidden_size"),
        (CfC, {"hidden_size": [16, 0]}, "hidden_size must be at least 1, got 0"),
        (CfC, {"hidden_size": Uniform(8, 16)}, "hidden_size must be an integer, got 8"),
        (CfC, {"wiring": ["AutoNCP"]}, "config must be a dictionary whose name is one of"),
        (CfC, {"wiring": [{"name": "AutoNCP", "units": 7}]}, "config of AutoNCP must hold units, output_size"),
        (LTC, {"initial_ranges": [{"slop": (1, 2)}]}, "initial_ranges must be one of"),
        (GRU, {"time": ["input", "log"]}, "time must be one of 'input', 'decay', None, got 'log'"),
        (GRU, {"backbone_dropout": [0.1]}, r"backbone_dropout must be a hyperparameter of GRU .*\. CfC has it"),
    ],
)
def test_what_a_model_does_not_have_is_named_by_its_study(
    task: Task, model: Any, distributions: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Study(None, task, Space(**distributions), model=model, trials=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 1), "low must be below high, got 1 and 1"),
        (lambda: Uniform(0, math.inf), "high must be a finite number"),
        (lambda: LogUniform(0, 1), "low must be above 0, got 0"),
        (lambda: Integer(3, 3), "low must be below high, got 3 and 3"),
        (lambda: When([1, 2]), "conditions must name at least 1 other hyperparameter, got none"),
        (lambda: When([], schedule="cosine"), "values must hold at least 1 choice, got none"),
        (lambda: When(3, schedule="cosine"), "distribution must be a list of choices, Uniform"),  # type: ignore[arg-type]  # that is the test
        (
            lambda: When(When([1], mode="pure"), num_layers=2),  # type: ignore[arg-type]  # that is the test
            r"distribution must be a list of choices or a range, got When",
        ),
        (lambda: Integer(0, 3, log=True), "low must be at least 1, got 0"),
        (lambda: Integer(1.0, 3), "low must be an integer, got 1.0"),  # type: ignore[arg-type]  # that is the test
    ],
)
def test_bad_ranges_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
