"""Models in files: saved and loaded they are equal bit for bit; a damaged file is refused with the reason."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx.utils import tree_flatten

from ncps_mlx import LTC, AutoNCP, CfC, load

# Private: saving what is not a model, and how members lie in a population.
from ncps_mlx.models._serialization import save
from ncps_mlx.training._population import stack_parameters

B, T, D, H, U = 5, 7, 3, 11, 13
DTYPES = [mx.float32, mx.float16, mx.bfloat16]


def make(cls=CfC, **settings):
    return cls(**{"input_size": 2, "hidden_size": 3, "backbone_units": 4, "seed": 0, **settings})


def parameters(model):
    return dict(tree_flatten(model.parameters()))


def parts(path):
    """The header, as Python has it, and the bytes of the arrays."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    make().save(path)
    return path


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (CfC, {"mode": "pure", "num_layers": 2, "residual": True, "output_size": 2, "backbone_dropout": 0.3}),
        (CfC, {"initializer": "he_normal", "seed": None, "return_sequences": False}),
        (LTC, {"time_constant_range": (0.2, 0.5), "backbone_layers": 2, "activation": "sigmoid"}),
    ],
)
def test_a_round_trip_is_bit_equal(tmp_path, cls, arguments, dtype):
    model = cls(D, H, **{"backbone_units": U, **arguments}).eval()
    model.set_dtype(dtype)
    model.save(tmp_path / "model.safetensors")
    twin = load(tmp_path / "model.safetensors").eval()
    assert type(twin) is cls and twin.config == model.config
    mine, read = parameters(model), parameters(twin)
    assert mine.keys() == read.keys()
    for name, array in mine.items():
        assert read[name].dtype == dtype and mx.array_equal(read[name], array).item(), name
    x = mx.random.normal((B, T, D), key=mx.random.key(0)).astype(dtype)
    assert mx.array_equal(twin(x)[0], model(x)[0]).item()


def test_values_that_are_not_finite_survive(tmp_path):
    model = make()
    model.layers[0].backbone.bias = mx.array([np.nan, np.inf, -np.inf, -0.0])
    model.save(tmp_path / "model")
    bits = load(tmp_path / "model").layers[0].backbone.bias.view(mx.uint32)
    assert mx.array_equal(bits, model.layers[0].backbone.bias.view(mx.uint32)).item()


def test_a_callable_initializer_is_stored_as_none(tmp_path):
    model = make(initializer=nn.init.constant(0.5))
    model.save(tmp_path / "model")
    twin = load(tmp_path / "model")
    assert twin.config == {**model.config, "initializer": None}
    assert mx.all(twin.layers[0].backbone.input_weight == 0.5).item()


def test_numbers_of_numpy_are_stored_as_numbers(tmp_path):
    model = make(hidden_size=np.int64(3), backbone_dropout=np.float32(0.25))
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").config == model.config


@pytest.mark.parametrize(
    "arguments",
    [
        {"hidden_size": 3, "time_constant_range": [0.2, 0.5]},
        {"wiring": AutoNCP(8, 2), "initial_ranges": {"slope": [3, 8]}},
    ],
)
def test_pairs_may_be_lists(tmp_path, arguments):
    model = LTC(2, **arguments, seed=0)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").config == model.config


def test_a_model_keeps_the_ranges_it_began_with(tmp_path):
    """What becomes of the dictionary it was given does not matter."""
    ranges = {"slope": (3.0, 8.0)}
    model = LTC(2, wiring=AutoNCP(8, 2), initial_ranges=ranges, seed=0)
    ranges["slope"] = ranges["leak"] = (1.0, 2.0)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").config["initial_ranges"] == {"slope": (3.0, 8.0)}


def test_the_name_is_taken_as_it_is(tmp_path):
    for name in ("model", "model.bin", "größe 1.safetensors"):
        make().save(tmp_path / name)
        load(str(tmp_path / name))
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model.bin", "größe 1.safetensors"}


def test_a_link_stays_a_link(tmp_path, file):
    link = tmp_path / "newest"
    link.symlink_to(file)
    make(seed=1).save(link)
    assert link.is_symlink()
    weight = load(file).layers[0].backbone.input_weight
    assert mx.array_equal(weight, make(seed=1).layers[0].backbone.input_weight).item()


def test_permissions_stay(file):
    file.chmod(0o600)
    make(seed=1).save(file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_other_readers_of_safetensors_can_read_it(file):
    arrays, metadata = mx.load(str(file), return_metadata=True)
    assert arrays.keys() == parameters(make()).keys()
    assert json.loads(metadata["ncps_mlx.config"])["hidden_size"] == 3


def test_equal_models_make_equal_files(tmp_path, file):
    make().save(tmp_path / "again")
    assert file.read_bytes() == (tmp_path / "again").read_bytes()


def test_the_global_stream_stays_where_it_is(tmp_path):
    make(seed=None).save(tmp_path / "model")
    before = mx.random.state[0].tolist()
    make(seed=1).save(tmp_path / "model")
    load(tmp_path / "model")
    load(tmp_path / "model").save(tmp_path / "model")
    assert mx.random.state[0].tolist() == before


def test_only_models_are_saved(tmp_path):
    class Mine(CfC):
        """A class that load could not find."""

    with pytest.raises(ValueError, match="model must be of a class at the top of a module to be found again, got"):
        save(Mine(2, 3), tmp_path / "model")
    with pytest.raises(ValueError, match="arguments must say what Linear was built with"):
        save(nn.Linear(2, 3), tmp_path / "model")
    with pytest.raises(ValueError, match="arguments must be left out for a CfC"):
        save(make(), tmp_path / "model", {})
    with pytest.raises(ValueError, match=r"model must be a model of this library or an mlx\.nn\.Module, got dict"):
        save({}, tmp_path / "model")
    model = make()
    model.update(stack_parameters([make(seed=1), make(seed=2)]))
    with pytest.raises(ValueError, match="model must hold the parameters of its configuration to be saved"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_file_truncated_at_any_byte_is_refused(file):
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"is truncated|is not a safetensors file") as caught:
            load(file)
        assert str(file) in str(caught.value)
    file.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="has too many bytes"):
        load(file)


def refusal(path):
    """Why the file is refused, if it is."""
    try:
        load(path)
    except ValueError as error:
        return str(error)
    return None


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_header_loads_or_is_refused(data):
    """No matter which bytes change, the only error is a ValueError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        make().save(path)
        content = bytearray(path.read_bytes())
        end = 8 + int.from_bytes(content[:8], "little")
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, end - 1))
            content[place] = data.draw(st.sampled_from(b'0123459{}[]",:-.eE \0\xff') | st.integers(0, 255))
        path.write_bytes(content)
        error = refusal(path)
        assert error is None or str(path) in error


def test_files_of_other_programs_are_refused(tmp_path):
    path = tmp_path / "model"
    mx.save_safetensors(str(path) + ".safetensors", {"w": mx.zeros((2,))}, {"format": "mlx"})
    path.with_suffix(".safetensors").rename(path)
    with pytest.raises(ValueError, match="was not written by save"):
        load(path)
    for content in (
        b"",
        b"{}",
        b"hello, world: not a model",
        b"PK\3\4" + bytes(60),
        b"\x89HDF\r\n\x1a\n" * 9,
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a safetensors file"):
            load(path)
    for header in (b"{", b"{not json}", b'{"a":' * 100_000, b'{"__metadata__": 3}', b"{}", b'{"w": 3}'):
        write(path, header, b"")
        with pytest.raises(ValueError, match=r"header that does not make sense|was not written by save"):
            load(path)
    with pytest.raises(ValueError, match=r"got the folder"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"got the folder"):
        make().save(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no file to load a model from"):
        load(tmp_path / "none")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load("model")
    assert not Path("exploded").exists()


def change(key, value):
    def edit(header):
        header["__metadata__"][f"ncps_mlx.{key}"] = value

    return edit


def configure(**values):
    def edit(header):
        config = json.loads(header["__metadata__"]["ncps_mlx.config"])
        for name, value in values.items():
            config[name] = value
            if value is ...:
                del config[name]
        header["__metadata__"]["ncps_mlx.config"] = json.dumps(config)

    return edit


def rename(old, new):
    def edit(header):
        header[new] = header.pop(old)

    return edit


def reshape(name, **entry):
    def edit(header):
        header[name].update(entry)

    return edit


BIAS, DECAY = "layers.0.backbone.bias", "layers.0.backbone.biases.0"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("format", "3"), r"is of format '3', .*this version reads formats up to 2. Upgrade ncps-mlx"),
        (change("class", "RNN"), "must hold a CfC or a .*, got 'RNN'"),
        (change("class", "LTC"), "bad configuration: config must hold the arguments of LTC, got unknown"),
        (change("class", 3), "was not written by save"),
        (change("config", "{"), "has a bad configuration"),
        (change("config", "[3]"), "config must be a dictionary"),
        (configure(hidden_size="wide"), "bad configuration: hidden_size must be an integer, got 'wide'"),
        (configure(input_size=...), "config must hold the arguments of CfC, .* missing \\['input_size'\\]"),
        (configure(flux=1), "got unknown \\['flux'\\]"),
        (configure(hidden_size=4), "does not hold the parameters of its configuration: .* of shape"),
        (configure(mode="pure"), "parameters of its configuration: lacks layers.0.amplitude, layers.0.decay"),
        (
            rename(BIAS, "layers.0.backbone.gain"),
            "lacks layers.0.backbone.bias; has unknown layers.0.backbone.gain",
        ),
        (reshape(BIAS, shape=[2, 2]), r"layers.0.backbone.bias of shape \(2, 2\) instead of \(4,\)"),
        (reshape(BIAS, shape=[5]), "does not make sense"),
        (reshape(BIAS, shape=[-2, -2]), "does not make sense"),
        (reshape(BIAS, dtype="I32"), "does not make sense"),
        (reshape(BIAS, data_offsets=[4, 20]), "do not follow one another"),
        (reshape(BIAS, data_offsets=[0]), "does not make sense"),
    ],
)
def test_what_does_not_fit_is_refused(file, edit, message):
    header, data = parts(file)
    edit(header)
    write(file, header, data)
    with pytest.raises(ValueError, match=message) as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_arguments_that_are_new_since_take_their_defaults(file):
    header, data = parts(file)
    configure(residual=...)(header)
    write(file, header, data)
    assert load(file).config["residual"] is False


@contextmanager
def file_size_limit(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_file(file):
    before = file.read_bytes()
    with file_size_limit(len(before) // 2), pytest.raises(OSError, match="could not be saved") as caught:
        make(seed=1).save(file)
    assert caught.value.errno == errno.EFBIG and str(file) in str(caught.value)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("point", ["fsync", "replace"])
def test_an_interruption_leaves_the_old_file(file, monkeypatch, point):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = file.read_bytes()
    monkeypatch.setattr(*((os, "fsync") if point == "fsync" else (Path, "replace")), interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(seed=1).save(file)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


@contextmanager
def without_privileges():
    """Permissions do not bind root: become another user for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


def test_a_folder_that_cannot_be_written(file):
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.safetensors"
        copy.write_bytes(file.read_bytes())
        Path(folder).chmod(0o555)
        with without_privileges(), pytest.raises(OSError, match="the file there is as it was") as caught:
            make(seed=1).save(copy)
        assert isinstance(caught.value, PermissionError) and str(copy) in str(caught.value)
        assert copy.read_bytes() == file.read_bytes() and list(Path(folder).iterdir()) == [copy]
        Path(folder).chmod(0o755)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"could not be saved .*nothing was written"):
        make().save(tmp_path / "none" / "model")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_loading_starts_no_threads_that_outlive_the_process(tmp_path):
    CfC(3, 4, seed=0).save(tmp_path / "model.safetensors")
    code = (
        "import os, sys, mlx.core as mx, ncps_mlx\n"
        "mx.eval(mx.ones(3) + 1)\n"
        "threads = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = threads(); ncps_mlx.load(sys.argv[1]); print(threads() - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.safetensors")], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "0"  # MLX's reader has four, and its process aborts at its end one time in ten
