"""``ncps-mlx report STORAGE NAME``: what a study found, in one HTML file with its figures and their texts."""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncps_mlx import __version__, plots
from ncps_mlx._trials import varied
from ncps_mlx._utils.atomic_write import atomic_write
from ncps_mlx._utils.json_values import format_value
from ncps_mlx._utils.text_table import text_table
from ncps_mlx.data import load_task
from ncps_mlx.plots._importance import importance
from ncps_mlx.records import table
from ncps_mlx.search import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["add_arguments", "report", "run"]

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
CURVES = 7  # trials whose learning curves are drawn: as many as there are colours
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
figure { margin: 2rem 0; }
figure img { max-width: 100%; height: auto; background: white; }
figcaption { font-size: 0.9rem; }
pre { overflow-x: auto; font-size: 0.85rem; white-space: pre-wrap; }
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("url", metavar="STORAGE", help="the study's storage: a SQLite file, or a database's URL")
    parser.add_argument("study", metavar="NAME", help="the study's name (`study` unless it was given another)")
    parser.add_argument("--output", "-o", metavar="FILE.html", help="where to write (default: NAME.html)")
    parser.add_argument(
        "--task",
        metavar="MODULE:FUNCTION",
        help="what makes the task, where that was made from arrays; FILE.py:FUNCTION too",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the report; return the exit status."""
    path = Path(arguments.output or f"{arguments.study}.html")
    try:
        task = None if arguments.task is None else load_task(arguments.task)
        text = report(Study.open(arguments.url, arguments.study, task=task))
        atomic_write(path.resolve(), text.encode(), "The report")
    except (ValueError, ImportError, OSError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


def report(study: Study) -> str:
    """Write what a study found as HTML that stands alone: summary, figures with their texts, every trial.

    Raises:
        RuntimeError: Nothing has been trained, or nothing converged.
    """
    import matplotlib.pyplot as plt

    best, records = study.best, study.records
    converged = sorted(
        (each for each in records if each.history is not None and not each.diverged),
        key=lambda each: each.score,
        reverse=best.higher_is_better,
    )
    try:
        baselines = study.task.baselines("validation")
    except ValueError:  # a task without
        baselines = {}
    figures: list[tuple[str, Callable[[], Figure]]] = [
        ("The best so far", lambda: plots.history(records, baselines=baselines)),
        ("Each hyperparameter", lambda: plots.slices(records, baselines=baselines)),
        ("What decided", lambda: importance(_varied(study.importance(), varied(records)))),
        ("Together", lambda: plots.parallel(records)),
        ("How the best trained", lambda: plots.learning_curves(converged[:CURVES], baselines=baselines)),
    ]
    title = f"Study {study.name!r} on {study.task.name}"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _pre(study.summary()),
        f"<h2>The best configuration</h2>{_pre(_settings(best.config))}",
    ]
    for heading, draw in figures:
        parts.append(f"<h2>{html.escape(heading)}</h2>{_figure(draw)}")
    plt.close("all")
    columns = table(records)
    rows = [[_cell(values[i]) for values in columns.values()] for i in range(len(records))]
    parts.append(f"<details><summary>All {len(records)} trials</summary>{_pre(text_table([list(columns), *rows]))}")
    parts.append(f"</details><p>ncps-mlx {html.escape(__version__)}, {html.escape(best.device)}</p>")
    return PAGE.format(title=html.escape(title), style=STYLE, body="\n".join(parts))


def _varied(shares: Mapping[str, float], names: Collection[str]) -> dict[str, float]:
    """The shares of what took more than one value."""
    return {name: share for name, share in shares.items() if name in names}


def _figure(draw: Callable[[], Figure]) -> str:
    """A figure with its text and its numbers; or why there is none, such as fewer trials than it needs."""
    try:
        figure = draw()
    except (ValueError, RuntimeError) as error:
        return f"<p>{html.escape(str(error))}</p>"
    caption = f"<figcaption>{html.escape(plots.alt_text(figure))}</figcaption>"
    numbers = f"<details><summary>The numbers</summary>{_pre(plots.as_table(figure))}</details>"
    return f"<figure>{figure._repr_html_()}{caption}{numbers}</figure>"


def _settings(config: Any) -> str:
    return "\n".join(f"{name} = {_cell(value)}" for name, value in config.items())


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else format_value(value)


def _pre(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"
