"""``ncps-mlx reproduce``: a right record is compatible with fresh seeds, a wrong one is not; what cannot be is said."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats as reference

from ncps_mlx.__main__ import main
from ncps_mlx._evidence import reproduce, tuned
from ncps_mlx._evidence.__main__ import main as evidence
from ncps_mlx._evidence.designs import DESIGNS
from ncps_mlx._evidence.pool import BUDGETS
from ncps_mlx._evidence.record import read_record, record_folder
from ncps_mlx._evidence.registry import levels_of
from ncps_mlx._evidence.verdicts import read_verdicts, write_verdicts
from tests.evidence_pool import CLAIMS, POOL, write_docs

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pool's record at the short budget, with more seeds, and a δ that is about their deviation."""
    docs = write_docs(tmp_path_factory.mktemp("record") / "docs")
    (docs / "evidence" / "pools" / "tiny.toml").write_text(POOL.replace("short = 3", "short = 20"))
    (docs / "claims.toml").write_text(CLAIMS.replace("sines = 0.02", "sines = 0.1"))
    assert evidence(["tiny", "--budget=short", "--docs", str(docs)]) == 0
    return docs


def run(docs: Path, *arguments: str) -> int:
    return main(["reproduce", *arguments, "--docs", str(docs)])


def shifted(docs: Path, folder: Path, by: float) -> Path:
    """A record whose first part says that the first side does better by so many δ."""
    shutil.copytree(docs, folder)
    path = folder / "evidence" / "verdicts.json"
    found = read_verdicts(path)
    for entry in found:
        if entry["part"] == "test":
            for task in entry["tasks"]:
                task["pairs"] = [[seed, first - by * task["delta"], second] for seed, first, second in task["pairs"]]
    write_verdicts(path, found)
    return folder


def test_a_right_record_is_compatible_and_the_report_says_by_what_means(
    docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(docs, "wider", "--seed", "400", "--seeds", "12") == 0
    said = capsys.readouterr()
    assert "wider, short budget: compatible" in said.out and '"Wider is better."' in said.out
    assert said.out.count("  sines ") == said.out.count("  pooled ") == 3
    assert "Seeds 400 to 411, data drawn with them." in said.out
    assert "Again: ncps-mlx reproduce wider --budget short --seeds 12 --seed 400" in said.out
    for name in ("device", "blas", "native", "code", "mlx"):
        assert re.search(rf"\b{name} \S", said.out), name
    assert "48 trainings on sines, 12 seeds from 400 on" in said.err and "3 of 12 seeds after" in said.err
    assert run(docs, "wider", "--seed", "400", "--seeds", "12") == 0
    assert capsys.readouterr().out == said.out  # the seed decides everything


def test_a_wrong_record_is_not_compatible(docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = shifted(docs, tmp_path / "docs", 6)
    assert run(wrong, "wider", "--seed", "400", "--seeds", "12") == 1
    said = capsys.readouterr().out
    assert "wider, short budget: not compatible (test)" in said
    assert len(re.findall(r"\]: not compatible$", said, re.MULTILINE)) == 1


def test_fresh_seeds_train_only_what_the_parts_compare(docs: Path) -> None:
    record = read_record(docs)
    parts = reproduce.recorded(record, record.registry["wider"], "short")
    rows = reproduce.train_fresh(parts, range(500, 504), float("inf"), lambda _: None)
    levels = {json.dumps(row["level"], sort_keys=True) for row in rows}
    measured = [each for part in parts for each in part.tasks.values()]
    wanted = {name for each in measured for side in each.levels.values() for name, _ in side}
    assert len(levels) == len(wanted) == 4 and "as_wide" not in wanted
    assert {(row["seed"], row["data_seed"]) for row in rows} == {(seed, seed) for seed in range(500, 504)}
    first = parts[0].tasks["sines"]
    (lacking,) = tuned.fresh(record.pools["tiny"], [first], [500])  # type: ignore[arg-type]
    trained = {(member.level.name, member.rate) for group in lacking.groups for member in group}
    assert trained == {level for side in first.levels.values() for level in side}


def test_the_seeds_of_the_record_give_the_record(docs: Path) -> None:
    record = read_record(docs)
    parts = reproduce.recorded(record, record.registry["wider"], "short")
    rows = reproduce.train_fresh(parts, range(100, 120), float("inf"), lambda _: None)
    entries = {entry["part"]: entry for entry in record.verdicts if entry["budget"] == "short"}
    for found in reproduce.reproduce(parts, rows):
        pairs = [list(pair) for pair in found.contrasts["sines"].pairs]
        assert pairs == entries[found.recorded.part.name]["tasks"][0]["pairs"]
        assert found.difference[0] == pytest.approx(0, abs=1e-9) and found.is_compatible


def test_the_difference_is_welchs() -> None:
    rng = np.random.default_rng(0)
    fresh, before = rng.normal(0.5, 1, 5), rng.normal(0, 2, 9)
    found = reproduce._difference({"a": fresh}, {"a": before}, 0.05)
    wanted = reference.ttest_ind(fresh, before, equal_var=False).confidence_interval(0.95)
    assert found == pytest.approx((fresh.mean() - before.mean(), wanted.low, wanted.high))
    both = reproduce._difference({"a": fresh, "b": fresh}, {"a": before, "b": before}, 0.05)
    assert both[0] == pytest.approx(found[0]) and both[2] - both[1] < found[2] - found[1]


def test_a_right_record_is_called_incompatible_once_in_twenty() -> None:
    rng, repeats, held = np.random.default_rng(1), 600, 0
    for _ in range(repeats):
        fresh, before = ({name: rng.normal(1, 1.5, n) for name in "abc"} for n in (6, 30))
        _, low, high = reproduce._difference(fresh, before, 0.05)
        held += low <= 0 <= high
    assert held / repeats == pytest.approx(0.95, abs=0.03)


def test_time_runs_out(docs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(docs, "wider", "--timeout", "0s") == 2
    assert "there must be 3 pairs on each task, got 0 on sines (test). Give it more time" in capsys.readouterr().err
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr(reproduce, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    record = read_record(docs)
    parts = reproduce.recorded(record, record.registry["wider"], "short")
    told: list[str] = []
    rows = reproduce.train_fresh(parts, range(500, 520), 100.0, told.append)
    trained = len({row["seed"] for row in rows})
    assert 3 < trained < 20  # a few seeds first, then as many as the rest of the time allows
    assert told[1].startswith("3 of 20 seeds after")
    found = reproduce.reproduce(parts, rows)
    assert all(3 < each.fresh.n <= trained for each in found)  # seeds that lack a level are left out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["widre"], "ID must be a claim, got 'widre'. Did you mean wider? `ncps-mlx reproduce` lists all."),
        (["shown"], "got shown, which is shown: by the build of the site, on the page guide/getting-help"),
        (["wider", "--budget", "long"], "trials are missing: sines 27. It is at the short one: --budget short."),
        (["wider", "--seed", "100"], "--seed must be at least 300"),
        (["wider", "--seeds", "2"], "--seeds must be at least 3"),
    ],
)
def test_what_cannot_be_measured_again_is_said(
    docs: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(docs, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_time_is_a_number_with_a_unit(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(docs, "wider", "--timeout", "soon")
    assert ended.value.code == 2 and "must be a time such as 90s, 2m or 1h, got 'soon'" in capsys.readouterr().err


def test_a_part_in_words_and_a_design_of_another_kind_say_what_to_do(
    docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "docs"
    shutil.copytree(docs, words)
    claims = re.sub(r'\[\[wider.parts\]\]\nname = "few".*?(?=\[shown\])', "", CLAIMS, flags=re.DOTALL)
    claims = claims.replace('statistic = "test"', 'statistic = "taste"\ncontrast = "by taste"')
    (words / "claims.toml").write_text(claims)
    evidence(["--docs", str(words)])
    capsys.readouterr()
    assert run(words, "wider") == 2
    assert "which is not: nothing computes it yet: by taste." in capsys.readouterr().err

    class Other:
        """A design that trains no fresh seeds."""

        read_pool = staticmethod(DESIGNS["tuned"].read_pool)

    monkeypatch.setitem(DESIGNS, "tuned", Other)
    assert run(docs, "wider") == 2
    said = capsys.readouterr().err
    assert "whose design is 'tuned'. In a checkout, `nox -s evidence -- tiny --stale` trains all of it again" in said


def test_without_an_id_all_claims_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 55 and lines[0].split() == ["claim", *BUDGETS, "says"]
    assert any(re.match(r"depth-residual +\w.* Use residual connections in deep networks\.", line) for line in lines)


def test_every_recorded_contrast_can_be_measured_again() -> None:
    record = read_record()
    measured = {(entry["id"], entry["budget"]) for entry in record.verdicts if entry["pooled"] is not None}
    for name, budget in sorted(measured):
        parts = reproduce.recorded(record, record.registry[name], budget)
        lacking = [each for _, each in reproduce._fresh(parts, [300], ())]
        assert {each.task for each in lacking} == {task for part in parts for task in part.tasks}
        for part in parts:
            for task, each in part.tasks.items():
                known = {*levels_of(part.part.first, task), *levels_of(part.part.second, task)}
                assert {level for side in each.levels.values() for level, _ in side} <= known


def test_a_wheel_brings_the_record(tmp_path: Path) -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    site = tmp_path / "site-packages"
    shutil.copytree(ROOT / "ncps_mlx", site / "ncps_mlx", ignore=shutil.ignore_patterns("__pycache__"))
    for source, place in table["force-include"].items():
        (site / place).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copy2)(ROOT / source, site / place)
    program = (
        "from ncps_mlx._evidence.record import read_record, record_folder; record = read_record(); "
        "print(record_folder(), len(record.registry), len(record.pools), len(record.verdicts))"
    )
    command, env = [sys.executable, "-c", program], {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    here = read_record()
    counts = [len(here.registry), len(here.pools), len(here.verdicts)]
    assert done.stdout.split() == [str(site / "ncps_mlx" / "_evidence" / "docs"), *map(str, counts)], done.stderr
    assert record_folder() == ROOT / "docs"
