"""``python -m ncps_mlx info``, the BLAS it speaks of, and how light the import is."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

import pytest

from ncps_mlx import tanh_implementation

# Private: what the command finds on a machine is put there.
from ncps_mlx.__main__ import info, main
from ncps_mlx._kernels.tanh import current_tanh
from ncps_mlx._runtime import blas as _blas


def python(code, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**clean, **environment},
    )


def installed():
    try:
        ctypes.CDLL(_blas.LIBRARY)
    except OSError:
        return False
    return sys.platform.startswith("linux")


def test_info_names_versions_device_and_blas(capsys):
    main(["info"])
    text = capsys.readouterr().out
    assert text.startswith("ncps-mlx 0.1.0")
    assert "mlx 0." in text
    assert "GFLOP/s" in text
    assert _blas.blas_name() in text
    assert f"tanh in training: {current_tanh()}" in text


def test_info_advises_where_a_compiler_is_missing(monkeypatch):
    with tanh_implementation("exp2"):
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert "apt-get install g++" in info()
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        assert "for what MLX compiled there does not load" in info()
    with tanh_implementation("rational"):
        assert "g++" not in info()


def test_info_advises_where_openblas_is_missing(monkeypatch):
    monkeypatch.setattr(_blas, "_fast", False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "libopenblas0-pthread" in info()


def test_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["tune"])
    assert "invalid choice" in capsys.readouterr().err


def test_openblas_is_used_wherever_it_is_installed():
    run = python("import ncps_mlx._runtime.blas as b; print(b.blas_name())")
    assert run.returncode == 0, run.stderr
    assert ("OpenBLAS" in run.stdout) == installed() or sys.platform == "darwin"


def test_too_late_is_said_once_where_openblas_is_installed():
    run = python("import mlx.core, ncps_mlx")
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("too late to give it OpenBLAS") == int(installed())


def test_preloaded_from_outside_is_recognised():
    if installed():
        run = python("import mlx.core, ncps_mlx; print(ncps_mlx._runtime.blas.blas_name())", LD_PRELOAD=_blas.LIBRARY)
        assert run.stderr == ""
        assert "OpenBLAS" in run.stdout


def test_the_buffer_of_openblas_is_touched():
    run = python(
        "import ncps_mlx._runtime.blas as b; touched = b._fast and b.touch(); import mlx.core as mx; "
        "print(touched, (mx.ones((3, 2)) @ mx.ones((2, 5))).sum().item())"
    )
    assert run.stdout.split() == [str(installed()), "30.0"], run.stderr


def test_import_brings_in_nothing_heavy():
    heavy = ["optuna", "scipy", "matplotlib", "pandas", "sklearn", "statsmodels", "aeon", "tqdm"]
    run = python(f"import sys, ncps_mlx; print([m for m in {heavy} if m in sys.modules])")
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_every_public_name_is_there():
    import ncps_mlx

    for name in ncps_mlx.__all__:
        assert getattr(ncps_mlx, name) is not None
    assert set(ncps_mlx.__all__) <= set(dir(ncps_mlx))
    with pytest.raises(AttributeError, match="no attribute 'Sweep'"):
        _ = ncps_mlx.Sweep
