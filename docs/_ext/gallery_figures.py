"""Sphinx-gallery: figures with their alternative text and numbers; the library's changes reach every script.

A script whose bytes did not change is not even looked at, unless the stamp of the last good build (library, versions)
differs; whether a script that is looked at runs, gallery_cache decides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

import figures
import gallery_cache
from digest import versions

__all__ = ["ORDER", "ReadersOrder", "reset", "scrape", "setup"]

logger = logging.getLogger(__name__)

IMAGE = """
.. image-sg:: /{path}
   :alt: {alt}
   :srcset: /{path}
   :class: sphx-glr-single-img
"""
NUMBERS = """
.. rst-class:: contract

:download:`The figure's numbers <{path}>` (JSON)
"""
HOW_TO_RUN = "How to run it yourself: :doc:`index`."
UNDESCRIBED = "figure without alternative text"

ORDER = (
    "learning_rate", "time_scale", "hidden_size", "num_layers", "backbone", "dropout", "batch_size", "schedule",
    "cfc_modes", "ltc", "grid_random", "cross_validation", "opponents", "configurations", "imitation",
)  # fmt: skip
"""Scripts in the reader's order: what matters most, then what is asked next. Others come last, by name."""


class ReadersOrder:
    """How the gallery sorts its scripts; made for each folder, called with each file's name."""

    def __init__(self, folder: str) -> None:
        del folder

    def __call__(self, file: str) -> tuple[int, str]:
        """Return what the script is sorted by."""
        name = Path(file).stem.removeprefix("plot_")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)

    def __repr__(self) -> str:
        """Return a text that is the same in each build."""
        return "<ReadersOrder>"


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save every figure a block left open, with its numbers as JSON; return the text that shows them."""
    del block
    shared = block_vars["example_globals"]
    seen: set[int] = shared.setdefault("__figures_seen__", set())
    text = ""
    for figure in figures.open_figures(list(shared.values()), seen):
        seen.add(id(figure))
        shared.setdefault("__figures_kept__", []).append(
            figure
        )  # an id is only unique while its figure lives
        path = Path(next(block_vars["image_path_iterator"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        saved = figures.save_figure(figure, path)
        alt = " ".join((saved["alt"] or UNDESCRIBED).split())
        text += IMAGE.format(path=path.relative_to(gallery_conf["src_dir"]).as_posix(), alt=alt)
        if saved["numbers"] is not None:
            numbers = path.with_suffix(".json").relative_to(gallery_conf["src_dir"])
            text += NUMBERS.format(path=f"/{numbers.as_posix()}")
    return text


def reset(gallery_conf: dict[str, Any], fname: str) -> None:
    """Begin each script like a fresh process: default styles, no open figures, MLX seeded."""
    del gallery_conf, fname
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import mlx.core as mx

    mpl.use("agg")
    plt.close("all")
    plt.rcdefaults()
    mx.random.seed(0)


def _stamp(app: Sphinx) -> tuple[Path, str]:
    root = Path(app.srcdir).parent
    return root / ".cache" / "gallery.stamp", gallery_cache.script_key([], root)


def decide(app: Sphinx, config: Any) -> None:
    """Look at all scripts again if what they import differs from the last good build's."""
    del config
    docs = Path(app.srcdir)
    for page in (docs / "auto_examples").glob("plot_*.rst"):
        if not (docs.parent / "gallery" / page.with_suffix(".py").name).exists():
            for old in [*page.parent.glob(f"{page.stem}.*"), *page.parent.rglob(f"sphx_glr_{page.stem}_*")]:
                old.unlink()  # of a script that is no more
    file, now = _stamp(app)
    if not file.exists() or file.read_text(encoding="utf-8") != now:
        for checksum in (docs / "auto_examples").glob("*.py.md5"):
            checksum.unlink()  # what the script's page shows came from other code


def stamp(app: Sphinx, docname: str, source: list[str]) -> None:
    """End each script's page with where its outputs come from."""
    del app
    if docname.startswith("auto_examples/plot_"):
        source[0] += f"\n\n.. rst-class:: contract\n\nRun on the CPU: {versions()}. {HOW_TO_RUN}\n"


def keep(app: Sphinx, exception: Exception | None) -> None:
    """After a build in which every script ran, leave the stamp."""
    failing = app.config.sphinx_gallery_conf.get("failing_examples")
    if exception is None and not failing:
        file, now = _stamp(app)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(now, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, before the gallery reads its settings."""
    app.connect("config-inited", decide, priority=1)
    app.connect("source-read", stamp)
    app.connect("build-finished", keep)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
