"""Run one page's blocks as one program, in this process; started by pagerun in an empty folder.

Usage: ``python pagechild.py JOB.json OUT``. Results go to ``OUT/result.json`` after every block, so
that a crash still tells where it happened.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

import figures


def run_block(
    code: str, line: int, path: str, namespace: dict[str, Any]
) -> tuple[str, dict[str, Any] | None]:
    """Return what the block printed, and its error (line, message, trace) or None."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + code, path, "exec"), namespace)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a page raises is the page's problem
        frames = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path
        ]
        where = error.lineno if isinstance(error, SyntaxError) and error.filename == path else None
        trace = "".join(traceback.format_exception(error))
        message = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        found = where or (frames[-1] if frames else line)
        return printed.getvalue(), {"line": found, "message": message, "trace": trace}
    return printed.getvalue(), None


def most_megabytes() -> float:
    """The most memory that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(job_file: str, out: str) -> None:
    """Run the job's blocks until one fails."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    folder = Path(out)
    results: list[dict[str, Any]] = []
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module  # what the page defines lives where a script's names would
    sys.path[0] = ""
    warnings.simplefilter("error")  # an example that warns teaches the warning
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)  # raised inside other packages; Python hides them too
    warnings.filterwarnings("error", category=DeprecationWarning, module="__main__")
    seen: set[int] = set()
    kept: list[Any] = []
    for number, block in enumerate(job["blocks"]):
        start, spent = time.perf_counter(), time.process_time()
        printed, error = run_block(block["code"], block["line"], job["path"], main_module.__dict__)
        entry: dict[str, Any] = {"printed": printed, "seconds": time.perf_counter() - start, "error": error}
        entry |= {"figures": [], "processor_seconds": time.process_time() - spent, "megabytes": most_megabytes()}
        results.append(entry)
        if error is None:
            for figure in figures.open_figures(list(main_module.__dict__.values()), seen):
                seen.add(id(figure))
                kept.append(figure)  # an id is only unique while its figure lives
                name = f"{job['stem']}-{number + 1}-{len(entry['figures']) + 1}.png"
                entry["figures"].append(figures.save_figure(figure, folder / name))
        (folder / "result.json").write_text(json.dumps(results), encoding="utf-8")
        if error is not None:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
