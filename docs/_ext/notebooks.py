"""Execute notebooks before MyST-NB reads them, and put their outputs where it looks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from myst_nb.core.read import create_nb_reader

__all__ = ["execute_notebook", "notebooks_of"]


def notebooks_of(docs: Path) -> list[Path]:
    """Return the notebooks under docs."""
    return sorted((docs / "notebooks").glob("*.md"))


def execute_notebook(path: Path, env: Any, report: Callable[[str], None]) -> None:
    """Execute a notebook unless its outputs are kept; one that fails is left to MyST-NB, which says where.

    Args:
        path: The notebook.
        env: Sphinx's environment, with MyST-NB's configuration.
        report: Told of an execution.
    """
    config, text = env.mystnb_config, path.read_text(encoding="utf-8")
    reader = create_nb_reader(str(path), env.myst_config, config, text)
    if reader is None:
        raise ValueError(f"{path.name} must begin as a notebook in Markdown does, got none.")
    notebook, cache = reader.read(text), get_cache(config.execution_cache_path)
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        ran = single_nb_execution(
            notebook, cwd=str(path.parent), timeout=config.execution_timeout, allow_errors=False
        )
        if ran.err is None:
            outputs = CacheBundleIn(notebook, str(path), data={"execution_seconds": ran.time})
            cache.cache_notebook_bundle(outputs, check_validity=False, overwrite=True)
            count = sum(cell.cell_type == "code" for cell in notebook.cells)
            report(f"executed notebooks/{path.stem}: {count} blocks, {ran.time:.1f} s")
