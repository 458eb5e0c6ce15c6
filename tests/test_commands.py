"""``ncps-mlx tune``, ``report``, ``predict``: a file that says what to tune gives the same as a short program."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ncps_mlx import Study, load
from ncps_mlx.__main__ import main

# Private: what `tune --help` shows, read as the command reads it.
from ncps_mlx._commands.job_file import HELP, SPLIT, TABLE, read_job
from ncps_mlx.data import load_task

JOB = """\
[data]
file = "subjects.csv"
features = ["a", "b", "c", "d", "e", "f"]
target = "y"
time = "time"
group = "subject"
window = 16
name = "subjects"

[model]
hidden_size = 8
backbone_units = 8
steps = 30
time_scaling = "log"

[space]
learning_rate = { log = [3e-3, 3e-2] }

[search]
storage = "tuning.db"
trials = 3

[final]
seeds = [0, 1]
"""

PROGRAM = """\
import pandas as pd
from ncps_mlx import LogUniform, Space, Study
from ncps_mlx.data import from_file
task = from_file("subjects.csv", features=list("abcdef"), target="y", time="time", group="subject",
                 window=16, name="subjects")
fixed = {"hidden_size": 8, "backbone_units": 8, "steps": 30, "time_scaling": "log"}
space = Space(learning_rate=LogUniform(3e-3, 3e-2))
study = Study("own.db", task, space, trials=3, fixed=fixed).run(progress=False)
predictor = study.best.train(seeds=(0, 1), progress=False)
score = predictor.score(task, by="group")
predictor.save("own.safetensors")
frame = pd.read_csv("subjects.csv").query("subject == 's3'")
stream, table = predictor.stream(), predictor.predict(frame)["y"]
streamed = [stream.push(row["time"], {name: row[name] for name in "abcdef"})["y"] for _, row in frame.iterrows()]
"""
"""From a CSV of 40 subjects, at irregular times and with holes, to a score over subjects, a file and a stream."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the readings of 40 subjects, to work in."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    parts = []
    for i in range(40):
        times = np.cumsum(rng.exponential(60, rng.integers(12, 30)))
        noise = 0.1 * rng.normal(size=(6, times.size))
        values = {name: np.sin(times / 300 + i + k) + noise[k] for k, name in enumerate("abcdef")}
        parts.append(pd.DataFrame({"subject": f"s{i}", "time": times} | values | {"y": np.sin(times / 300 + i + 0.3)}))
    frame = pd.concat(parts)
    for name in "abcdef":
        frame.loc[rng.random(len(frame)) < 0.3, name] = np.nan
    frame.to_csv("subjects.csv", index=False)
    Path("job.toml").write_text(JOB, encoding="utf-8")
    return tmp_path


def test_fifteen_lines_and_a_file_come_to_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(PROGRAM.splitlines()) <= 15
    found: dict[str, Any] = {}
    exec(PROGRAM, found)
    np.testing.assert_allclose(found["streamed"], found["table"], rtol=0, atol=1e-6)
    assert found["score"].n == 8
    assert main(["tune", "job.toml", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert f"test rmse by group: {found['score']}, n = 8" in told and "saved job.safetensors" in told
    read = load(folder / "job.safetensors")
    assert read.score(found["task"], by="group") == found["score"]
    assert main(["predict", "job.safetensors", "subjects.csv"]) == 0
    predicted = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(predicted.columns) == ["subject", "time", "y"] and len(predicted) == len(pd.read_csv("subjects.csv"))
    np.testing.assert_allclose(predicted["y"][predicted["subject"] == "s3"], found["table"], rtol=1e-6)
    assert main(["report", "tuning.db", "job", "-o", "report.html"]) == 0
    assert "Study &#x27;job&#x27; on subjects" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_number_of_units_may_be_tuned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = JOB.replace("hidden_size = 8\n", "").replace("[space]", "[space]\nhidden_size = [4, 8]")
    (folder / "job.toml").write_text(text, encoding="utf-8")
    assert main(["tune", "job.toml", "--print-config"]) == 0
    assert "hidden_size = [4, 8]" in capsys.readouterr().out


def test_a_job_that_was_stopped_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "job.toml").write_text(JOB.replace("trials = 3", "trials = 3\nmax_trials = 1"), encoding="utf-8")
    assert main(["tune", "job.toml", "--quiet"]) == 0
    assert len(Study.open("tuning.db", "job").records) == 1
    (folder / "job.toml").write_text(JOB, encoding="utf-8")
    assert main(["tune", "job.toml", "--quiet"]) == 0
    assert "3 of 3 trials done" in capsys.readouterr().out


def test_the_completed_job_is_the_same_job(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "job.toml", "--print-config"]) == 0
    Path("given.toml").write_text(JOB, encoding="utf-8")
    text = capsys.readouterr().out
    written = tomllib.loads(text)
    assert written["model"]["class"] == "CfC" and written["model"]["batch_size"] == 32
    assert written["search"]["trials"] == 3 and written["final"]["seeds"] == [0, 1]
    before = Study.open("tuning.db", "job").config.to_json()
    (folder / "job.toml").write_text(text.replace("tuning.db", "again.db"), encoding="utf-8")
    assert main(["tune", "job.toml", "--print-config"]) == 0
    after = Study.open("again.db", "job").config.to_json()
    assert {**after, "task_source": None} == {**before, "task_source": None}
    completed, given = read_job(Path("job.toml")).task, read_job(Path("given.toml")).task
    assert completed.data_hash == given.data_hash


def test_a_completed_job_says_every_default_and_stays_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JOB.replace('storage = "tuning.db"\n', "").replace("\n[final]\nseeds = [0, 1]\n", "")
    (folder / "job.toml").write_text(job, encoding="utf-8")
    assert main(["tune", "job.toml", "--print-config"]) == 0
    text = capsys.readouterr().out
    written = tomllib.loads(text)
    assert written["data"]["split"] == [0.65, 0.15, 0.2] and written["data"]["by"] == "group"
    assert written["data"].keys() == {"file"} | (TABLE | SPLIT) - {"stride", "horizon"}  # whose default is none
    assert "storage" not in written["search"]
    assert written["final"] == {"seeds": [0, 1, 2, 3, 4], "output": "job.safetensors", "steps": 30}
    (folder / "job.toml").write_text(text, encoding="utf-8")
    assert main(["tune", "job.toml", "--print-config"]) == 0
    assert capsys.readouterr().out == text


def test_a_completed_job_says_the_defaults_of_the_function_that_makes_its_data(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = '[data]\ntask = "ncps_mlx.data:irregular_sines"\nn_train = 64\nreadings = 8\n\n'
    (folder / "job.toml").write_text(data + JOB[JOB.index("[model]") :], encoding="utf-8")
    assert main(["tune", "job.toml", "--print-config"]) == 0
    written = tomllib.loads(capsys.readouterr().out)["data"]
    assert written["n_train"] == 64 and isinstance(written["n_test"], int) and isinstance(written["seed"], int)
    assert load_task(written.pop("task"), **written).data_hash == read_job(Path("job.toml")).task.data_hash


def test_a_baseline_that_does_as_well_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("subjects.csv").fillna(0.0)
    for storage, y, found in (("linear.db", frame["a"], True), ("bent.db", frame["a"].abs(), False)):
        frame.assign(y=y).to_csv("subjects.csv", index=False)
        job = JOB.replace("tuning.db", storage).replace("steps = 30", "steps = 60")
        (folder / "job.toml").write_text(job, encoding="utf-8")
        assert main(["tune", "job.toml", "--quiet"]) == 0
        said = "No better than a baseline: least squares on one reading." in capsys.readouterr().out
        assert said == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[data]", "[date]"), "job.toml must not hold 'date'. Did you mean data? Known: data, final, model"),
        (("window", "windows"), "[data] must not hold 'windows'. Did you mean window?"),
        (("trials = 3", "trial = 3"), "[search] must not hold 'trial'. Did you mean trials?"),
        (("hidden_size", "hiden_size"), "[model] hiden_size must be a hyperparameter of CfC or of fit. Did you mean"),
        (("{ log = [3e-3, 3e-2] }", "{ lag = [3e-3, 3e-2] }"), "[space] learning_rate must be a list of choices"),
        (("{ log = [3e-3, 3e-2] }", "{ log = [3e-3] }"), "[space] learning_rate must be { log = [low, high] }"),
        (
            ("{ log = [3e-3, 3e-2] }", "{ log = [3e-2, 3e-3] }"),
            "[space] learning_rate must be { log = [low, high] }: low must be below high, got 0.03 and 0.003.",
        ),
        (("{ log = [3e-3, 3e-2] }", "0.01"), "One value alone belongs in [model]"),
        (("[space]", "[space]\nsteps = [20, 30]"), "steps must stand in [model], with one value, or in"),
        (("hidden_size = 8", 'class = "Cfc"'), "[model] class must be CfC, LTC, GRU, LSTM or a class of your own"),
        (("hidden_size = 8", 'hidden_size = "8"'), "[model] hidden_size must be an integer, got '8'"),
        (("hidden_size = 8", 'wiring = { name = "NCP" }'), "[model] wiring of NCP must hold"),
        (('"a", "b"', '"A", "b"'), "ValueError: subjects.csv must have the column 'A' of features once, got 'subject'"),
        (('target = "y"', 'target = "a"'), "[data] target must not be among the features of its own reading, got 'a'"),
        (('target = "y"', ""), "[data] must hold target, the names of columns of 'subjects.csv', got none."),
        (('"subjects"', '"subjects"\nby = "subject"'), "subjects.csv['subject'] must hold 'train', 'validation'"),
        (('"subjects"', '"subjects"\nmetric = "rsme"'), "[data] metric must be one of 'rmse'"),
        (('file = "subjects.csv"', 'task = "nowhere:make"'), "[data] task must name a module that can be imported"),
        (('file = "subjects.csv"', 'task = "ncps_mlx.data:moons"'), "[data] task must name a function, got"),
        (
            ('file = "subjects.csv"', 'task = "ncps_mlx.data:sunspots"'),
            "[data] arguments must be those of 'ncps_mlx.data:sunspots': got an unexpected keyword argument 'features'",
        ),
        (('file = "subjects.csv"', "file = 3"), "[data] file must be a string, got 3"),
        (
            ('file = "subjects.csv"', 'file = "absent.csv"'),
            "FileNotFoundError: [data] file must be there, got 'absent.csv'",
        ),
        (('file = "subjects.csv"\n', ""), "[data] must hold file"),
        (("[data]", "[data"), "job.toml must be TOML"),
        (("seeds = [0, 1]", 'seeds = [0, 1]\noutput = "nowhere/m.safetensors"'), "[final] output must lie in a folder"),
        (("seeds = [0, 1]", "seeds = 3"), "[final] seeds must be a sequence of integers"),
        (("seeds = [0, 1]", "seeds = [0, 1]\nstep = 3"), "[final] step must be a hyperparameter"),
        (("trials = 3", "trials = 3\nseeds = 2"), "[search] seeds must be a sequence of at least 1 integer"),
        (("trials = 3", "trials = 3\nmax_trials = 0"), "[search] max_trials must be at least 1, got 0"),
        (("trials = 3", 'sampler = "grid"'), "[space] learning_rate must be a list of choices in a grid"),
        (("trials = 3", "trials = 3\nhalving = 3"), "[search] halving must be a table such as"),
        (("trials = 3", "trials = 3\nhalving = { eta = 3, rung = 2 }"), "Did you mean rungs?"),
        (("trials = 3", "trials = 3\nhalving = { eta = 1 }"), "[search] halving must suit Halving: eta must be"),
    ],
)
def test_what_is_wrong_in_a_job_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], message: str
) -> None:
    assert change[0] in JOB
    (folder / "job.toml").write_text(JOB.replace(*change), encoding="utf-8")
    assert main(["tune", "job.toml", "--quiet"]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "tuning.db").exists() or not Study.open("tuning.db", "job").records  # nothing was trained
    assert not (folder / "job.safetensors").exists()


def test_all_kinds_of_values_are_understood(folder: Path) -> None:
    job = JOB.replace(
        "learning_rate = { log = [3e-3, 3e-2] }",
        "learning_rate = { log = [3e-3, 3e-2] }\nbackbone_dropout = { uniform = [0, 0.5] }\n"
        'num_layers = { integer = [1, 3] }\noptimizer = ["adam", "adamw"]\n'
        'weight_decay = { log = [1e-4, 1e-1], when = { optimizer = "adamw" } }\n'
        "clip_norm = { choice = [0.5, 1.0] }",
    ).replace("trials = 3", 'trials = 9\nhalving = { eta = 3, rungs = 1 }')
    (folder / "job.toml").write_text(job, encoding="utf-8")
    assert main(["tune", "job.toml", "--print-config"]) == 0
    study = Study.open("tuning.db", "job")
    assert repr(study.space) == (
        "Space(learning_rate=LogUniform(0.003, 0.03), backbone_dropout=Uniform(0, 0.5), num_layers=Integer(1, 3), "
        "optimizer=['adam', 'adamw'], weight_decay=When(LogUniform(0.0001, 0.1), optimizer=['adamw']), "
        "clip_norm=[0.5, 1.0])"
    )
    assert study.config.halving is not None and study.config.halving.eta == 3


def test_what_cannot_be_predicted_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "absent.safetensors", "subjects.csv"]) == 1
    assert "There is no file to load a model from" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_what_is_wrong_in_a_table_to_predict_is_said_of_its_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "job.toml", "--quiet"]) == 0
    frame = pd.read_csv("subjects.csv")
    dates = pd.date_range("2026-01-31", periods=len(frame)).astype(str)
    wrong = {
        " must have the column 'a' of features once": frame.rename(columns={"a": "A"}),
        "['b'] must hold numbers, got 'low' in row 2": frame.assign(b=[*frame["b"][:2], "low", *frame["b"][3:]]),
        "['time'] must hold numbers or times in ISO 8601": frame.assign(time="yesterday"),
        "['time'] must hold a number in each row, as in training, got a date": frame.assign(time=dates),
    }
    for message, each in wrong.items():
        each.to_csv("other.csv", index=False)
        assert main(["predict", "job.safetensors", "other.csv"]) == 1
        assert f"ValueError: other.csv{message}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tune", "report", "predict", "worker", "info"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0 and f"usage: ncps-mlx {command}" in told
    assert command != "tune" or "[space]" in told


def test_the_file_that_help_shows_is_understood(folder: Path) -> None:
    frame = pd.read_csv("subjects.csv").rename(columns={"subject": "tank", "a": "level", "b": "flow"})
    frame["level"] = frame["level"].fillna(0.0)
    frame.to_csv("readings.csv", index=False)
    (folder / "help.toml").write_text(HELP, encoding="utf-8")
    job = read_job(Path("help.toml"))
    study = Study(task=job.task, **job.study)
    assert study.config.trials == 32 and job.task.name == "readings" and job.seeds == [0, 1, 2, 3, 4]


def test_predictions_keep_times_as_the_file_has_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("subjects.csv")
    start = pd.Timestamp("2026-01-01")
    frame["time"] = (start + pd.to_timedelta(frame["time"], unit="s")).dt.strftime("%Y-%m-%d %H:%M:%S.%f")
    frame.to_csv("subjects.csv", index=False)
    assert main(["tune", "job.toml", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["predict", "job.safetensors", "subjects.csv", "-o", "predicted.csv"]) == 0
    assert list(pd.read_csv(folder / "predicted.csv")["time"]) == list(frame["time"])
