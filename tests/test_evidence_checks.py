"""Claims that are checked or shown: what each check sees here, and that it fails where the promise is broken."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from ncps_mlx import CfC
from ncps_mlx._evidence import library_checks, site_checks
from ncps_mlx._evidence.checks import CHECKS, check_verdicts
from ncps_mlx._evidence.designs import read_pool
from ncps_mlx._evidence.knobs import knobs
from ncps_mlx._evidence.library_checks import git_blob_hash
from ncps_mlx._evidence.pool import read_tasks
from ncps_mlx._evidence.registry import Claim, Registry, read_registry
from ncps_mlx._evidence.seen import NotHereError
from ncps_mlx._evidence.site_checks import knobs_without_a_page
from ncps_mlx._evidence.verdicts import NOT_MEASURED, ONCE, claim_verdict, read_verdicts, table
from ncps_mlx.search._record import Record
from ncps_mlx.training._member import MemberState
from ncps_mlx.training._trainer import PopulationTrainer

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def registry() -> Registry:
    tasks = read_tasks(DOCS / "evidence" / "tasks.toml")
    pools = {path.stem: read_pool(path, tasks) for path in (DOCS / "evidence" / "pools").glob("*.toml")}
    return read_registry(DOCS / "claims.toml", pools)


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, Mapping[str, Any]]:
    entries = read_verdicts(DOCS / "evidence" / "verdicts.json")
    return {entry["id"]: entry for entry in entries if entry["budget"] is ONCE}


def test_every_claim_that_is_not_measured_alone_has_its_check_and_verdict(registry: Registry, recorded: Any) -> None:
    claims = {claim.id for claim in registry.values() if set(claim.kind) != {"measured"}}
    assert CHECKS.keys() == claims == recorded.keys()


OF_THE_SITE = ("help-notebooks", "help-model-pages")
"""Claims that the built site is asked about: tests/site."""


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in OF_THE_SITE])
def test_what_is_recorded_is_seen_again(name: str, recorded: Any) -> None:
    seen = CHECKS[name](DOCS)
    assert recorded[name]["verdict"] == ("supported" if seen.holds else "refuted"), seen.text
    assert not seen.holds or recorded[name]["reason"] == seen.text


def test_a_study_that_ignores_patience_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemberState, "should_stop", lambda *_: False)
    assert not library_checks.study_stops_early_and_says_when(DOCS).holds


def test_a_study_that_always_stops_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemberState, "should_stop", lambda *_: True)
    assert not library_checks.study_stops_early_and_says_when(DOCS).holds


def test_a_record_that_trains_otherwise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Record.from_json

    def forgetful(text: str) -> Record:
        return right(json.dumps({**json.loads(text), "seed": 4}))

    monkeypatch.setattr(Record, "from_json", staticmethod(forgetful))
    assert not library_checks.record_trains_again(DOCS).holds


def test_gradients_that_are_not_averaged_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = PopulationTrainer.batch_gradient

    def doubled(trainer: PopulationTrainer, i: int) -> tuple[mx.array, mx.array]:
        losses, gradients = right(trainer, i)
        return losses, gradients * (1 + i * 1e-4)

    monkeypatch.setattr(PopulationTrainer, "batch_gradient", doubled)
    seen = library_checks.accumulated_gradient_is_that_of_the_whole(DOCS)
    assert not seen.holds and "only to" in seen.text


def test_seeds_that_decide_nothing_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = library_checks.small_study
    monkeypatch.setattr(library_checks, "small_study", lambda task, *, seeds: right(task, seeds=(0,)) * len(seeds))
    assert not library_checks.seeds_decide(DOCS).holds


def test_parameters_that_nothing_counts_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CfC, "parameter_count", property(lambda model: 7 * model.hidden_size))
    assert not library_checks.parameters_grow_with_width(DOCS).holds


def test_a_hash_is_gits(tmp_path: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    (tmp_path / "tuning.toml").write_text("[space]\n")
    said = subprocess.run([git, "hash-object", "tuning.toml"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert git_blob_hash(b"[space]\n") == said.stdout.strip()


def site(folder: Path, outputs: list[Any], source: str = "1 + 1") -> Path:
    """A notebook, and the site that offers it."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "session.md").write_text("# Session\n\n```{code-cell} ipython3\n1 + 1\n```\n")
    offered = folder / "_build" / "html" / "_downloads" / "0a"
    offered.mkdir(parents=True)
    cells = [{"cell_type": "markdown", "source": []}, {"cell_type": "code", "source": [source], "outputs": outputs}]
    (offered / "session.ipynb").write_text(json.dumps({"cells": cells}))
    return folder


def test_notebooks_are_to_be_had_with_their_outputs(tmp_path: Path) -> None:
    shown = site_checks.notebooks_have_outputs(site(tmp_path, [{"text": "2"}]))
    assert shown.holds and "session" in shown.text
    (tmp_path / "_build" / "html" / "_downloads" / "0a" / "session.ipynb").unlink()
    assert not site_checks.notebooks_have_outputs(tmp_path).holds
    shutil.rmtree(tmp_path / "_build")
    with pytest.raises(NotHereError, match="the site must be built"):
        site_checks.notebooks_have_outputs(tmp_path)


def test_a_notebook_without_outputs_is_none_and_an_old_site_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").mkdir()
    assert not site_checks.notebooks_have_outputs(site(tmp_path / "empty", [])).holds
    with pytest.raises(NotHereError, match="built anew"):
        site_checks.notebooks_have_outputs(site(tmp_path / "old", [{"text": "3"}], "1 + 2"))


def test_every_knob_needs_a_page_of_the_site_that_links_to_what_takes_it(tmp_path: Path) -> None:
    with pytest.raises(NotHereError, match="the site must be built"):
        knobs_without_a_page(tmp_path)
    pages = tmp_path / "_build" / "html" / "knobs"
    pages.mkdir(parents=True)
    (pages / "index.html").touch()
    for knob in knobs().values():
        links = [f'<a href="../api/generated/ncps_mlx.{owner}.html#ncps_mlx.{owner}">' for owner in knob.defaults]
        (pages / f"{knob.name}.html").write_text("".join(links))
    assert site_checks.every_parameter_has_a_page(tmp_path).holds
    (pages / "patience.html").unlink()
    (pages / "hidden_size.html").write_text('<a href="../api/generated/ncps_mlx.CfC.html#ncps_mlx.CfC">')
    seen = site_checks.every_parameter_has_a_page(tmp_path)
    assert not seen.holds and seen.text.endswith(": hidden_size, patience")


def test_what_cannot_be_seen_here_keeps_its_verdict(registry: Registry, tmp_path: Path) -> None:
    claims = {name: registry[name] for name in ("help-notebooks", "mode-pure")}
    nowhere = check_verdicts(claims, tmp_path)
    assert [entry["verdict"] for entry in nowhere] == [NOT_MEASURED, "supported"]
    before = [nowhere[0] | {"verdict": "supported", "reason": "seen elsewhere"}]
    assert check_verdicts(claims, tmp_path, before)[0] == before[0]
    unknown = {"look": Claim(id="look", section="getting-help", statement="Look.", kind=["shown"])}
    assert check_verdicts(unknown, tmp_path)[0]["reason"] == "nothing checks it"
    text = table(registry, nowhere)
    assert "it holds" in text
    assert claim_verdict(registry["help-notebooks"], before, "short") == "supported"
    assert claim_verdict(registry["help-notebooks"], before, "long") == "supported"
