"""MLX's products go to a fast BLAS in either order of imports; one that multiplies wrongly is passed over."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# Private: which functions MLX calls shows in nothing public but the speed.
from ncps_mlx._runtime import blas as blas_module
from ncps_mlx._runtime import jump_slots
from ncps_mlx._runtime.blas import (
    Blas,
    BlasError,
    blas_name,
    check_products,
    fill_buffer,
    kernel_advice,
    load,
)
from ncps_mlx._runtime.jump_slots import SlotError, find_slots, slots_in_tables
from ncps_mlx.records import versions

linux = sys.platform.startswith("linux")
if not linux:
    pytest.skip("MLX's slots are written on Linux alone", allow_module_level=True)

SLOTS = """
import ctypes
from ncps_mlx._runtime import blas, jump_slots

class Origin(ctypes.Structure):
    _fields_ = [("path", ctypes.c_char_p), *((name, ctypes.c_void_p) for name in ("base", "symbol", "address"))]

def owner(slot):
    found = Origin()
    address = ctypes.c_void_p.from_address(slot).value
    ctypes.CDLL(None).dladdr(ctypes.c_void_p(address), ctypes.byref(found))
    return found.path.decode().rpartition("/")[2]

import mlx.core as mx
a = mx.arange(12).reshape(3, 4).astype(mx.float32)
product = (a @ a.T).tolist()
assert product == [[14, 38, 62], [38, 126, 214], [62, 214, 366]], product
print({owner(slot) for slot in jump_slots.find_slots("libmlx.so", blas.PRODUCTS).values()})
print(blas.current_blas().name)
print(*blas.current_blas().rejected, sep="; ")
"""


def run(code, **variables):
    """Three lines: the files whose functions MLX calls, the name of the BLAS, and what was passed over."""
    own = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", blas_module.VARIABLE)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**own, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def scipy_library():
    """The file of the OpenBLAS in SciPy's wheel; none where SciPy was installed in another way."""
    folder = Path(importlib.util.find_spec("scipy").origin).parents[1] / "scipy.libs"
    return next(iter(sorted(folder.glob("lib*openblas*.so*"))), None)


def system_library():
    try:
        return ctypes.CDLL(blas_module.SYSTEM_LIBRARY)
    except OSError:
        return None


needs_scipy = pytest.mark.skipif(scipy_library() is None, reason="this SciPy has no OpenBLAS of its own")
needs_system = pytest.mark.skipif(system_library() is None, reason="the system has no OpenBLAS")
NO_SYSTEM = """
import ctypes
plain = ctypes.CDLL.__init__
def refuse(self, name, *arguments, **keywords):
    if name and "openblas.so.0" in name:
        raise OSError(f"{name}: cannot open shared object file")
    plain(self, name, *arguments, **keywords)
ctypes.CDLL.__init__ = refuse
"""  # as on a machine without the system's library


@needs_scipy
@pytest.mark.parametrize(
    "first",
    [
        "",
        "import mlx.core",
        "import mlx.core as mx\nmx.eval(mx.ones((9, 9)) @ mx.ones((9, 9)))",  # its own function is bound by now
        "import scipy.linalg",
    ],
)
def test_products_go_to_the_openblas_of_scipy_in_either_order_of_imports(first):
    files, name, rejected = run(f"{NO_SYSTEM}{first}\n{SLOTS}")
    assert files == str({scipy_library().name})
    assert name.startswith("OpenBLAS 0.") and name.endswith(", of SciPy)")
    assert rejected == ""


@needs_scipy
def test_a_library_that_is_preloaded_is_no_obstacle():
    preloaded = blas_module.SYSTEM_LIBRARY if system_library() else "libm.so.6"
    for variables in ({"LD_PRELOAD": preloaded}, {"LD_BIND_NOW": "1"}):
        files, *_ = run(SLOTS, **variables)
        assert files == str({scipy_library().name})


@needs_scipy
def test_it_computes_in_one_thread_even_if_scipy_loaded_it_with_more():
    code = "import scipy.linalg\nimport ncps_mlx._runtime.blas as b\nb = b.current_blas()\n"
    code += "print(getattr(b.library, b.prefix + 'openblas_get_num_threads')())"
    chosen = ("OPENBLAS_NUM_THREADS", blas_module.VARIABLE)
    plain = {name: value for name, value in os.environ.items() if name not in chosen}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
    assert run(code, OPENBLAS_NUM_THREADS="2") == ["2" if (os.cpu_count() or 1) > 1 else "1"]


def without_scipy_library(folder):
    """A folder to put in front on the path, with a SciPy that carries no OpenBLAS."""
    (folder / "scipy").mkdir()
    (folder / "scipy" / "__init__.py").touch()
    return os.pathsep.join([str(folder), *sys.path])


@needs_system
def test_without_scipy_s_library_the_system_s_is_taken(tmp_path):
    files, name, rejected = run(SLOTS, PYTHONPATH=without_scipy_library(tmp_path))
    assert "openblas" in files and scipy_library().name not in files
    assert name.endswith("of the system)") and rejected == ""


def test_without_any_library_mlx_keeps_its_own(tmp_path):
    files, name, rejected = run(NO_SYSTEM + SLOTS, PYTHONPATH=without_scipy_library(tmp_path))
    assert "openblas" not in files
    assert name == blas_module.REFERENCE
    assert "of the system: libopenblas.so.0: cannot open" in rejected


def test_the_variable_switches_it_off():
    files, name, rejected = run(SLOTS, NCPS_MLX_BLAS="none")
    assert "openblas" not in files
    assert (name, rejected) == (blas_module.REFERENCE, "")


@needs_system
def test_the_variable_chooses():
    assert run(SLOTS, NCPS_MLX_BLAS="system")[1].endswith("of the system)")
    name = run(SLOTS, NCPS_MLX_BLAS="none", LD_PRELOAD=blas_module.SYSTEM_LIBRARY)[1]
    assert name.startswith("OpenBLAS 0.") and name.endswith(", preloaded)")


def test_a_wrong_value_of_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv("NCPS_MLX_BLAS", "mkl")
    with pytest.raises(ValueError, match="must be one of scipy, system, none or the path of a library, got 'mkl'"):
        blas_module.install()


def test_a_broken_library_is_passed_over(tmp_path):
    broken = tmp_path / "libopenblas.so"
    broken.write_text("no library")
    _, name, rejected = run(SLOTS, NCPS_MLX_BLAS=str(broken))
    assert name == blas_module.REFERENCE
    assert (rejected.startswith("libopenblas.so: ") and "invalid ELF header" in rejected) or "too short" in rejected


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to build a wrong library with")
def test_a_library_whose_product_is_wrong_is_passed_over(tmp_path):
    source, library = tmp_path / "wrong.c", tmp_path / "libwrong.so"
    source.write_text("void cblas_sgemm() {} void cblas_dgemm() {} void cblas_cgemm() {}")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    _, name, rejected = run(SLOTS, NCPS_MLX_BLAS=str(library))
    assert (name, rejected) == (blas_module.REFERENCE, "libwrong.so: cblas_sgemm multiplies wrongly")


def test_a_library_without_products_is_passed_over():
    path = ctypes.util.find_library("z") or ctypes.util.find_library("m")
    with pytest.raises(BlasError, match="has no cblas_sgemm of 32-bit integers"):
        load(path, "of this test")


class Products:
    """A BLAS in Python; ``wrong`` names what one of its functions ignores."""

    def __init__(self, function="", wrong=""):
        self.function, self.wrong = function, wrong

    def __getattr__(self, function):
        def product(order, first, second, m, n, k, _alpha, a, lda, b, ldb, _beta, c, ldc):
            dtype = np.dtype(blas_module.PRODUCTS[function])
            wrong = self.wrong if function == self.function else ""

            def matrix(pointer, rows, columns, stride, transposed):
                if transposed and wrong != "transposition":
                    rows, columns = columns, rows
                buffer = (ctypes.c_char * (rows * stride * dtype.itemsize)).from_address(pointer.value)
                view = np.frombuffer(buffer, dtype).reshape(rows, stride)[:, :columns]
                return view.T if transposed and wrong != "transposition" else view

            assert order == 101
            left = matrix(a, m, k, lda if wrong != "transposition" else k, first == 112)
            right = matrix(b, k, n, ldb if wrong != "transposition" else n, second == 112)
            out = matrix(c, m, n, ldc, False)
            out[:] = left @ right + (out if wrong == "beta" else 0) + (1 if wrong == "sum" else 0)

        return product


def test_a_right_product_passes_and_each_wrong_one_is_found():
    check_products(Products(), "")
    for function in blas_module.PRODUCTS:
        for wrong in ("sum", "beta", "transposition"):
            with pytest.raises(BlasError, match=f"{function} multiplies wrongly"):
                check_products(Products(function, wrong), "")


def test_the_buffer_of_openblas_is_filled_by_a_wide_product(monkeypatch):
    with pytest.raises(BlasError, match="cblas_sgemm multiplies wrongly"):
        fill_buffer(Products("cblas_sgemm", "sum"), "")
    filled = []
    monkeypatch.setattr(blas_module, "fill_buffer", lambda library, prefix: filled.append((library, prefix)))
    path = scipy_library() or (system_library() and blas_module.SYSTEM_LIBRARY)
    if path:
        found = load(str(path), "of this test")
        assert filled == [(found.library, found.prefix)]


def test_integers_of_64_bits_are_refused(monkeypatch):
    monkeypatch.setattr(Blas, "text", lambda *_: "OpenBLAS 0.3.30 USE64BITINT DYNAMIC_ARCH")
    path = scipy_library() or (system_library() and blas_module.SYSTEM_LIBRARY)
    if path is None:
        pytest.skip("no OpenBLAS to ask")
    with pytest.raises(BlasError, match="takes integers of 64 bits"):
        load(str(path), "of this test")


@pytest.mark.parametrize(
    ("machine", "library", "function", "reason"),
    [
        ("riscv64", "libmlx.so", "cblas_sgemm", "the processor riscv64 is not known here"),
        ("x86_64", "libnone.so", "cblas_sgemm", "libnone.so is not loaded"),
        ("x86_64", "libmlx.so", "cblas_zgemm", "libmlx.so does not call cblas_zgemm through a jump slot"),
    ],
)
def test_what_has_no_slots_says_why(monkeypatch, machine, library, function, reason):
    monkeypatch.setattr(jump_slots.platform, "machine", lambda: machine)
    with pytest.raises(SlotError, match=reason):
        find_slots(library, [function])


def test_read_only_slots_and_tables_out_of_memory_are_left_alone(monkeypatch):
    plain = jump_slots.Memory.allows

    def allows(self, right, *span):
        return right == "r" and plain(self, right, *span)

    monkeypatch.setattr(jump_slots.Memory, "allows", allows)
    with pytest.raises(SlotError, match="keeps the address of cblas_sgemm in memory that is read-only"):
        find_slots("libmlx.so", ["cblas_sgemm"])
    monkeypatch.setattr(jump_slots, "loaded_object", lambda _: (16, 16))
    with pytest.raises(SlotError, match="where nothing can be read"):
        find_slots("libmlx.so", ["cblas_sgemm"])


class Image:
    """Memory that holds the tables of a library at ``base``, as <elf.h> lays them out."""

    def __init__(self, base, kind, absolute):
        names = b"\0malloc\0cblas_sgemm\0"
        symbols = b"".join(struct.pack("IBBHQQ", names.index(name), 0, 0, 0, 0, 0) for name in (b"malloc", b"cblas"))
        relocations = b"".join(
            struct.pack("QQq", offset, symbol << 32 | type_, 0)
            for offset, symbol, type_ in ((0x5000, 0, kind), (0x5008, 1, 6), (0x5010, 1, kind))
        )
        address = base if absolute else 0
        tags = [(5, address + 0x100), (6, address + 0x200), (23, address + 0x300), (2, len(relocations)), (20, 7)]
        tables = {0x100: names, 0x200: symbols, 0x300: relocations}
        tables[0x400] = b"".join(struct.pack("qQ", *tag) for tag in [*tags, (0, 0)])
        self.base, self.bytes = base, bytearray(0x1000)
        for offset, table in tables.items():
            self.bytes[offset : offset + len(table)] = table

    def read(self, address, size):
        return bytes(self.bytes[address - self.base : address - self.base + size])

    def read_text(self, address):
        return self.bytes[address - self.base :].split(b"\0")[0].decode()


@pytest.mark.parametrize("kind", jump_slots.JUMP_SLOT.values())
@pytest.mark.parametrize("absolute", [True, False])  # as glibc leaves the addresses, and as musl does
def test_tables_are_read_for_every_processor_and_loader(kind, absolute):
    image = Image(0x7F0000000000, kind, absolute)
    slots = slots_in_tables(image, image.base, image.base + 0x400, kind)
    assert slots == {"malloc": image.base + 0x5000, "cblas_sgemm": image.base + 0x5010}


def test_without_slots_mlx_keeps_its_own_and_says_why(monkeypatch):
    def refuse(*_):
        raise SlotError("libmlx.so is not loaded")

    monkeypatch.setattr(blas_module, "find_slots", refuse)
    monkeypatch.delenv(blas_module.VARIABLE, raising=False)
    found = blas_module.install()
    assert found.rejected == ("libmlx.so is not loaded",)
    assert found.origin in (blas_module.REFERENCE, "preloaded")


def test_on_macos_there_is_nothing_to_do(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert blas_module.install() == Blas(origin="Accelerate")


class Kernel:
    """An OpenBLAS that computes with a kernel."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __getattr__(self, name):
        text = {"openblas_get_corename": self.kernel, "openblas_get_config": "OpenBLAS 0.3.21 NO_LAPACKE"}.get(name)
        if text is None:
            raise AttributeError(name)
        return lambda: text.encode()


AVX2 = {"avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@pytest.mark.parametrize(
    ("kernel", "flags", "origin", "coretype", "advice"),
    [
        ("SkylakeX", AVX512, "of SciPy", "", ""),
        ("Zen", AVX2, "of SciPy", "", ""),
        ("Nehalem", set(), "of SciPy", "", ""),
        ("Prescott", AVX512, "of SciPy", "", "has AVX-512: set OPENBLAS_CORETYPE=SkylakeX before Python starts"),
        ("Prescott", AVX512, "of the system", "", 'has AVX-512: unset NCPS_MLX_BLAS and "pip install --upgrade scipy"'),
        ("Haswell", AVX512, "of SciPy", "Haswell", "has AVX-512: unset OPENBLAS_CORETYPE, which is Haswell"),
        ("Sandybridge", AVX2, "of SciPy", "", "has AVX2: set OPENBLAS_CORETYPE=Haswell before Python starts"),
    ],
)
def test_a_slow_kernel_is_said_with_its_cure(monkeypatch, kernel, flags, origin, coretype, advice):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if coretype:
        monkeypatch.setenv("OPENBLAS_CORETYPE", coretype)
    blas = Blas(origin=origin, library=Kernel(kernel))
    assert blas.name == f"OpenBLAS 0.3.21 ({kernel}, {origin})"
    found = kernel_advice(blas, flags)
    assert advice in found and bool(advice) == bool(found)


def test_records_name_library_version_kernel_and_origin():
    assert versions()["blas"] == blas_name()
    kernel = blas_module.current_blas().kernel
    assert kernel in blas_name()
