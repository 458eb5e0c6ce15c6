"""The site's freshness: the library's code makes everything run again, prose makes nothing run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs_project import build, make_project

EXECUTED = (
    "[pages] executed README.md",
    "[pages] executed docs/guide/doubling.rst",
    "[gallery] executed plot_doubling",
    "[pages] executed notebooks/session",
)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def built(project: Path) -> list[str]:
    """Build the site without a warning; return which of its programs were executed."""
    result = build(project)
    assert result.returncode == 0, result.stdout + result.stderr
    log = result.stdout + result.stderr
    assert "WARNING: " not in log
    return [what for what in EXECUTED if what in log]


@pytest.mark.slow
def test_library_changes_run_everything_and_prose_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    html = project / "docs" / "_build" / "html"
    library = project / "ncps_mlx" / "__init__.py"

    assert built(project) == list(EXECUTED)

    change(project / "docs" / "guide" / "doubling.rst", "Twice as much.", "Prose, changed.")
    change(project / "docs" / "notebooks" / "session.md", "Some prose.", "Prose, changed.")
    change(project / "gallery" / "plot_doubling.py", "# Two points:", "# Prose, changed.")
    change(project / "README.md", "# Mini", "# Mini, changed")
    change(library, "Return twice ``x``.", "Return what, times two.")
    assert built(project) == []
    for page in ("guide/doubling", "notebooks/session", "auto_examples/plot_doubling"):
        assert "Prose, changed." in (html / f"{page}.html").read_text()
    assert "what, times two" in (html / "api" / "generated" / "ncps_mlx.double.html").read_text()
    assert "twice 4 is 8.0" in (html / "auto_examples" / "plot_doubling.html").read_text()

    change(library, "return 2.0 * x", "return 2.0 * x + 1e-7")
    assert built(project) == list(EXECUTED)
    assert "16.0000001" in (html / "notebooks" / "session.html").read_text()
    assert "8.0000001" in (html / "auto_examples" / "plot_doubling.html").read_text()


@pytest.mark.slow
def test_failures_fail_the_build_by_page_and_line(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    change(project / "docs" / "guide" / "doubling.rst", "is 5.0", "is 7.0")
    change(project / "gallery" / "plot_doubling.py", "double(4.0)", "triple(4.0)")
    change(project / "docs" / "notebooks" / "session.md", "double(8.0)", "triple(8.0)")
    change(project / "ncps_mlx" / "plots.py", '    """Return the numbers."""\n', "")
    result = build(project)
    assert result.returncode != 0
    for message in (
        "docs/guide/doubling.rst:12: WARNING: output: shown 7.0, printed 5.0: not within 1e-06",
        "plot_doubling.py",
        "name 'triple' is not defined",
        "session.md",
        "ncps_mlx.plots.numbers is public and has no docstring",
    ):
        assert message in result.stderr, result.stderr
