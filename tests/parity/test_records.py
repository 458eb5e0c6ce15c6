"""What tests/references holds is what ncps computes today."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np

from tests.against_ncps import assert_close
from tests.references.recorded import REFERENCE

SCRIPT = Path(__file__).parents[1] / "references" / "make_ncps.py"


def test_the_script_records_what_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path / "again.npz")])
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    runpy.run_path(str(SCRIPT), run_name="__main__")
    again = np.load(tmp_path / "again.npz")
    assert set(again) == set(REFERENCE)
    for key in again:
        if again[key].dtype.kind == "U":
            assert again[key] == REFERENCE[key], key
        else:
            assert_close(again[key], REFERENCE[key], key)  # how a weight begins depends on torch's LAPACK
