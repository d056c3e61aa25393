"""Loading the compiled operators: what is refused, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import paddle
import pytest

from pygan.ops import _native, label_conv2d

pytestmark = pytest.mark.usefixtures("needs_native")


def test_library_of_another_version_of_pygan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "_TEXTS", ("no_such_function",))
    with pytest.raises(RuntimeError, match=r"another version of pygan .*pip install"):
        _native._load()


@pytest.mark.parametrize(
    ("stamp", "message"),
    [
        (None, "is missing or damaged"),
        ("{", "is missing or damaged"),
        (json.dumps({"paddle": "1.8.5"}), f"built for Paddle 1.8.5, .* {paddle.__version__}"),
    ],
)
def test_library_for_an_unknown_or_another_paddle_is_refused(
    stamp: Optional[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_C.so").write_bytes(b"")
    if stamp is not None:
        (tmp_path / "_C.json").write_text(stamp)
    monkeypatch.setattr(_native, "_PACKAGE", tmp_path)
    with pytest.raises(RuntimeError, match=message):
        _native._load()


def test_missing_library_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_native, "_PACKAGE", tmp_path)
    with pytest.raises(RuntimeError, match="not installed"):
        _native._load()


def test_an_operator_without_cuda_kernels_takes_its_reference_on_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_native, "on_gpu", lambda x: True)
    monkeypatch.setattr(_native, "_warned", set())
    maps = paddle.to_tensor([[[1, 0], [0, 1]]], dtype="int32")
    weight = paddle.to_tensor([[[[2.0]], [[3.0]]]])
    with pytest.warns(UserWarning, match="no CUDA kernels yet"):
        y = label_conv2d(maps, weight)
    assert y.tolist() == [[[[3, 2], [2, 3]]]]
    with pytest.raises(RuntimeError, match="no CUDA kernels yet"):
        label_conv2d(maps, weight, impl="native")
