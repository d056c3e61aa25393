"""Files of torch.save, written here by hand: formats, views, and what must be refused."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from torch_pickles import Call, Named, Stored, dumps, stream_file, tensor, zip_file

from pygan.errors import InputError
from pygan.interop.restricted_pickle import Record, read_pickle, resolve
from pygan.interop.torch_file import load_torch, read_torch, torch_globals

NUMBERS = np.arange(24, dtype=np.float32) / 7
MATRIX = ("FloatStorage", "0", 24)


@pytest.fixture(params=["zip", "stream"])
def write(request: pytest.FixtureRequest) -> Callable[[Any, np.ndarray], bytes]:
    """Writes an object with one storage, "0", in either format."""
    if request.param == "zip":
        return lambda value, data: zip_file(value, {"0": data.tobytes()})
    return lambda value, data: stream_file(value, {"0": (data.size, data.tobytes())})


def test_views_keep_shape_strides_and_memory(write: Any) -> None:
    storage = Stored(*MATRIX)
    value = OrderedDict(
        whole=tensor(storage, 0, (4, 6), (6, 1)),
        columns=tensor(storage, 1, (3, 4), (2, 6)),
        row=Call("torch._utils._rebuild_parameter", tensor(storage, 6, (6,), (1,)), True, {}),
        same=tensor(storage, 5, (2, 3), (0, 0)),
        empty=tensor(storage, 0, (0, 3), (3, 1)),
        number=tensor(storage, 23, (), ()),
    )
    got = load_torch(write({"model": value, "step": 3}, NUMBERS), "x")
    matrix = NUMBERS.reshape(4, 6)
    assert list(got) == ["model", "step"]
    assert got["step"] == 3
    arrays = got["model"]
    assert list(arrays) == list(value)
    np.testing.assert_array_equal(arrays["whole"], matrix)
    np.testing.assert_array_equal(arrays["columns"], matrix[:, 1::2].T)
    np.testing.assert_array_equal(arrays["row"], matrix[1])
    np.testing.assert_array_equal(arrays["same"], np.full((2, 3), matrix[0, 5]))
    assert arrays["empty"].shape == (0, 3)
    assert arrays["number"].shape == ()
    assert arrays["number"] == matrix[3, 5]
    assert np.shares_memory(arrays["whole"], arrays["columns"])
    assert not arrays["whole"].flags.writeable


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", "f8"),
        ("HalfStorage", "f2"),
        ("LongStorage", "i8"),
        ("IntStorage", "i4"),
        ("ShortStorage", "i2"),
        ("CharStorage", "i1"),
        ("ByteStorage", "u1"),
        ("BoolStorage", "?"),
        ("ComplexFloatStorage", "c8"),
    ],
)
def test_dtypes(kind: str, dtype: str, write: Any) -> None:
    values = np.array([0, 1, 3, 100]).astype(dtype)
    got = load_torch(write([tensor(Stored(kind, "0", 4), 0, (4,), (1,))], values), "x")[0]
    assert got.dtype == values.dtype
    np.testing.assert_array_equal(got, values)


def test_bfloat16_is_widened_exactly(write: Any) -> None:
    values = np.array([1.0, -2.5, 3.140625, 1e38], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    value = tensor(Stored("BFloat16Storage", "0", 4), 0, (4,), (1,))
    got = load_torch(write(value, bits), "x")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, (bits.astype(np.uint32) << 16).view(np.float32))


def test_tensors_of_untyped_storages_name_their_dtype() -> None:
    storage = Stored("storage.UntypedStorage", "0", 16)
    args = (storage, 1, (3,), (1,), False, {}, Named("torch.int32"))
    value = Call("torch._utils._rebuild_tensor_v3", *args)
    data = np.array([5, 6, 7, 8], np.int32)
    got = load_torch(zip_file(value, {"0": data.tobytes()}), "x")
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, [6, 7, 8])


def test_big_endian_files() -> None:
    value = tensor(Stored(*MATRIX), 0, (24,), (1,))
    data = NUMBERS.astype(">f4").tobytes()
    for file in (
        zip_file(value, {"0": data}, byteorder=b"big"),
        stream_file(value, {"0": (24, data)}, little=False),
    ):
        np.testing.assert_array_equal(load_torch(file, "x"), NUMBERS)


def test_numpy_numbers_and_arrays_among_tensors(tmp_path: Path) -> None:
    value = {
        "array": np.arange(6.0).reshape(2, 3).T,
        "number": np.float32(2.5),
        "words": [None, True, ("a", b"b", b"", bytearray(b"c")), {1, 2}, 1j],
    }
    path = tmp_path / "plain.pkl"
    for protocol in range(6):
        path.write_bytes(pickle.dumps(value, protocol))
        got = read_pickle(path)
        np.testing.assert_array_equal(got["array"], value["array"])
        assert got["number"] == np.float32(2.5)
        assert got["words"] == value["words"]


def test_tensors_pickled_on_their_own(tmp_path: Path) -> None:
    inner = stream_file(Stored(*MATRIX), {"0": (24, NUMBERS.tobytes())})
    storage = Call("torch.storage._load_from_bytes", inner)
    path = tmp_path / "nested.pkl"
    args = (storage, 2, (3,), (1,), False, {})
    path.write_bytes(dumps(Call("torch._utils._rebuild_tensor_v2", *args)))
    np.testing.assert_array_equal(read_pickle(path, torch_globals()), NUMBERS[2:5])


def test_allowed_names_are_replaced() -> None:
    value = {
        "args": Call("argparse.Namespace", state={"size": 256, "w": Stored(*MATRIX)}),
        "made": Call("some.where", 3, 4),
    }
    data = zip_file(value, {"0": NUMBERS.tobytes()})
    allow = {
        ("argparse", "Namespace"): Record.of("argparse", "Namespace"),
        ("some", "where"): lambda a, b: a + b,
    }
    got = load_torch(data, "x", allow)
    assert got["made"] == 7
    assert got["args"].name == "argparse.Namespace"
    assert got["args"].state["size"] == 256
    np.testing.assert_array_equal(got["args"].state["w"], NUMBERS)


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "torch.nn.Linear", "numpy.load", "builtins.getattr"]
)
def test_other_names_are_refused(name: str, write: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    data = write({"a": Call(name, f"touch {victim}")}, NUMBERS)
    with pytest.raises(InputError, match=name.replace(".", r"\.")) as caught:
        load_torch(data, "file.pth")
    assert str(caught.value).startswith("file.pth: ")
    assert not victim.exists()


def global_of(name: str) -> bytes:
    module, _, attribute = name.rpartition(".")
    return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02](K\x01K\x02eR.",  # calls a list
        b"\x80\x02" + global_of("collections.OrderedDict") + b"}b.",  # state of a global
        b"\x80\x02" + global_of("collections.OrderedDict") + b"K\x01a.",  # appends to a global
        b"\x80\x02" + global_of("collections.OrderedDict") + b")}\x92.",  # keyword arguments
        b"\x80\x02\x82\x01.",  # the extension registry
        b"\x80\x02U\x01aQ.",  # a persistent id
        b"\x80\x02]q\x00h\x00a.",  # a list that contains itself
        b"\x80\x02" + b"](" * 200 + b"e" * 200 + b".",
        b"\x80\x02]q\x00" + b"(h\x00h\x00lq\x00" * 90 + b".",  # 2^90 leaves, if it were expanded
        b"\x80\x02",
        b"\x80\x09N.",
        b"\x80\x02h\x07.",
        b"\x80\x02}]Ns.",  # a key that cannot be hashed
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # claims 2^63 bytes
        b"",
        b"\x00\xff",
    ],
)
def test_hostile_and_damaged_pickles(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(program)
    with pytest.raises(InputError, match=r"bad\.pkl: "):
        read_pickle(path)


DEEP = b")" + b"\x85" * 150000  # a tuple in a tuple ...: hashing it overflows the stack


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}" + DEEP + b"Ns.",
        b"\x80\x02}(" + DEEP + b"Nu.",
        b"\x80\x02(" + DEEP + b"Nd.",
        b"\x80\x04\x8f(" + DEEP + b"\x90.",
        b"\x80\x04(" + DEEP + b"\x91.",
        b"\x80\x02" + global_of("builtins.set") + b"](" + DEEP + b"e\x85R.",
        b"\x80\x02" + global_of("builtins.frozenset") + b"](" + DEEP + b"e\x85R.",
        b"\x80\x02" + global_of("collections.OrderedDict") + b"](" + DEEP + b"N\x86e\x85R.",
        b"\x80\x02" + global_of("numpy.dtype") + DEEP + b"\x85R.",
    ],
)
def test_no_deep_tuple_is_hashed_or_printed(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "deep.pkl"
    path.write_bytes(program)
    with pytest.raises(InputError, match=r"deep\.pkl: "):
        read_pickle(path)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("builtins.bytearray", b"x" * 1000),
        ("builtins.set", list(range(1000))),
        ("collections.OrderedDict", dict.fromkeys(range(1000))),
        ("torch.storage._load_from_bytes", stream_file(list(range(300)), {})),
    ],
)
def test_copies_without_end_are_refused(name: str, argument: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    made = dumps(argument)[:-1] + b"q\x00"
    for copies, accepted in ((20, True), (20000, False)):
        again = global_of(name) + b"h\x00\x85R"
        path.write_bytes(b"\x80\x02(" + made[2:] + again * copies + b"t.")
        if accepted:
            assert len(read_pickle(path, torch_globals())) == copies + 1
        else:
            with pytest.raises(InputError, match="copies far more than the file holds"):
                read_pickle(path, torch_globals())


def test_arrays_of_one_long_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    text = "x" * 10000
    begin = global_of("numpy.core.multiarray._reconstruct") + b"(NNNtR(K\x01K\x01"
    array = begin + global_of("numpy.dtype") + b"X\x02\x00\x00\x00u1\x85R\x89h\x00tb"
    program = b"\x80\x02(" + dumps(text)[2:-1] + b"q\x00" + array * 5000 + b"t."
    path.write_bytes(program)
    with pytest.raises(InputError, match="copies far more than the file holds"):
        read_pickle(path)


def test_flat_keys_are_allowed(tmp_path: Path) -> None:
    value = {1: "a", ("b", 2): {3, ("c", None)}, None: frozenset([1.5]), "d": {b"e"}}
    path = tmp_path / "keys.pkl"
    for protocol in range(6):
        path.write_bytes(pickle.dumps(value, protocol))
        assert read_pickle(path) == value


def test_what_is_no_file_of_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file"):
        read_pickle(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a file"):
        read_torch(tmp_path)
    huge = tmp_path / "huge.pt"
    with huge.open("wb") as file:
        file.truncate(9 << 30)  # takes no space
    with pytest.raises(InputError, match="is larger than 8 GiB"):
        read_torch(huge)


def test_shared_parts_are_resolved_once() -> None:
    value: Any = [1]
    for _ in range(50):
        value = [value, value]
    got = resolve(value, "x")
    for _ in range(50):
        assert got[0] is got[1]
        got = got[0]
    assert got == [1]


@pytest.mark.parametrize(
    "bad",
    [
        tensor(Stored(*MATRIX), 0, (5, 6), (6, 1)),
        tensor(Stored(*MATRIX), 1, (24,), (1,)),
        tensor(Stored(*MATRIX), -1, (2,), (1,)),
        tensor(Stored(*MATRIX), 23, (2,), (-1,)),
        tensor(Stored(*MATRIX), 0, (2, 3), (1,)),
        tensor(Stored(*MATRIX), 0, (1 << 40, 1 << 40), (0, 0)),
        tensor(Stored("FloatStorage", "0", 25), 0, (2,), (1,)),
        tensor(Stored("FloatStorage", "0", -1), 0, (2,), (1,)),
        tensor(Stored("FloatStorage", "1", 24), 0, (2,), (1,)),
        Call("torch._utils._rebuild_tensor_v2", 3, 0, (2,), (1,), False, {}),
        Call("torch._utils._rebuild_tensor_v2"),
        Call("torch.FloatStorage", 8),
    ],
)
def test_tensors_that_do_not_fit_their_storage(bad: Any, write: Any) -> None:
    with pytest.raises(InputError, match=r"^x: "):
        load_torch(write({"weight": bad}, NUMBERS), "x")


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    script = zip_file({}, {}, constants_pkl=b"", code=b"")
    with pytest.raises(InputError, match="TorchScript"):
        load_torch(script, "x")
    path = tmp_path / "x.npz"
    np.savez(path, a=NUMBERS)
    with pytest.raises(InputError, match=r"not one that torch\.save wrote"):
        read_torch(path)
    with pytest.raises(InputError, match="not a file of weights"):
        load_torch(b"<html>404</html>", "x")
    with pytest.raises(InputError, match="not a file of weights"):
        load_torch(dumps({"a": 1}), "x")
    with pytest.raises(InputError, match="cannot be read"):
        read_torch(tmp_path / "missing.pth")


def test_every_truncation_is_noticed(write: Any) -> None:
    data = write({"w": tensor(Stored(*MATRIX), 0, (4, 6), (6, 1))}, NUMBERS)
    for length in range(0, len(data), 7):
        with pytest.raises(InputError):
            load_torch(data[:length], "x")


def test_damaged_bytes_never_raise_anything_else(write: Any) -> None:
    data = write({"w": tensor(Stored(*MATRIX), 0, (4, 6), (6, 1)), "n": np.arange(3)}, NUMBERS)
    random = np.random.RandomState(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for place in random.randint(0, len(data), 3):
            damaged[place] = random.randint(256)
        try:
            load_torch(bytes(damaged), "x")
        except InputError:
            refused += 1
    assert refused > 50
