"""What must be refused, in every format: code, depth, size, damage."""

from __future__ import annotations

import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable

import ada_pickles as ada
import numpy as np
import pytest
import rosinality_oracle
import tf_oracle as tf
from torch_pickles import Call, Stored, dumps, save_torch, stream_file, tensor

from pygan.cli import main
from pygan.errors import InputError
from pygan.interop import load

WIDTHS = [2, 2]
Build = Callable[..., bytes]


def rosinality(extra: Any = None, **change: Any) -> bytes:
    value = rosinality_oracle.random_checkpoint(0, WIDTHS)
    value["g_ema"].update(change)
    return save_torch({**value, "args": extra})


def rosinality_stream(extra: Any = None, **change: Any) -> bytes:
    """In PyTorch's older format."""
    storages: dict[str, tuple[int, bytes]] = {}

    def convert(part: Any) -> Any:
        if isinstance(part, dict):
            return OrderedDict((key, convert(item)) for key, item in part.items())
        if not isinstance(part, np.ndarray):
            return part
        array = np.ascontiguousarray(part, np.float32).reshape(part.shape)
        key = str(len(storages))
        storages[key] = (array.size, array.tobytes())
        strides = tuple(stride // 4 for stride in array.strides)
        return tensor(Stored("FloatStorage", key, array.size), 0, array.shape, strides)

    value = rosinality_oracle.random_checkpoint(0, WIDTHS)
    value["g_ema"].update(change)
    return stream_file(convert({**value, "args": extra}), storages)


def ada_pytorch(extra: Any = None, **change: Any) -> bytes:
    random = np.random.RandomState(0)
    networks = {name: ada.random_generator(random, WIDTHS, z=4, w=4) for name in ("G", "G_ema")}
    networks["G_ema"].update(change)
    networks["D"] = ada.random_discriminator(random, WIDTHS)
    return dumps({**ada.checkpoint(networks), "training_set_kwargs": extra})


def tensorflow(extra: Any = None, **change: Any) -> bytes:
    random = np.random.RandomState(0)
    g = tf.random_generator(random, WIDTHS, z=4, w=4)
    d = tf.random_discriminator(random, WIDTHS)
    return tf.save(g, d, {**g, **change}, arguments={"extra": extra})


def paddlegan(extra: Any = None, **change: Any) -> bytes:
    value = rosinality_oracle.random_checkpoint(0, WIDTHS)
    value["g_ema"].update(change)
    names = {"g": "gen", "d": "disc", "g_ema": "gen_ema"}
    parts = {names[key]: rosinality_oracle.of_paddlegan(part) for key, part in value.items()}
    return dumps({**parts, "epoch": extra})


@pytest.fixture(params=[rosinality, rosinality_stream, ada_pytorch, tensorflow, paddlegan])
def build(request: pytest.FixtureRequest) -> Build:
    return request.param


def refuse(path: Path, data: bytes, match: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InputError, match=match) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < len(str(path)) + 2000


def test_untouched_files_are_read(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "good"
    path.write_bytes(build(extra={"batch": 3}))
    assert sorted(load(path).networks) == ["D", "G", "G_ema"]


@pytest.mark.parametrize(
    "name",
    ["os.system", "posix.system", "builtins.eval", "builtins.getattr", "runpy.run_path", "a.b.c"],
)
def test_code_is_not_run_and_its_name_is_told(build: Build, name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    refuse(tmp_path / "bad", build(extra=Call(name, f"touch {victim}")), rf"names {name}, which")
    assert not victim.exists()


def test_allowed_objects_do_not_lead_to_others(build: Build, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    # A call of what a call returned; the attribute of an allowed name.
    refuse(bad, build(extra=Call("collections.OrderedDict.__class__", 1)), "which is not among")
    for state in ({"__reduce__": 1}, [1], ({"a": 1}, {"b": 2})):
        bad.write_bytes(build(extra=Call("collections.OrderedDict", state=state)))
        load(bad)  # the state of a container is ignored, whatever it is


def test_deep_nests_are_refused(build: Build, tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(90):
        deep = [deep]
    refuse(tmp_path / "bad", build(extra=deep), "nested more than 64 deep")


def test_every_truncation_is_noticed(build: Build, tmp_path: Path) -> None:
    data = build()
    for length in np.linspace(0, len(data) - 1, 25).astype(int):
        refuse(tmp_path / "bad", data[:length], "bad: ")


def test_damage_never_raises_anything_else(build: Build, tmp_path: Path) -> None:
    data = build()
    random = np.random.RandomState(0)
    path = tmp_path / "bad"
    refused = 0
    for _ in range(40):
        damaged = bytearray(data)
        for place in random.randint(0, len(data), 20):
            damaged[place] = random.randint(256)
        path.write_bytes(bytes(damaged))
        try:
            load(path)
        except InputError:
            refused += 1
    assert refused > 10


# A weight by the names of each format, and what makes a square one of its layers.
WEIGHTS = {
    rosinality: "conv1.conv.weight",
    rosinality_stream: "conv1.conv.weight",
    ada_pytorch: "synthesis.b4.conv1.weight",
    tensorflow: "4x4/Conv/weight",
    paddlegan: "conv1.conv.weight",
}


def test_small_files_cannot_ask_for_large_networks(build: Build, tmp_path: Path) -> None:
    for shape in ((1, 1 << 20, 1, 1, 1), (1 << 20, 1, 1, 1), (1, 1, 1, 1 << 20), (1 << 20,)):
        began = time.monotonic()
        data = build(**{WEIGHTS[build]: np.zeros(shape, np.float32)})
        refuse(tmp_path / "bad", data, "bad: ")
        assert time.monotonic() - began < 20  # rather than hours, or no memory


@pytest.mark.parametrize(
    ("network", "shapes", "told"),
    [
        (
            "g_ema",
            {
                "conv1.conv.weight": (1, 1 << 20, 1, 1, 1),
                "convs.1.conv.weight": (1, 1 << 20, 1, 1, 1),
            },
            r"conv1.weight has shape \[1048576, 1, 1, 1\], not \[1048576, 1048576, 3, 3\]",
        ),
        ("g_ema", {"conv1.conv.modulation.weight": (2, 1 << 20)}, "codes of 1048576 numbers"),
        ("g_ema", {"style.2.weight": (1 << 20, 1)}, r"not \[12, 12\]"),
        ("d", {"final_linear.0.weight": (1 << 20, 1)}, r"not \[1048576, 16777216\]"),
        ("d", {"convs.1.conv1.0.weight": (1 << 20, 1, 1, 1)}, r"not \[1048576, 1048576, 3, 3\]"),
    ],
)
def test_each_size_is_backed_by_an_array(
    network: str, shapes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    arrays = rosinality_oracle.random_checkpoint(0, WIDTHS)[network]
    arrays.update({key: np.zeros(shape, np.float32) for key, shape in shapes.items()})
    value = {network: arrays}
    if network == "d":  # which alone would not be recognised
        value["g"] = rosinality_oracle.random_checkpoint(0, WIDTHS)["g"]
    refuse(tmp_path / "bad", save_torch(value), told)


def test_arrays_that_repeat_few_numbers(tmp_path: Path) -> None:
    number = Stored("FloatStorage", "0", 1)
    wide = tensor(number, 0, (1, 1 << 12, 1 << 12, 3, 3), (0, 0, 0, 0, 0))
    value = {"g_ema": {"input.input": wide}}
    refuse(tmp_path / "bad", stream_file(value, {"0": (1, bytes(4))}), "larger than the file")
    array = np.zeros(1000, np.float32)
    many = {"gen_ema": {"input.input": array, **{f"convs.{i}.x": array for i in range(99)}}}
    refuse(tmp_path / "bad", dumps(many), "larger than the file")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, np.complex64),
        np.array(["a", "b"]),
        np.zeros(2, bool),
    ],
)
def test_arrays_of_other_things_than_numbers(array: np.ndarray, tmp_path: Path) -> None:
    refuse(tmp_path / "bad", paddlegan(**{"conv1.activate.bias": array}), "not real numbers")


def test_weights_that_are_not_finite(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad"
    name = WEIGHTS[build]
    good = {rosinality: (1, 2, 2, 3, 3), rosinality_stream: (1, 2, 2, 3, 3)}
    shape = good.get(build, {ada_pytorch: (2, 2, 3, 3), tensorflow: (3, 3, 2, 2)}.get(build))
    path.write_bytes(build(**{name: np.full(shape or (1, 2, 2, 3, 3), np.nan, np.float32)}))
    capsys.readouterr()
    assert main(["import", str(path), str(tmp_path / "run")]) == 2
    assert "not finite" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_messages_stay_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad"
    path.write_bytes(rosinality(**{f"extra{i}.weight": np.zeros(1) for i in range(500)}))
    capsys.readouterr()
    assert main(["import", str(path), str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "no use for extra0, extra1" in error
    assert len(error) < 1000
