"""The one table of hyperparameters agrees with what it stands for, and configurations by name are checked."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ncps_mlx import LTC, CfC, FullyConnected, Space, Study, Task, fit

# Private: the table, and configurations before a study has them.
from ncps_mlx.search._record import TrialPopulation
from ncps_mlx.training._config import FitConfig, MemberConfig
from ncps_mlx.training._fit import FitArguments
from ncps_mlx.training._hyperparameters import (
    FIT_PARAMETERS,
    FROM_TASK,
    HYPERPARAMETERS,
    MEMBER_PARAMETERS,
    MODEL_CHECKS,
    MODELS,
    build_model,
    check_config,
    complete_config,
    hyperparameter_names,
    steps_of,
)

TINY = {"hidden_size": 4, "backbone_units": 8, "steps": 4, "evaluate_every": 2, "batch_size": 16}


def keywords(function: Any) -> dict[str, Any]:
    """Keyword arguments with their defaults."""
    return {
        name: item.default
        for name, item in inspect.signature(function).parameters.items()
        if item.kind is inspect.Parameter.KEYWORD_ONLY
    }


def test_the_table_agrees_with_fit() -> None:
    arguments = keywords(fit)
    assert arguments.keys() == FitArguments.__annotations__.keys()
    about_the_run = {"on_evaluate", "checkpoint", "progress"}
    defaults = {name: default for name, default in arguments.items() if name not in about_the_run}
    configs = {**vars(FitConfig()), **vars(MemberConfig())}
    assert configs == defaults
    assert arguments.keys() - about_the_run - {"memory_mb"} == FIT_PARAMETERS | MEMBER_PARAMETERS
    assert vars(MemberConfig()).keys() == MEMBER_PARAMETERS
    of_fit = {name for name, each in HYPERPARAMETERS.items() if each.owner == "fit"}
    assert of_fit == (FIT_PARAMETERS | MEMBER_PARAMETERS) - {"seed"}
    for name in of_fit - {"backbone_dropout", "batch_size", "time_scaling"}:
        assert set(HYPERPARAMETERS[name].defaults.values()) == {arguments[name]}
    assert HYPERPARAMETERS["backbone_dropout"].defaults.keys() == {"CfC", "LTC"}  # the others have no backbone


def test_the_table_agrees_with_the_models() -> None:
    found: set[str] = set()
    for model, cls in MODELS.items():
        arguments = {
            name: None if item.default is inspect.Parameter.empty else item.default
            for name, item in inspect.signature(cls).parameters.items()
            if name not in FROM_TASK
        }
        found |= arguments.keys()
        of_model = {
            name: each.defaults[model]
            for name, each in HYPERPARAMETERS.items()
            if model in each.defaults and (each.owner == "model" or name == "backbone_dropout")
        }
        assert of_model == arguments
    assert MODEL_CHECKS.keys() == found


def test_every_default_passes_its_own_check() -> None:
    for name, each in HYPERPARAMETERS.items():
        assert name == each.name and each.owner in ("fit", "model") and each.kind in ("shape", "member")
        for default in each.defaults.values():
            if (name, default) != ("hidden_size", None):  # there is none but with a wiring
                each.check(name, default)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("share_layers", 1, "share_layers must be True or False, got 1."),
        ("mode", "gated", "mode must be one of 'default', "),
        ("activation", "step", "activation must be one of"),
        ("stability", "strict", "stability must be one of"),
        ("input_mapping", "log", "input_mapping must be one of"),
        ("initializer", "ones", "initializer must be one of"),
        ("backbone_dropout", None, "backbone_dropout must be a finite number, got None."),
        ("batch_size", None, "batch_size must be an integer, got None."),
        ("time_scaling", None, "time_scaling must be one of 'raw', 'log', 'normalized', 'bounded', got None."),
    ],
)
def test_a_model_s_choices_are_checked(task: Task, name: str, value: Any, message: str) -> None:
    model = LTC if name in hyperparameter_names("LTC") else CfC
    with pytest.raises(ValueError, match=message):
        Study(None, task, Space(**{name: [value]}), model=model, trials=1)


def test_a_configuration_is_completed_by_the_defaults_of_its_model() -> None:
    config = complete_config("CfC", {"hidden_size": 16})
    assert list(config) == sorted(hyperparameter_names("CfC"))
    assert (config["hidden_size"], config["learning_rate"], config["mode"]) == (16, 0.01, "default")
    assert config["backbone_dropout"] == 0.0  # the model's, not fit's None
    assert (config["time_scaling"], config["batch_size"]) == ("raw", 32)
    assert (config["backbone_layers"], complete_config("LTC", {})["backbone_layers"]) == (1, 0)
    assert "ode_unfolds" in hyperparameter_names("LTC") and "ode_unfolds" not in hyperparameter_names("CfC")
    assert steps_of(complete_config("CfC", {"steps": 250})) == (250, 25)
    with pytest.raises(ValueError, match=r"ode_unfolds must be .* of CfC or of fit\. LTC has it\. They are act"):
        complete_config("CfC", {"ode_unfolds": 3})


@pytest.mark.parametrize(
    ("old", "new"), [("warmup", "warmup_steps"), ("accumulate", "grad_accumulation_steps")]
)
def test_a_name_of_an_earlier_version_is_told_its_new_one(task: Task, old: str, new: str) -> None:
    message = f"{old} is named {new} now"
    with pytest.raises(ValueError, match=message):
        complete_config("CfC", {old: 1})
    with pytest.raises(ValueError, match=message):
        Space(**{old: [1]})
    with pytest.raises(ValueError, match=message):
        Study(None, task, Space(learning_rate=[1e-2]), sampler="grid", fixed={old: 1})


def test_a_configuration_builds_its_model(task: Task) -> None:
    assert task.sizes == {"input_size": 1, "output_size": 1, "return_sequences": False}
    built = build_model("CfC", complete_config("CfC", {"hidden_size": 4}), {"input_size": 3}, seed=0)
    assert isinstance(built, CfC) and built.hidden_size == 4
    wired = complete_config("LTC", {"wiring": FullyConnected(5)})
    assert isinstance(built := build_model("LTC", wired, {"input_size": 3}, seed=0), LTC)
    assert built.wiring == FullyConnected(5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 49}, "batch_size must be at most the 48 training sequences, got 49."),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0."),
        ({"weight_decay": 0.1}, "weight_decay must be 0 with optimizer='adam'"),
        ({"warmup_steps": 4}, "warmup_steps must be below the 4 steps of training, got 4."),
        ({"backbone_layers": 0, "backbone_dropout": 0.1}, "backbone_dropout must be 0 when backbone_layers is 0"),
        ({"patience": 0}, "patience must be at least 1, got 0."),
    ],
)
def test_a_configuration_that_could_not_be_trained_is_refused(
    task: Task, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_config(task, "CfC", complete_config("CfC", TINY | changes))


def test_members_of_a_population_share_the_settings_of_fit(task: Task) -> None:
    configs = [complete_config("CfC", TINY), complete_config("CfC", TINY | {"patience": 3})]
    with pytest.raises(ValueError, match=r"patience must be the same for all members .*, got \[None, 3\]"):
        TrialPopulation(task, "CfC", configs, [0, 1], [0, 1])


def test_a_population_pauses_prunes_and_goes_on(task: Task) -> None:
    config = complete_config("CfC", TINY)
    population = TrialPopulation(task, "CfC", [config, config], [0, 1], [7, 9])
    assert population.training == [7, 9]
    population.train(until=2)
    population.prune({7: "rank 2 of 2 at step 2"})
    assert population.training == [9]
    population.train()
    assert population.training == []
    ends = [(run.trial, run.seed, run.status) for run in population.records()]
    assert ends == [(7, 0, "pruned"), (9, 1, "finished")]
    assert population.records()[0].reason == "rank 2 of 2 at step 2"
    assert [run.history.step for run in population.records() if run.history] == [(2,), (2, 4)]
