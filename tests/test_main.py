"""``python -m ncps_mlx info``, and how light the import is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from ncps_mlx import tanh_implementation

# Private: what the command finds on a machine is put there.
from ncps_mlx.__main__ import info, main
from ncps_mlx._kernels.tanh import current_tanh
from ncps_mlx._runtime import blas as _blas
from ncps_mlx._runtime import flush


def test_without_a_command_all_are_told(capsys):
    assert main([]) == 2
    told = capsys.readouterr().out
    assert all(f"\n    {name}" in told for name in ("tune", "predict", "reproduce")) and "COMMAND --help" in told
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == "ncps-mlx 0.1.0\n"


def test_info_names_versions_device_and_blas(capsys):
    main(["info"])
    text = capsys.readouterr().out
    assert text.startswith("ncps-mlx 0.1.0")
    assert "mlx 0." in text
    assert "GFLOP/s" in text
    assert _blas.blas_name() in text
    assert f"tanh in training: {current_tanh()}" in text
    assert f"subnormal numbers in training: {'zero' if flush.can_flush() else 'kept'}" in text


def test_info_links_to_an_issue_that_is_filled_in(capsys):
    assert main(["info", "--issue", "example.org/you/project"]) == 0
    link = urlsplit(capsys.readouterr().out.strip())
    assert (link.netloc, link.path) == ("example.org", "/you/project/issues/new")
    (body,) = parse_qs(link.query)["body"]
    lines = [line.strip() for line in body.splitlines()]
    assert lines[0] == "The smallest program that fails:"
    assert {line for line in info().splitlines() if "GFLOP/s" not in line} <= set(lines)
    for wrong in ("https://example.org/you", "example.org", "you/my project"):
        assert main(["info", "--issue", wrong]) == 1
        assert "repository must be HOST/OWNER/NAME" in capsys.readouterr().err


def test_info_advises_where_a_compiler_is_missing(monkeypatch):
    with tanh_implementation("exp2"):
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert "apt-get install g++" in info()
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        assert "for what MLX compiled there does not load" in info()
    with tanh_implementation("rational"):
        assert "g++" not in info()


def test_info_advises_where_only_the_reference_blas_is_left(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(_blas, "_current", _blas.Blas(origin=_blas.REFERENCE, rejected=("of SciPy: it is broken",)))
    monkeypatch.delenv(_blas.VARIABLE, raising=False)
    assert "BLAS passed over: of SciPy: it is broken" in info()
    assert 'Advice: pip install --upgrade "scipy>=1.13"' in info()
    monkeypatch.setenv(_blas.VARIABLE, "none")
    assert "Advice: unset NCPS_MLX_BLAS, which is none" in info()


def test_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["train"])
    assert "invalid choice" in capsys.readouterr().err


def test_import_brings_in_nothing_heavy():
    heavy = ["optuna", "scipy", "matplotlib", "pandas", "sklearn", "statsmodels", "aeon", "tqdm"]
    code = f"import sys, ncps_mlx; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_every_public_name_is_there():
    import ncps_mlx

    for name in ncps_mlx.__all__:
        assert getattr(ncps_mlx, name) is not None
    assert set(ncps_mlx.__all__) <= set(dir(ncps_mlx))
    with pytest.raises(AttributeError, match="no attribute 'Sweep'"):
        _ = ncps_mlx.Sweep
