"""Give MLX's matrix products on a Linux CPU a fast BLAS, and say which it is.

MLX's Linux wheel carries the reference BLAS. SciPy, which this library needs anyway, carries a current OpenBLAS in its
wheel. ``libmlx.so`` calls three functions of a BLAS, through jump slots, which :func:`install` points at those of
SciPy's OpenBLAS, or else of the system's: whether MLX was imported before or not, and for MLX alone. A library whose
products are wrong is passed over. On macOS MLX uses Accelerate, and there is nothing to do.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core  # noqa: F401  # loads the library whose slots are written
import numpy as np
import numpy.typing as npt

from ncps_mlx._runtime.jump_slots import SlotError, find_slots, point_slot

__all__ = ["CHOICES", "VARIABLE", "Blas", "BlasError", "blas_name", "current_blas", "install", "kernel_advice"]

VARIABLE = "NCPS_MLX_BLAS"
CHOICES = ("scipy", "system", "none")
SYSTEM_LIBRARY = "libopenblas.so.0"
MLX_LIBRARY = "libmlx.so"
REFERENCE = "reference BLAS of the MLX wheel"
PRODUCTS: dict[str, npt.DTypeLike] = {
    "cblas_sgemm": np.float32,
    "cblas_dgemm": np.float64,
    "cblas_cgemm": np.complex64,
}
ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112  # of <cblas.h>
KERNELS = {  # by what they need of the processor, the quickest first
    "AVX-512": ({"avx512f", "avx512bw", "avx512dq", "avx512vl"}, ("SkylakeX", "Cooperlake", "SapphireRapids")),
    "AVX2": ({"avx2", "fma"}, ("Haswell", "Zen")),
}


class BlasError(OSError):
    """A library that cannot multiply for MLX, and why."""


@dataclass(frozen=True, kw_only=True)
class Blas:
    """The BLAS behind MLX's products: ``origin`` says whose it is; ``rejected`` what was passed over, and why."""

    origin: str
    library: Any = None
    prefix: str = ""
    rejected: tuple[str, ...] = ()

    def text(self, function: str) -> str:
        """What a function of OpenBLAS says of itself, empty where there is none."""
        ask = getattr(self.library, self.prefix + function, None)
        if ask is None:
            return ""
        ask.restype = ctypes.c_char_p
        return (ask() or b"").decode(errors="replace")

    def use_one_thread(self) -> None:
        """Let OpenBLAS compute in the thread that calls it; another library keeps its way."""
        set_threads = getattr(self.library, self.prefix + "openblas_set_num_threads", None)
        if set_threads is not None:
            set_threads(1)

    @property
    def kernel(self) -> str:
        """The processor for which OpenBLAS computes, such as ``"Haswell"``; empty if it does not say."""
        return self.text("openblas_get_corename")

    @property
    def name(self) -> str:
        """Library, version, kernel and origin in words."""
        if self.library is None:
            return self.origin
        version = " ".join(self.text("openblas_get_config").split()[:2])
        details = ", ".join(part for part in (self.kernel, self.origin) if part)
        return f"{version or 'BLAS'} ({details})"


def install() -> Blas:
    """Point MLX's products at the BLAS that ``NCPS_MLX_BLAS`` chooses, or at the best one that there is.

    Raises:
        ValueError: The variable has another value than ``scipy``, ``system``, ``none`` or the path of a library.
    """
    choice = os.environ.get(VARIABLE, "")
    if choice and choice not in CHOICES and "/" not in choice:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(CHOICES)} or the path of a library, got {choice!r}.")
    if not sys.platform.startswith("linux"):
        return Blas(origin="Accelerate" if sys.platform == "darwin" else REFERENCE)
    chose_threads = "OPENBLAS_NUM_THREADS" in os.environ
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    rejected: list[str] = []
    try:
        slots = find_slots(MLX_LIBRARY, PRODUCTS) if choice != "none" else {}
    except (SlotError, OSError) as error:
        rejected, choice = [str(error)], "none"
    for origin, path in candidates(choice):
        try:
            blas = load(path, origin)
        except OSError as error:
            rejected.append(f"{origin}: {error}")
            continue
        if not chose_threads:  # SciPy may have loaded it before, with as many as there are cores
            blas.use_one_thread()
        for function, slot in slots.items():
            address = ctypes.cast(blas.library[blas.prefix + function], ctypes.c_void_p).value
            assert address is not None  # it was called just now
            point_slot(slot, address)
        return replace(blas, rejected=tuple(rejected))
    return replace(mlx_blas(), rejected=tuple(rejected))


def candidates(choice: str) -> Iterator[tuple[str, str]]:
    """Libraries to try, the best first: whose each one is, and its path."""
    if choice in ("", "scipy"):
        spec = importlib.util.find_spec("scipy")
        folders = (spec.submodule_search_locations or []) if spec else []
        paths = [path for folder in folders for path in Path(folder).parent.glob("scipy.libs/lib*openblas*.so*")]
        yield from (("of SciPy", str(path)) for path in sorted(paths))
    if choice in ("", "system"):
        yield "of the system", SYSTEM_LIBRARY
    if "/" in choice:
        yield Path(choice).name, choice


def load(path: str, origin: str) -> Blas:
    """Load a library and see that it multiplies; an OSError where it does not.

    SciPy's wheels since 1.14 put ``scipy_`` before the names of OpenBLAS's functions.
    """
    library = ctypes.CDLL(path)
    for prefix in ("scipy_", ""):
        if all(hasattr(library, prefix + function) for function in PRODUCTS):
            blas = Blas(origin=origin, library=library, prefix=prefix)
            if "USE64BITINT" in blas.text("openblas_get_config"):
                raise BlasError(f"{path} takes integers of 64 bits, and MLX gives 32")
            check_products(library, prefix)
            fill_buffer(library, prefix)
            return blas
    raise BlasError(f"{path} has no {next(iter(PRODUCTS))} of 32-bit integers")


def check_products(library: Any, prefix: str) -> None:
    """Compare small products of whole numbers, which every type holds exactly, with those of NumPy's integers."""
    m, n, k = 5, 11, 7
    a = np.arange(m * k).reshape(m, k) % 5 - 2
    b = np.arange(k * n).reshape(k, n) % 7 - 3
    for function, dtype in PRODUCTS.items():
        for layout, first, second in ((NO_TRANSPOSE, a, b), (TRANSPOSE, a.T, b.T)):
            out = multiply(library, prefix + function, first.astype(dtype, "C"), second.astype(dtype, "C"), layout)
            if not np.array_equal(out, a @ b):
                raise BlasError(f"{prefix}{function} multiplies wrongly")


def fill_buffer(library: Any, prefix: str) -> None:
    """Make a wide product, so that OpenBLAS's whole buffer is in memory before it is used.

    OpenBLAS packs matrices into a buffer that it has not touched before. Measured in a virtual machine (Zen): products
    of 256 by 256 ran at a quarter of their speed, those of a small recurrent network at two thirds, as long as the
    process lived or until a product with more than 320 columns. Probably its kernels prefetch beyond what is packed,
    and where no page is mapped yet, each prefetch walks the page tables in vain.
    """
    n, k = 512, 64  # the smallest size that was seen to suffice
    ones = np.ones((n, k), np.float32)
    if np.any(multiply(library, f"{prefix}cblas_sgemm", ones, ones.T.copy(), NO_TRANSPOSE) != k):
        raise BlasError(f"{prefix}cblas_sgemm multiplies wrongly")


def multiply(library: Any, function: str, a: npt.NDArray[Any], b: npt.NDArray[Any], layout: int) -> npt.NDArray[Any]:
    """The product of two matrices, or of both transposed, by a function of a BLAS."""
    (m, k), n = (a.shape, b.shape[1]) if layout == NO_TRANSPOSE else (a.shape[::-1], b.shape[0])
    out = np.full((m, n), np.nan, a.dtype)  # with beta 0 it must be overwritten unseen
    alpha: Any
    beta: Any
    if a.dtype == np.complex64:  # by address
        pair = ctypes.c_float * 2
        alpha, beta = pair(1.0, 0.0), pair(0.0, 0.0)
    else:
        number = {4: ctypes.c_float, 8: ctypes.c_double}[a.dtype.itemsize]
        alpha, beta = number(1.0), number(0.0)
    pointers = [ctypes.c_void_p(each.ctypes.data) for each in (a, b, out)]
    getattr(library, function)(
        ROW_MAJOR, layout, layout, m, n, k,
        alpha, pointers[0], a.shape[1], pointers[1], b.shape[1], beta, pointers[2], n,
    )  # fmt: skip
    return out


class SymbolOrigin(ctypes.Structure):
    """What ``dladdr`` tells of an address: ``Dl_info`` of <dlfcn.h>."""

    _fields_ = [
        ("path", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def mlx_blas() -> Blas:
    """The BLAS that MLX found by itself: one put in front by ``LD_PRELOAD``, or the one it was built with."""
    process = ctypes.CDLL(None)
    function = getattr(process, "cblas_sgemm", None)
    if function is None:  # nothing global has it
        return Blas(origin=REFERENCE)
    found = SymbolOrigin()
    process.dladdr(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(found))
    file = Path((found.path or b"").decode(errors="replace")).name
    blas = Blas(origin="preloaded", library=process)
    return blas if blas.kernel else Blas(origin=f"{file}, preloaded")


def kernel_advice(blas: Blas, flags: set[str]) -> str:
    """What to do about a kernel slower than the processor's instructions (``flags``) allow; empty where it is right."""
    for instructions, (needed, kernels) in KERNELS.items():
        if blas.kernel in kernels:
            return ""
        if blas.kernel and needed <= flags:
            cure = f"set OPENBLAS_CORETYPE={kernels[0]} before Python starts"
            if "OPENBLAS_CORETYPE" in os.environ:
                cure = f"unset OPENBLAS_CORETYPE, which is {os.environ['OPENBLAS_CORETYPE']}"
            elif "SciPy" not in blas.origin:
                cure = f'unset {VARIABLE} and "pip install --upgrade scipy", which brings a newer OpenBLAS'
            return f"products run on the kernel {blas.kernel}, and this processor has {instructions}: {cure}"
    return ""


def processor_flags() -> set[str]:
    """The processor's instruction sets as Linux names them; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return next((set(line.split()[2:]) for line in lines if line.startswith("flags")), set())


_current = install()


def current_blas() -> Blas:
    """The BLAS behind MLX's products on the CPU."""
    return _current


def blas_name() -> str:
    """Name the BLAS behind MLX's products on the CPU."""
    return _current.name
