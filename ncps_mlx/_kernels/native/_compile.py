"""Compile the C sources of this folder, once for each source, compiler and processor, and load what came of it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ENVIRONMENT", "Compiled", "build_id", "cache_folder", "compiled", "find_compiler"]

ENVIRONMENT = "NCPS_MLX_NATIVE"
"""The environment variable that switches the layers in C off if it is 0."""

FOLDER = Path(__file__).parent
LAYERS = ("cfc", "ltc", "wired_ltc")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = (
    *("-std=gnu11", "-O2", "-fPIC", "-shared"),
    "-fno-strict-aliasing",  # rows of floats are read as vectors
    *("-fno-math-errno", "-fno-trapping-math"),  # not -ffast-math: NaN must go on as NaN
    "-Wno-psabi",  # vectors are passed only inside a file
)
LIBRARY, CHECKSUM = "layers.so", "layers.sha256"
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Compiled:
    """The layers, or why there are none.

    Attributes:
        functions: Those of the C files; ``None`` if there are none.
        build_id: See :func:`build_id`.
        about: Which compiler they are by, or what is missing.
    """

    functions: Any
    build_id: str
    about: str


@functools.cache
def compiled() -> Compiled:
    """The layers of this process, compiled when first wanted."""
    if os.environ.get(ENVIRONMENT) == "0":
        return Compiled(None, "", f"switched off by {ENVIRONMENT}=0")
    compiler = find_compiler()
    if compiler is None or sys.platform == "win32":
        return Compiled(None, "", "no C compiler")
    why = ""
    for make in (load_or_build, build_for_this_process):
        try:
            return Compiled(make(compiler), build_id(compiler), f"by {compiler}")
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # RuntimeError: no home
            why = str(error)
    return Compiled(None, "", why)


def find_compiler() -> str | None:
    """The C compiler's path."""
    return next((path for path in map(shutil.which, COMPILERS) if path), None)


def cache_folder() -> Path:
    """Where compiled layers are kept for this user."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ncps-mlx"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ncps-mlx"


def sources() -> list[Path]:
    """The C files and what they include."""
    return sorted([*FOLDER.glob("*.c"), *FOLDER.glob("*.h")])


def build_id(compiler: str) -> str:
    """A name for what would be compiled: the same bits come of equal sources, flags, compilers and processors."""
    found = hashlib.sha256()
    path = Path(compiler).resolve()
    about = path.stat()
    for part in (*(each.read_bytes() for each in sources()), " ".join(flags()).encode()):
        found.update(hashlib.sha256(part).digest())
    found.update(f"{path} {about.st_size} {about.st_mtime_ns} {processor()}".encode())
    return found.hexdigest()[:12]


def flags() -> tuple[str, ...]:
    """Of the compiler, with the option to use all that this processor can do."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return (*FLAGS, "-march=native" if x86 else "-mcpu=native")


def processor() -> str:
    """What the compiler may find out about the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return f"{platform.machine()} {platform.processor()}"
    names = ("model", "flags", "Features", "CPU part", "CPU implementer")
    lines = cpuinfo.read_text(errors="replace").splitlines()
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(names)}))


def load_or_build(compiler: str) -> ctypes.CDLL:
    """From the cache; built and put there first if it is missing or broken.

    A folder appears there whole, by renaming: of several processes that build at once, the first one's stays.
    """
    folder = cache_folder() / build_id(compiler)
    with contextlib.suppress(OSError):
        return load(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as own:
        new = Path(own) / "new"
        new.mkdir()
        built = build(compiler, new)
        with contextlib.suppress(OSError):  # another process was quicker
            new.rename(folder)
            return built
        with contextlib.suppress(OSError):
            return load(folder)
        with contextlib.suppress(OSError):  # broken: out of the way
            folder.rename(Path(own) / "broken")
            new.rename(folder)
        return built


def build_for_this_process(compiler: str) -> ctypes.CDLL:
    """Where there is no place in the cache."""
    with tempfile.TemporaryDirectory(prefix="ncps-mlx-") as folder:
        return build(compiler, Path(folder))


def load(folder: Path) -> ctypes.CDLL:
    """The library in a folder; an ``OSError`` if it is not whole: loading a part of one may end the process."""
    path = folder / LIBRARY
    if hashlib.sha256(path.read_bytes()).digest() != (folder / CHECKSUM).read_bytes():
        raise OSError(f"{path} must be what was compiled, got another file.")
    return declared(path)


def declared(path: Path) -> ctypes.CDLL:
    """The library, its functions with the types of their arguments and values."""
    functions = ctypes.CDLL(str(path))
    for layer in LAYERS:
        getattr(functions, f"{layer}_kept_floats").restype = ctypes.c_long
        for action, count in (("kept_floats", 1), ("forward", 4), ("backward", 5)):
            getattr(functions, f"{layer}_{action}").argtypes = [ctypes.c_void_p] * count
    return functions


def build(compiler: str, folder: Path) -> ctypes.CDLL:
    """Compile into a folder, and load; without the option for this processor if the compiler does not know it."""
    path = folder / LIBRARY
    inputs = [str(each) for each in sources() if each.suffix == ".c"]
    for options in (flags(), FLAGS):
        command = [compiler, *options, *inputs, "-o", str(path)]
        result = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
        if result.returncode == 0:
            break
    else:
        raise OSError(f"{compiler} must compile the layers, got: {result.stderr.decode(errors='replace')[-500:]}")
    (folder / CHECKSUM).write_bytes(hashlib.sha256(path.read_bytes()).digest())
    return declared(path)
