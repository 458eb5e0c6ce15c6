"""Run pages: each page's python blocks are one program, its shown outputs are checked.

From the command line::

    python docs/_ext/pagerun.py docs/guide/dropout.rst            # what each block printed, seconds, problems
    python docs/_ext/pagerun.py --refresh docs/guide/dropout.rst  # write the outputs shown on the page
    python docs/_ext/pagerun.py --program docs/guide/dropout.rst  # the page as one script

A run is kept under ``.cache/pages`` and used again until the page's code, the library's code or a
version changes; prose, comments and docstrings change nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from digest import digest_of, file_digest, library_digest, record_behind, versions
from pageblocks import Block, Page, Problem, parse_page

__all__ = [
    "FIRST",
    "FOLDERS",
    "PageRun",
    "check",
    "docname_of",
    "environment",
    "execute",
    "kept_folder",
    "pages_of",
    "run_page",
    "run_pages",
]

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("index", "start")  # the landing page, and where readers begin
FOLDERS = ("guide", "symptoms", "models", "howto")  # under docs: each page in them but the index is a program
TIMEOUT = 900  # seconds; a page that takes this long hangs
MOST_SECONDS = 90  # of a processor, for a page: what a build can afford, whatever else the machine does
MOST_MEGABYTES = 3000


@dataclass(frozen=True, kw_only=True)
class PageRun:
    """What running a page gave.

    Args:
        page: The page.
        results: Per block: printed, seconds (also of the processor), megabytes so far, figures (file, width, alt,
            numbers) and error.
        problems: What is wrong, each with its line.
        folder: Where the figures lie.
        executed: False if an earlier run of the same code was used.
    """

    page: Page
    results: list[dict[str, Any]]
    problems: list[Problem]
    folder: Path
    executed: bool

    @property
    def seconds(self) -> float:
        """Time all blocks took when they were run."""
        return math.fsum(result["seconds"] for result in self.results)

    @property
    def megabytes(self) -> float:
        """The most memory it took."""
        return max((result["megabytes"] for result in self.results), default=0.0)


def pages_of(root: Path = ROOT) -> list[Path]:
    """Return the project's pages that hold python blocks: README, :data:`FIRST`, and those in :data:`FOLDERS`."""
    found = [path for folder in FOLDERS for path in sorted((root / "docs" / folder).glob("*.rst"))]
    first = [path for name in FIRST for path in (root / "docs").glob(f"{name}.rst")]
    programs = [path for path in first if ".. code-block:: python" in path.read_text(encoding="utf-8")]
    return [root / "README.md", *programs, *(path for path in found if path.stem != "index")]


def docname_of(path: Path, docs: Path = ROOT / "docs") -> str:
    """Return the name of a page's document; the README has none on the site, and is called by its file."""
    return (path.relative_to(docs) if path.is_relative_to(docs) else Path(path.name)).with_suffix("").as_posix()


def environment() -> dict[str, str]:
    """Return the environment pages run in: no window, one BLAS thread, and a claim that is not as recorded fails."""
    own = {"MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "NCPS_MLX_CLAIMS": "require"}
    return os.environ | own


def _key(page: Page, root: Path) -> str:
    code = [block.code for block in page.blocks]
    return digest_of(*code_behind(root), versions(), *record_behind(code, root), *code)


def code_behind(root: Path = ROOT) -> list[str]:
    """Digests of the code that every page depends on; to be asked for once before threads begin."""
    tools = [Path(__file__).parent / name for name in TOOLS]
    return [library_digest(root), *map(file_digest, tools)]


TOOLS = ("figures.py", "pagechild.py", "points.py")


def run_page(path: Path, *, root: Path = ROOT, fresh: bool = False) -> PageRun:
    """Run a page, or take what an earlier run of the same code gave, and check its outputs.

    Args:
        path: The page.
        root: The project: its library's digest is part of the key, its ``.cache`` keeps the run.
        fresh: Run even if the kept run is still good.
    """
    path = path.resolve()
    name, folder = _name(path, root), kept_folder(path, root)
    page = parse_page(path, name)
    key = _key(page, root)
    kept = folder / "run.json"
    if not fresh and kept.exists():
        run = json.loads(kept.read_text(encoding="utf-8"))
        if run["key"] == key:
            return PageRun(
                page=page,
                results=run["results"],
                problems=check(page, run["results"]),
                folder=folder,
                executed=False,
            )
    with tempfile.TemporaryDirectory(prefix="page-") as scratch:
        results, problems = execute(page, Path(scratch))
        out = Path(scratch) / "out"
        if not problems:
            (out / "run.json").write_text(
                json.dumps({"key": key, "versions": versions(), "results": results})
            )
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(out, folder)
            problems = check(page, results)
    return PageRun(page=page, results=results, problems=problems, folder=folder, executed=True)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def kept_folder(path: Path, root: Path) -> Path:
    """Where a page's run is kept."""
    return root / ".cache" / "pages" / _name(path, root).replace("/", "-")


def execute(page: Page, scratch: Path, **variables: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Run the blocks in a fresh process and an empty folder, with these environment variables on top."""
    job, out, empty = scratch / "job.json", scratch / "out", scratch / "empty"
    out.mkdir()
    empty.mkdir()
    blocks = [{"line": block.line, "code": block.code} for block in page.blocks]
    # No two pages' figures have one name: Sphinx, reading in parallel, would let one replace the other.
    stem = Path(page.name).with_suffix("").as_posix().removeprefix("docs/").replace("/", "-")
    job.write_text(json.dumps({"path": str(page.path), "stem": stem, "blocks": blocks}), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("pagechild.py")), str(job), str(out)]
    try:
        child = subprocess.run(
            command,
            cwd=empty,
            env=environment() | variables,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        ending = child.stderr.strip().splitlines()[-1:] or [
            f"the process ended with status {child.returncode}"
        ]
    except subprocess.TimeoutExpired:
        child, ending = None, [f"no end after {TIMEOUT} s"]
    result_file = out / "result.json"
    results = json.loads(result_file.read_text(encoding="utf-8")) if result_file.exists() else []
    result_file.unlink(missing_ok=True)
    errors = [result["error"] for result in results if result["error"]]
    problems = [
        Problem(page=page.name, line=e["line"], message=f"{e['message']}\n{e['trace']}") for e in errors
    ]
    if not problems and (child is None or child.returncode != 0 or len(results) < len(page.blocks)):
        where = page.blocks[min(len(results), len(page.blocks) - 1)].line if page.blocks else 1
        problems = [Problem(page=page.name, line=where, message=ending[0])]
    return results, problems


def check(page: Page, results: list[dict[str, Any]]) -> list[Problem]:
    """Return where what a page shows differs from what its blocks gave."""
    problems = list(page.problems)
    for block, result in zip(page.blocks, results, strict=True):
        problems += _check_block(page.name, block, result)
    for unit, most in (("processor_seconds", MOST_SECONDS), ("megabytes", MOST_MEGABYTES)):
        each = [result[unit] for result in results]
        took = math.fsum(each) if unit == "processor_seconds" else max(each, default=0.0)
        if took > most:
            text = f"the page takes {took:.0f} {unit.replace('_', ' ')}, more than {most}: shorten it"
            problems.append(Problem(page=page.name, line=1, message=text))
    return sorted(problems, key=lambda problem: problem.line)


def _check_block(name: str, block: Block, result: dict[str, Any]) -> list[Problem]:
    problems = []
    if block.output is not None:
        wrong = block.output.contract.problem(block.output.text, result["printed"])
        if wrong is not None:
            problems.append(Problem(page=name, line=block.output.line, message=f"output: {wrong}"))
    figures = result["figures"]
    if len(block.drawn) > 1:
        problems.append(
            Problem(
                page=name, line=block.drawn[1], message="drawn shows all of a block's figures: one is enough"
            )
        )
    if block.drawn and not figures:
        problems.append(
            Problem(page=name, line=block.drawn[0], message="the block before it draws no figure")
        )
    if block.drawn and any(not figure["alt"] for figure in figures):
        text = "the figure has no alternative text: draw it with ncps_mlx.plots"
        problems.append(Problem(page=name, line=block.drawn[0], message=text))
    return problems


def run_pages(
    paths: list[Path],
    *,
    root: Path = ROOT,
    fresh: bool = False,
    report: Callable[[str], None] = print,
    others: Sequence[Callable[[], None]] = (),
) -> list[PageRun]:
    """Run pages two at a time, the longest first, reporting each as it ends; before them ``others``, longer still."""

    def one(path: Path) -> PageRun:
        run = run_page(path, root=root, fresh=fresh)
        if run.executed:
            report(f"executed {run.page.name}: {len(run.results)} blocks, {run.seconds:.1f} s")
        return run

    code_behind(root)
    with ThreadPoolExecutor(2) as pool:
        begun = [pool.submit(other) for other in others]
        running = {path: pool.submit(one, path) for path in sorted(paths, key=lambda path: -_cost(path, root))}
        for other in begun:
            other.result()
        return [running[path].result() for path in paths]


def _cost(path: Path, root: Path) -> float:
    """What a page took when it last ran, in seconds; of one that never did, a guess by its length."""
    kept = kept_folder(path.resolve(), root) / "run.json"
    if kept.exists():
        return math.fsum(result["seconds"] for result in json.loads(kept.read_text(encoding="utf-8"))["results"])
    return path.stat().st_size / 2000


def _show(run: PageRun, *, outputs: bool) -> None:
    print(f"== {run.page.name}" + ("" if run.executed else "  (nothing changed since the run shown)"))
    for block, result in zip(run.page.blocks, run.results, strict=False):
        if not outputs:
            break
        drawn = "".join(
            f"\n    figure {run.folder / f['file']}\n    alt: {f['alt']}" for f in result["figures"]
        )
        print(f"-- line {block.line}: {result['seconds']:.2f} s{drawn}")
        if result["printed"]:
            print("\n".join("    " + line for line in result["printed"].rstrip().splitlines()))
    for problem in run.problems:
        print(problem)
    print(f"== {run.seconds:.1f} s, {len(run.problems)} problems")


def main() -> int:
    """Run the command line; return 1 if any page has a problem."""
    parser = argparse.ArgumentParser(
        description="Run the python blocks of pages and check what the pages show."
    )
    parser.add_argument("pages", nargs="*", type=Path, help="pages (default: all that are programs)")
    parser.add_argument("--refresh", action="store_true", help="write what the blocks printed into the pages")
    parser.add_argument("--fresh", action="store_true", help="run even where nothing changed")
    parser.add_argument(
        "--program", action="store_true", help="print each page as one program and run nothing"
    )
    options = parser.parse_args()
    pages = options.pages or pages_of()
    if options.program:
        for path in pages:
            print(parse_page(path).program, end="")
        return 0
    runs = run_pages(pages, fresh=options.fresh)
    for index, run in enumerate(runs):
        complete = len(run.results) == len(run.page.blocks) and not any(r["error"] for r in run.results)
        if options.refresh and complete:
            text = run.page.refreshed([result["printed"] for result in run.results])
            if text != run.page.text:
                run.page.path.write_text(text, encoding="utf-8")
                print(f"refreshed {run.page.name}")
                runs[index] = run = run_page(run.page.path)
        _show(run, outputs=bool(options.pages))
    problems = [problem for run in runs for problem in run.problems]
    if any(problem.message.startswith("output:") for problem in problems):
        print("Where what was printed is right and the page is not, --refresh writes it into the page.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
