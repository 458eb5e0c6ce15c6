"""A record that was changed by hand fails the build."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sphinx.application import Sphinx

from ncps_mlx._evidence.__main__ import main
from ncps_mlx._evidence.checksums import changed_files
from ncps_mlx._evidence.trial_file import as_bytes, read_trials, sorted_trials
from tests.evidence_pool import write_docs

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record that ``evidence`` wrote, as the folder of a site."""
    docs = write_docs(tmp_path_factory.mktemp("evidence") / "docs")
    assert main(["tiny", "--budget", "short", "--docs", str(docs)]) == 0
    (docs / "conf.py").write_text('extensions = ["record_check"]\nhtml_theme = "basic"\n')
    (docs / "index.rst").write_text("Page\n====\n")
    return docs


def warnings_of(docs: Path, folder: Path) -> str:
    """The warnings of a build of the site."""
    told = io.StringIO()
    Sphinx(
        srcdir=docs, confdir=docs, outdir=folder / "html", doctreedir=folder / "trees", buildername="html",
        status=None, warning=told, freshenv=True,
    ).build()  # fmt: skip
    lines = re.sub(r"\x1b\[[\d;]*m", "", told.getvalue()).splitlines()
    return "\n".join(line for line in lines if "already registered" not in line)  # of other tests


def test_the_record_is_as_evidence_wrote_it() -> None:
    assert changed_files(DOCS) == {}


def test_recorded_trials_lie_as_evidence_writes_them() -> None:
    for path in sorted((DOCS / "evidence" / "trials").glob("*.jsonl")):
        assert path.read_bytes() == as_bytes(sorted_trials(read_trials(path))), path.name


def edit(old: str, new: str) -> Callable[[str], str]:
    return lambda text: re.sub(old, new, text, count=1)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("evidence/trials/tiny.jsonl", edit(r'"test":0\.\d', '"test":0.0')),
        ("evidence/verdicts.json", edit('"verdict": "\\w+"', '"verdict": "supported "')),
        ("claims.toml", edit('direction = "more"', 'direction = "less"')),
        ("evidence/pools/tiny.toml", edit("hidden_size = 7", "hidden_size = 8")),
        ("evidence/tasks.toml", edit("n_train = 40", "n_train = 41")),
    ],
)
def test_a_file_that_was_edited_fails_the_build(
    recorded: Path, tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    assert not warnings_of(recorded, tmp_path)
    path = recorded / name
    before = path.read_text()
    assert change(before) != before
    path.write_text(change(before))
    try:
        told = warnings_of(recorded, tmp_path)
        command = ["sha256sum", "--check", "--quiet", "evidence/checksums.txt"]
        checked = subprocess.run(command, cwd=recorded, capture_output=True, check=False)
    finally:
        path.write_text(before)
    assert f"WARNING: {name} was changed since the verdicts were computed." in told and "nox -s evidence" in told
    assert checked.returncode == 1 and name in checked.stdout.decode()


def test_a_file_that_is_gone_or_new_is_told(recorded: Path) -> None:
    path = recorded / "evidence" / "trials" / "tiny.jsonl"
    moved = path.rename(path.with_name("other.jsonl"))
    try:
        found = changed_files(recorded)
    finally:
        moved.rename(path)
    assert found == {
        "evidence/trials/tiny.jsonl": "is gone", "evidence/trials/other.jsonl": "is not in checksums.txt",
    }  # fmt: skip


def test_trials_that_changed_without_training_are_told_as_verdicts_are_computed(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded / "evidence" / "trials" / "tiny.jsonl"
    before = path.read_bytes()
    rows = read_trials(path)
    rows[0]["seconds"] += 1.0
    path.write_bytes(as_bytes(rows))
    assert main(["--docs", str(recorded)]) == 0
    assert "evidence/trials/tiny.jsonl was changed since" in capsys.readouterr().out
    assert changed_files(recorded) == {}
    path.write_bytes(before)
    assert main(["--docs", str(recorded)]) == 0
