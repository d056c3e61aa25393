"""Checkpoints of PaddleGAN, written by Paddle itself, against numpy on rosinality's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import rosinality_oracle as oracle
from imported import Imported, import_run

from pygan.errors import InputError
from pygan.interop import load

WIDTHS = [10, 10, 8]  # at 4 x 4, 8 x 8 and 16 x 16
Z = np.random.RandomState(1).randn(4, 12)


def there(arrays: oracle.Arrays) -> dict[str, Any]:
    """A state dict as PaddleGAN has it."""
    plain = oracle.of_paddlegan(arrays)
    return {key: paddle.to_tensor(array.astype(np.float32)) for key, array in plain.items()}


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return float(np.abs(got - expected).max()) < 1e-4 * max(1, float(np.abs(expected).max()))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_checkpoint_of_training(protocol: int, tmp_path: Path) -> None:
    checkpoint = oracle.random_checkpoint(0, WIDTHS)
    names = {"g": "gen", "d": "disc", "g_ema": "gen_ema"}
    value: dict[str, Any] = {names[key]: there(part) for key, part in checkpoint.items()}
    layer = paddle.nn.Linear(2, 2)
    adam = paddle.optimizer.Adam(parameters=layer.parameters())
    value.update(epoch=3, optimG=adam.state_dict())
    paddle.save(value, str(tmp_path / "iter_3.pdparams"), protocol=protocol)
    imported = Imported(import_run(tmp_path / "iter_3.pdparams", tmp_path / "run"))
    images = oracle.generator(checkpoint["g_ema"], Z)
    assert close(imported.generate(Z), images)
    assert close(imported.generate(Z, "G"), oracle.generator(checkpoint["g"], Z))
    assert close(imported.judge(images), oracle.discriminator(checkpoint["d"], images))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_generator_that_was_published(protocol: int, tmp_path: Path) -> None:
    arrays = oracle.random_generator(np.random.RandomState(0), WIDTHS)
    paddle.save(there(arrays), str(tmp_path / "stylegan2.pdparams"), protocol=protocol)
    foreign = load(tmp_path / "stylegan2.pdparams")
    assert foreign.format == "PaddleGAN"
    assert list(foreign.networks) == ["G_ema"]
    imported = Imported(import_run(tmp_path / "stylegan2.pdparams", tmp_path / "run"))
    assert close(imported.generate(Z), oracle.generator(arrays, Z))


def test_other_files_of_paddle(tmp_path: Path) -> None:
    path = tmp_path / "linear.pdparams"
    paddle.save(paddle.nn.Linear(2, 2).state_dict(), str(path))
    with pytest.raises(InputError, match="no checkpoint that pygan knows; it is a dict of weig"):
        load(path)
