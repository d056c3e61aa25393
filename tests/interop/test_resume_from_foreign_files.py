"""`pygan train --resume FILE` with files of other projects: what is taken, and what is told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ada_pickles as ada
import numpy as np
import pytest
import tf_oracle as tf
from imported import Imported, import_run
from torch_pickles import dumps

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from shapes import write_shapes

from pygan.cli import main

WIDTHS = [8, 8, 6]  # at 4 x 4, 8 x 8 and 16 x 16


def networks(classes: int = 0) -> dict[str, ada.Arrays]:
    random = np.random.RandomState(0)
    return {
        "G": ada.random_generator(random, WIDTHS, "resnet", classes),
        "D": ada.random_discriminator(random, WIDTHS, "skip", classes),
        "G_ema": ada.random_generator(random, WIDTHS, "resnet", classes),
    }


def train(file: Path, out: Path, size: int, *words: str) -> int:
    data = write_shapes(out.parent / f"shapes{size}", count=8, size=size)
    command = ["train", "stylegan2", "--data", str(data), "--out", str(out), "--resume", str(file)]
    return main([*command, "--batch", "2", "--kimg", "0.002", "--grid", "2x2", *words])


def log_of(run: Path) -> str:
    return (run / "log.txt").read_text()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    random = np.random.RandomState(0)
    g = tf.random_generator(random, WIDTHS)
    contents: dict[str, Any] = {
        "plain.pkl": dumps(ada.checkpoint(networks())),
        "classes.pkl": dumps(ada.checkpoint(networks(classes=4))),
        "tf.pkl": tf.save(g, tf.random_discriminator(random, WIDTHS), g),
        "stylegan3.pkl": dumps(ada.checkpoint({"G_ema": {"synthesis.input.freqs": np.zeros(3)}})),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}


def test_everything_is_taken_where_the_networks_agree(
    files: dict[str, Path], tmp_path: Path
) -> None:
    assert train(files["plain.pkl"], tmp_path / "run", 16, "--resume-strict") == 0
    model = Imported(tmp_path / "run").model
    assert (model.config.g_architecture, model.config.d_architecture) == ("resnet", "skip")
    assert (model.config.z_dim, model.config.w_dim, model.config.mapping_layers) == (10, 12, 2)
    log = log_of(tmp_path / "run")
    assert "afresh" not in log
    assert "no use" not in log
    # One step of an average that remembers thousands of images moves nothing far.
    got = model.networks["G"].state_dict()["synthesis.b8.conv0.weight"].numpy()
    expected = networks()["G_ema"]["synthesis.b8.conv0.weight"]
    assert np.abs(got - expected).max() < 0.01


def test_labels_that_came_or_went_are_told(files: dict[str, Path], tmp_path: Path) -> None:
    assert train(files["classes.pkl"], tmp_path / "without", 16) == 0
    log = log_of(tmp_path / "without")
    assert "the weights are for 4 classes, this run has none" in log
    assert "G starts afresh in mapping.fc0.weight ([12, 10] here, [12, 22] there)" in log
    assert "D has no use for mapping.embed" in log
    assert train(files["plain.pkl"], tmp_path / "with", 16, "--conditional") == 0
    log = log_of(tmp_path / "with")
    assert "the weights are for no classes, this run has 4" in log
    assert "G starts afresh in mapping.embed: not there" in log


def test_another_resolution_takes_what_they_share(files: dict[str, Path], tmp_path: Path) -> None:
    assert train(files["tf.pkl"], tmp_path / "run", 32) == 0
    log = log_of(tmp_path / "run")
    assert "G starts afresh in synthesis.b32.conv0" in log
    assert "D starts afresh in b32.fromrgb" in log
    assert "D has no use for b16.fromrgb" in log


def test_strict_and_impossible_ones_are_errors(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert train(files["classes.pkl"], tmp_path / "run", 16, "--resume-strict") == 2
    assert "--resume-strict: " in capsys.readouterr().err
    assert train(files["stylegan3.pkl"], tmp_path / "run", 16) == 2
    assert "StyleGAN3, which pygan does not have" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_imported_runs_go_on_with_images_of_their_kind(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = import_run(files["classes.pkl"], tmp_path / "run")
    for count, size, told in ((8, 32, "has 32 x 32 images"), (3, 16, "channels in 3 classes")):
        data = write_shapes(tmp_path / f"{count}-{size}", count=count, size=size)
        capsys.readouterr()
        assert main(["resume", str(run), "--data", str(data)]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert "are for 16 x 16 images of 3 channels in 4 classes; to take over" in error
    data = write_shapes(tmp_path / "right", count=8)
    assert main(["resume", str(run), "--data", str(data), "--kimg", "0.001"]) == 0
