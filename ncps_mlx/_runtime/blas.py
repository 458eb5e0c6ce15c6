"""Put a fast BLAS in front of the reference BLAS in MLX's Linux CPU wheel.

MLX looks up the plain BLAS symbols when ``mlx.core`` is first imported, so an OpenBLAS that was loaded globally before
then computes its matrix products (10-40 times faster). On macOS MLX uses Accelerate, and there is nothing to do.
"""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from pathlib import Path

__all__ = ["LIBRARY", "blas_name", "preload"]

LIBRARY = "libopenblas.so.0"


def _mapped() -> bool:
    """Whether a system OpenBLAS (not a wheel's private copy) is in this process."""
    maps = Path("/proc/self/maps")
    return maps.exists() and any(
        Path(line.split()[-1]).name.startswith(("libopenblas.so", "libopenblasp"))
        for line in maps.read_text().splitlines()
        if "openblas" in line
    )


def preload() -> bool:
    """Load OpenBLAS if this is Linux, it is installed and MLX is not yet loaded; whether MLX's products use it."""
    if not sys.platform.startswith("linux"):
        return False
    if _mapped():
        return True
    late = "mlx.core" in sys.modules
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        library = ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    if late:
        del library
        warnings.warn(
            "mlx was imported before ncps_mlx, too late to give it OpenBLAS: training is 2-7 times slower. "
            f"Import ncps_mlx first, or start Python with LD_PRELOAD={LIBRARY}.",
            stacklevel=3,
        )
        return False
    return True


def touch() -> bool:
    """Multiply two matrices of zeros, so that OpenBLAS's whole buffer is in memory before it is used; whether it could.

    OpenBLAS packs matrices into a buffer that it has not touched before. Measured in a virtual machine (Zen): products
    of 256 by 256 ran at a quarter of their speed, those of a small recurrent network at two thirds, as long as the
    process lived or until a product with more than 320 columns. Probably its kernels prefetch beyond what is packed,
    and where no page is mapped yet, each prefetch walks the page tables in vain.
    """
    library = ctypes.CDLL(LIBRARY)
    multiply = getattr(library, "cblas_sgemm", None)
    if multiply is None:
        return False
    number, n, k = ctypes.c_float, 512, 64  # the smallest size that was seen to suffice
    a, b, c = (number * (n * k))(), (number * (k * n))(), (number * (n * n))()
    row_major, no_transpose = 101, 111  # of <cblas.h>
    multiply(row_major, no_transpose, no_transpose, n, n, k, number(1.0), a, k, b, n, number(0.0), c, n)
    return True


_fast = preload()
if _fast:
    touch()


def blas_name() -> str:
    """Name the BLAS behind MLX's products on the CPU."""
    if sys.platform == "darwin":
        return "Accelerate"
    if not _fast:
        return "reference BLAS of the MLX wheel"
    library = ctypes.CDLL(LIBRARY)
    try:
        library.openblas_get_config.restype = ctypes.c_char_p
        words = library.openblas_get_config().decode().split()
    except AttributeError:  # another library under this name
        return LIBRARY
    return " ".join(words[:2])
