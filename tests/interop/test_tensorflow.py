"""Checkpoints of StyleGAN2 in TensorFlow, against numpy on their own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_oracle as tf
from imported import Imported, import_run
from torch_pickles import dumps

from pygan.cli import main
from pygan.errors import InputError
from pygan.interop import load

WIDTHS = [8, 8, 6]  # at 4 x 4, 8 x 8 and 16 x 16
Z = np.random.RandomState(1).randn(4, 10)


def networks(g: str = "skip", d: str = "resnet", classes: int = 0) -> tuple[Any, Any, Any]:
    random = np.random.RandomState(0)
    return (
        tf.random_generator(random, WIDTHS, g, classes),
        tf.random_discriminator(random, WIDTHS, d),
        tf.random_generator(random, WIDTHS, g, classes),
    )


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return float(np.abs(got - expected).max()) < 1e-4 * max(1, float(np.abs(expected).max()))


@pytest.mark.parametrize(("g", "d"), [("skip", "resnet"), ("orig", "skip"), ("resnet", "orig")])
def test_images_and_logits_are_the_same(g: str, d: str, tmp_path: Path) -> None:
    first, judge, average = networks(g, d)
    path = write(tmp_path / "network.pkl", tf.save(first, judge, average))
    imported = Imported(import_run(path, tmp_path / "run"))
    config = imported.model.config
    assert (config.g_architecture, config.d_architecture) == (g, d)
    images = tf.generator(average, Z, psi=0.7)
    assert close(imported.generate(Z, truncation=0.7), images)
    assert close(imported.generate(Z, "G"), tf.generator(first, Z))
    assert close(imported.judge(images), tf.discriminator(judge, images))


@pytest.mark.parametrize(("layers", "lrmul"), [(0, None), (2, None), (8, 0.01)])
def test_conditional_networks_of_ada(layers: int, lrmul: Any, tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    average = tf.random_generator(random, WIDTHS, classes=3)
    judge = tf.random_discriminator(random, WIDTHS, classes=3)
    base = WIDTHS[0]
    judge["LabelEmbed/weight"] = random.randn(3, base).astype(np.float32)
    judge["LabelEmbed/bias"] = random.randn(base).astype(np.float32)
    effective = 0.1 if lrmul is None else lrmul  # 0.1 is the function's default
    for i in range(layers):
        judge[f"Mapping{i}/weight"] = np.float32(random.randn(base, base) / effective)
        judge[f"Mapping{i}/bias"] = np.float32(random.randn(base) / effective)
    arguments = {} if lrmul is None else {"mapping_lrmul": lrmul}
    data = tf.save(average, judge, average, arguments=arguments)
    imported = Imported(import_run(write(tmp_path / "network.pkl", data), tmp_path / "run"))
    labels = np.array([0, 2, 1, 2])
    expected = tf.generator(average, Z, np.eye(3)[labels])
    assert close(imported.generate(Z, labels=labels), expected)
    # The features of an image, projected on the code of its label.
    x = tf.normalize(tf.dense(judge, "LabelEmbed", np.eye(3)[labels]))
    for i in range(layers):
        x = tf.lrelu(tf.dense(judge, f"Mapping{i}", x, effective))
    logits = (tf.discriminator(judge, expected) * x).sum(axis=1, keepdims=True) / np.sqrt(base)
    assert close(imported.judge(expected, labels), logits)


def test_source_is_not_run_and_arguments_count(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    source = f"open({str(victim)!r}, 'w').close()"
    arguments = {"mbstd_group_size": 8, "conv_clamp": 256, "num_fp16_res": 2}
    data = tf.save(*networks(), arguments=arguments, source=source)
    config = load(write(tmp_path / "x.pkl", data)).config
    assert not victim.exists()
    assert (config["mbstd_group"], config["conv_clamp"], config["fp16_res"]) == (8, 256, 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"normalize_latents": False}, "normalize_latents False; pygan's StyleGAN2 has True"),
        ({"nonlinearity": "relu"}, "nonlinearity 'relu'"),
        ({"resample_kernel": [1, 2, 1]}, "not the filter"),
    ],
)
def test_arguments_that_pygan_s_networks_lack(
    arguments: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.pkl", tf.save(*networks(), arguments=arguments))
    with pytest.raises(InputError, match=told):
        load(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"8x8/Conv1/StyleMod/weight": np.zeros(3)}, "the first StyleGAN"),
        ({"LabelConcat/weight": np.zeros((3, 12))}, "before ADA"),
        ({"Dense0/weight": "text"}, "not an array"),
        ({"Dense0/weight": np.zeros(3)}, "not a StyleGAN2 network"),
        ({"4x4/Const/const": None}, "not an array"),
    ],
)
def test_other_networks(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    g, d, gs = networks()
    path = write(tmp_path / "x.pkl", tf.save({**g, **change}, d, gs))
    with pytest.raises(InputError, match=told):
        load(path)


def test_missing_and_unexpected_variables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    g, d, gs = networks()
    del gs["noise3"]
    d["Extra/weight"] = np.zeros(3, np.float32)
    path = write(tmp_path / "x.pkl", tf.save(g, d, gs))
    capsys.readouterr()
    assert main(["import", str(path), str(tmp_path / "run")]) == 2
    assert "D has no use for Extra/weight" in capsys.readouterr().err
    import_run(path, tmp_path / "run", "--force")
    assert "G_ema starts afresh in synthesis.b16.conv0: not there" in capsys.readouterr().out


def test_networks_within_networks_end(tmp_path: Path) -> None:
    deep: Any = tf.network(networks()[0])
    for _ in range(8):
        outer = tf.network(networks()[0])
        outer.state["components"] = {"inner": deep}
        deep = outer
    path = write(tmp_path / "x.pkl", dumps((deep, deep, deep)))
    with pytest.raises(InputError, match=r"damaged|deep"):
        load(path)
