"""A study's file in optuna-dashboard: every trial, pruned ones with the step, what is conditional where it exists."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ncps_mlx import AutoNCP, Halving, LogUniform, Space, Study, When
from ncps_mlx.data import irregular_sines
from tests.scale.server import free_port

SECONDS = 120.0


@pytest.fixture
def study(tmp_path: Path) -> Study:
    space = Space(
        wiring=[None, AutoNCP(7, 2)],
        hidden_size=When([3, 4], wiring=None),
        learning_rate=LogUniform(1e-3, 1e-1),
    )
    task = irregular_sines(n_train=48, n_validation=16, n_test=16, readings=7)
    fixed = {"batch_size": 16, "steps": 20}
    made = Study(
        tmp_path / "tuning.db", task, space, trials=12, draws_per_shape=3, halving=Halving(), fixed=fixed
    )
    return made.run(progress=False)


@pytest.fixture
def dashboard(study: Study) -> Iterator[str]:
    """Where it answers."""
    port = free_port()
    program = Path(sys.executable).with_name("optuna-dashboard")
    command: list[str | Path] = [program, f"sqlite:///{study._storage}", "--host=127.0.0.1", f"--port={port}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(urllib.error.URLError):
                ask(f"{url}/api/studies")
                break
            time.sleep(0.1)
        yield url
    finally:
        server.kill()
        server.wait()


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return json.load(answer)


def test_optuna_dashboard_opens_the_file(study: Study, dashboard: str) -> None:
    (listed,) = ask(f"{dashboard}/api/studies")["study_summaries"]
    assert listed["study_name"] == "study"
    shown = ask(f"{dashboard}/api/studies/{listed['study_id']}")
    records = {run.trial: run for run in study.records}
    assert len(shown["trials"]) == len(records) == 12
    ends = Counter(trial["state"] for trial in shown["trials"])
    assert ends == {"Pruned": 11, "Complete": 1}
    for trial in shown["trials"]:
        (place,) = (int(note["value"]) for note in trial["user_attrs"] if note["key"] == "trial")
        run = records[place]
        assert trial["values"] == pytest.approx([run.score])
        names = {each["name"] for each in trial["params"]}
        assert names == {"wiring", "learning_rate"} | ({"hidden_size"} if run.config["wiring"] is None else set())
