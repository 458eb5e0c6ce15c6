"""Layers in C in tests: where they can be compiled, and how to compile them anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ncps_mlx._kernels.native import compiled
from ncps_mlx._kernels.native._compile import ENVIRONMENT, FLAGS

QUICK = tuple("-O0" if flag.startswith("-O") else flag for flag in FLAGS)
needs_native = pytest.mark.skipif(compiled().functions is None, reason=f"layers in C: {compiled().about}")


@contextmanager
def compiled_anew(monkeypatch: pytest.MonkeyPatch, cache: Path, **changed: Any) -> Iterator[None]:
    """Inside, layers are compiled as if this process had not yet done so, quickly rather than well.

    ``changed`` are names of ``_compile`` and their values.
    """
    try:
        with monkeypatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(cache))
            patch.delenv(ENVIRONMENT, raising=False)
            for name, value in {"FLAGS": QUICK, **changed}.items():
                patch.setattr(f"ncps_mlx._kernels.native._compile.{name}", value)
            compiled.cache_clear()
            yield
    finally:
        compiled.cache_clear()
