"""Every verdict of the record follows from its trials by other code, which sees what does not."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats as reference

from docs.evidence import recompute
from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.checksums import changed_files
from ncps_mlx._evidence.pool import REPORT_SEEDS
from ncps_mlx._evidence.registry import STATISTICS
from record_archive import write_archive
from tests.evidence_pool import write_docs

DOCS = Path(__file__).parents[1] / "docs"
Rows = list[dict[str, Any]]


def disagreements(docs: Path) -> list[str]:
    recorded = json.loads((docs / "evidence" / "verdicts.json").read_text())
    return list(recompute.disagreements(recorded, [entry for entry, _ in recompute.verdicts(docs, recorded)]))


def test_other_code_finds_every_recorded_verdict_again(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = recompute.main(DOCS), capsys.readouterr().out
    assert status == 0, said
    found = re.search(r"(\d+) verdicts from their trials, (\d+) from the pairs they list", said)
    assert found and int(found[1]) > 0


def test_it_is_other_code() -> None:
    tree = ast.parse(Path(recompute.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.startswith(("ncps_mlx", "docs", "tests"))}
    assert {"pandas", "scipy.stats"} <= names


def test_it_knows_the_same_rule() -> None:
    assert recompute.REPORT_SEEDS == REPORT_SEEDS
    assert set(recompute.STATISTICS) <= set(STATISTICS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    docs = write_docs(tmp_path_factory.mktemp("evidence") / "docs")
    assert main(["tiny", "--budget=short", "--docs", str(docs)]) == 0
    return docs


def test_the_archive_of_the_site_holds_all_it_needs(tiny: Path, tmp_path: Path) -> None:
    docs = shutil.copytree(tiny, tmp_path / "docs")
    shutil.copy(str(recompute.__file__), docs / "evidence")
    for name in ("one.zip", "two.zip"):
        write_archive(docs, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path)
    assert changed_files(tmp_path / "record") == {}
    for program, status in ((tmp_path / "record" / "evidence" / "recompute.py", 0), (tmp_path / "recompute.py", 2)):
        if status:
            shutil.copy(str(recompute.__file__), program)
        done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
    assert "recompute.py must lie in the folder evidence of the record" in done.stderr


def report(rows: Rows) -> dict[str, Any]:
    return next(row for row in rows if row["stage"] == "report" and row["level"].get("hidden_size") == 7)


def score(rows: Rows) -> None:
    report(rows)["scores"]["test"] += 1e-3


def other_seed(rows: Rows) -> None:
    report(rows)["seed"] = 199


def other_rate(rows: Rows) -> None:
    for row in rows:
        if row["stage"] == "tune" and row["level"].get("hidden_size") == 7:
            row["scores"]["validation"] = abs(row["level"]["learning_rate"] - report(rows)["level"]["learning_rate"])
            row["scores"]["validation"] *= -1


def diverged(rows: Rows) -> None:
    report(rows)["status"] = "diverged"


def nothing(rows: Rows) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (nothing, ""),
        (score, "wider, test, short, sines: pairs is recorded as"),
        (other_seed, "wider, test, short: verdict is recorded as"),
        (other_rate, "wider, test, short: verdict is recorded as"),
        (diverged, "wider, test, short, sines: lost is recorded as 0, computed as 1"),
    ],
)
def test_a_record_that_does_not_follow_from_its_trials_is_seen(
    tiny: Path, change: Callable[[Rows], None], seen: str
) -> None:
    path = tiny / "evidence" / "trials" / "tiny.jsonl"
    before = path.read_bytes()
    rows = list(recompute.read_trials(path))
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))  # lines may hold all of their trials
    try:
        found = disagreements(tiny)
    finally:
        path.write_bytes(before)
    assert any(line.startswith(seen) for line in found) if seen else not found, found


@pytest.mark.parametrize(
    ("name", "value"), [("finding", "none"), ("low", -99.0), ("verdict", "shown"), ("reason", "none"), ("tasks", [])]
)
def test_an_edited_verdict_is_seen(tiny: Path, name: str, value: Any) -> None:
    recorded = json.loads((tiny / "evidence" / "verdicts.json").read_text())
    again = [entry for entry, _ in recompute.verdicts(tiny, recorded)]
    edited = [entry | {name: value} if entry["part"] == "few" and entry["finding"] else entry for entry in recorded]
    found = list(recompute.disagreements(edited, again))
    assert found and all(line.startswith(f"wider, few, short: {name} is recorded as") for line in found)
    missing = list(recompute.disagreements(recorded[1:], again))
    assert missing == ["wider, test, short: is not recorded, against claims.toml"]


def test_lost_trainings_are_decided_by_exact_tests() -> None:
    for lost, of in ((0, 10), (2, 10), (10, 10)):
        wanted = reference.binomtest(lost, of).proportion_ci(0.9, method="exact")
        assert recompute.clopper_pearson(lost, of, 0.05) == pytest.approx((wanted.low, wanted.high))
    part = {"statistic": "failures", "direction": "less"}
    few, many = ([[seed, float(seed < first), float(seed < 20)] for seed in range(50)] for first in (1, 19))
    less, same = ({"pairs": pairs, "higher_is_better": True} for pairs in (few, many))
    found = recompute.decide([less, less], [0.1, 0.1], part)
    assert (found["finding"], found["verdict"]) == ("smaller", "supported")
    assert found["pooled"] == pytest.approx(-3.8) and found["low"] < -3.8 < found["high"] < 0
    assert recompute.decide([less, same, same], [0.1] * 3, part)["finding"] != "smaller"
    assert recompute.decide([same], [0.5], part)["verdict"] == "refuted"
    one = recompute.of_task(less, 0.1, part)
    assert one["shares"]["first"]["lost"] == 1 and one["shares"]["second"]["of"] == 50 and one["p_value"] < 1e-4


def test_a_statistic_without_its_rule_is_refused(tiny: Path) -> None:
    part = {"statistic": "taste", "first": "wide", "second": "narrow", "direction": "more"}
    pool = recompute.read_pool(tiny / "evidence", "tiny", recompute.read_toml(tiny / "evidence" / "tasks.toml"))
    with pytest.raises(ValueError, match=r"recompute\.py and rule\.rst must say what the statistic 'taste' is"):
        recompute.verdict_of(part, pool, "short", {"sines": 0.02}, {})
