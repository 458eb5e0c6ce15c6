"""A miniature of the project for tests of the documentation's machinery: real machinery, a library of four files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LIBRARY = '''"""A library of one function."""

__all__ = ["double"]


def double(x: float) -> float:
    """Return twice ``x``.

    Example:
        >>> double(2.0)
        4.0
    """
    return 2.0 * x
'''

TRAINING = '''"""Training, behind a private file."""

from ncps_mlx import double
from ncps_mlx.training._fit import LIMITS, Fit, fit

__all__ = ["Fit", "LIMITS", "double", "fit"]
'''

FIT = '''"""The private file."""

from __future__ import annotations

__all__ = ["LIMITS", "Base", "Fit", "fit"]

LIMITS: tuple[float, float] = (0.0, 1.0)
"""Lowest and highest score, as :func:`fit` gives it."""


class Base:
    """What no reader looks up."""


class Fit(Base):
    """A result. See :func:`ncps_mlx.training.double`."""

    def again(self) -> Fit:
        """Return a result like :class:`ncps_mlx.training.Fit`."""
        return self


def fit(before: Base | None = None) -> Fit:
    """Fit: within :data:`LIMITS`.

    Args:
        before: What was found before.
    """
    return before if isinstance(before, Fit) else Fit()
'''

PLOTS = '''"""Figures that say what they show."""

import matplotlib.pyplot as plt

__all__ = ["alt_text", "numbers", "points"]


def points(values: list[float]) -> "plt.Figure":
    """Draw ``values``."""
    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot(values, "o")
    figure._numbers = {"best": max(values)}
    return figure


def alt_text(figure: "plt.Figure") -> str:
    """Return the alternative text."""
    if not hasattr(figure, "_numbers"):
        raise ValueError("figure must be drawn by plots.")
    return f"Points; the best is {figure._numbers['best']}."


def numbers(figure: "plt.Figure") -> dict[str, float]:
    """Return the numbers."""
    return figure._numbers
'''

PAGE = """Doubling
========

Twice as much.

.. code-block:: python

   from ncps_mlx import double, plots

   print("twice 2.5 is", double(2.5))

.. output:: approx=1e-6

   twice 2.5 is 5.0

A figure, by :func:`ncps_mlx.double`:

.. code-block:: python

   figure = plots.points([double(1.0), double(3.0)])

.. drawn::

   Two points.
"""

SCRIPT = '''"""
Does doubling help?
===================

It does.
"""

from ncps_mlx import double, plots

print("twice 4 is", double(4.0))

# %%
# Two points:

figure = plots.points([double(1.0), double(2.0)])
'''

NOTEBOOK = """---
file_format: mystnb
kernelspec:
  name: python3
---

# A session

Some prose.

```{code-cell} python
from ncps_mlx import double

print("twice 8 is", double(8.0))
```
"""

INDEX = """Mini
====

.. toctree::

   start
   guide/doubling
   auto_examples/index
   notebooks/session
   api/index
"""

README = """# Mini

```python
from ncps_mlx import double

print(double(1.0))
```
"""

FILES = {
    "README.md": README,
    "ncps_mlx/__init__.py": LIBRARY,
    "ncps_mlx/plots.py": PLOTS,
    "ncps_mlx/training/__init__.py": TRAINING,
    "ncps_mlx/training/_fit.py": FIT,
    "docs/index.rst": INDEX,
    "docs/start.md": "# Start\n",
    "docs/guide/doubling.rst": PAGE,
    "docs/notebooks/session.md": NOTEBOOK,
    "gallery/GALLERY_HEADER.rst": "Scripts\n=======\n\nOne script.\n",
    "gallery/plot_doubling.py": SCRIPT,
}


def make_project(folder: Path) -> Path:
    """Write the miniature into ``folder``, with the real configuration and machinery."""
    for name in ("_ext", "_static", "_inventories", "_templates"):
        shutil.copytree(
            ROOT / "docs" / name, folder / "docs" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    (folder / "docs" / "api").mkdir()
    for name in ("docs/conf.py", "docs/api/index.rst", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python command in the project, its own library first on the path."""
    env = os.environ | {"PYTHONPATH": str(project), "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def build(project: Path) -> subprocess.CompletedProcess[str]:
    """Build the miniature's site the way `nox -s docs` does."""
    places = ("docs/_build/doctrees", "docs", "docs/_build/html")
    return run(project, "-m", "sphinx", "-nWT", "-jauto", "--keep-going", "-d", *places)
