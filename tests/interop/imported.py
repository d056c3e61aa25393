"""Networks that `pygan import` saved, built anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle

from pygan.apps.sample import load_model
from pygan.cli import main
from pygan.training import checkpoint
from pygan.training.state import load_arrays


def import_run(path: Path, out: Path, *words: str) -> Path:
    assert main(["import", str(path), str(out), *words]) == 0
    return out


class Imported:
    """What a run holds: ``generate(z)`` of G_ema (or G), ``judge(images)`` of D."""

    def __init__(self, run: Path) -> None:
        self.model = load_model(run)
        self.saved = checkpoint.find(run, print)

    def network(self, name: str) -> Any:
        model = self.model
        network = model.algorithm.build(name.partition("_")[0], model.config, model.data)
        load_arrays(network, self.saved.arrays(name), self.saved.path)
        return network

    @paddle.no_grad()
    def generate(
        self, z: np.ndarray, name: str = "G_ema", labels: Any = None, **options: Any
    ) -> np.ndarray:
        c = None if labels is None else paddle.to_tensor(np.asarray(labels))
        z = paddle.to_tensor(z.astype(np.float32))
        return self.network(name)(z, c, noise="const", **options).numpy()

    @paddle.no_grad()
    def judge(self, images: np.ndarray, labels: Any = None) -> np.ndarray:
        c = None if labels is None else paddle.to_tensor(np.asarray(labels))
        return self.network("D")(paddle.to_tensor(images.astype(np.float32)), c).numpy()
