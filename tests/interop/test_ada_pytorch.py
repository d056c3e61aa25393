"""Checkpoints of stylegan2-ada-pytorch, against numpy on their own names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ada_pickles as ada
import numpy as np
import pytest
from imported import Imported, import_run
from torch_pickles import Call, dumps

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import stylegan2_oracle as oracle

from pygan.errors import InputError
from pygan.interop import load

WIDTHS = [8, 8, 6]  # at 4 x 4, 8 x 8 and 16 x 16
TAPS = [1, 3, 3, 1]
Z = np.random.RandomState(1).randn(4, 10)


def networks(g: str = "skip", d: str = "resnet", classes: int = 0, layers: int = 8) -> Any:
    random = np.random.RandomState(0)
    return {
        "G": ada.random_generator(random, WIDTHS, g, classes),
        "D": ada.random_discriminator(random, WIDTHS, d, classes, layers),
        "G_ema": ada.random_generator(random, WIDTHS, g, classes),
    }


def write(path: Path, value: Any) -> Path:
    path.write_bytes(dumps(value))
    return path


def draw(arrays: ada.Arrays, architecture: str, labels: Any, psi: float) -> np.ndarray:
    p = oracle.Weights(arrays)
    w = oracle.mapping(p.mapping, Z, labels, 2)
    w = arrays["mapping.w_avg"] + psi * (w - arrays["mapping.w_avg"])
    blocks = ["b4", "b8", "b16"]
    noises = [arrays["synthesis.b4.conv1.noise_const"]]
    for block in blocks[1:]:
        noises += [arrays[f"synthesis.{block}.conv{i}.noise_const"] for i in (0, 1)]
    ws = np.repeat(w[:, None], 6, axis=1)
    return oracle.synthesis(p.synthesis, ws, noises, blocks, architecture, TAPS)


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return float(np.abs(got - expected).max()) < 1e-4 * max(1, float(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("g", "d", "classes"), [("skip", "resnet", 0), ("orig", "orig", 0), ("resnet", "skip", 3)]
)
def test_images_and_logits_are_the_same(g: str, d: str, classes: int, tmp_path: Path) -> None:
    arrays = networks(g, d, classes)
    path = write(tmp_path / "network.pkl", ada.checkpoint(arrays))
    imported = Imported(import_run(path, tmp_path / "run"))
    config = imported.model.config
    assert (config.g_architecture, config.d_architecture) == (g, d)
    assert (config.conditional, imported.model.data.num_classes) == (classes > 0, classes)
    labels = np.array([0, 2, 1, 2]) if classes else None
    vectors = None if labels is None else np.eye(3)[labels]
    for name in ("G", "G_ema"):
        images = draw(arrays[name], g, vectors, 0.7)
        assert close(imported.generate(Z, name, labels, truncation=0.7), images)
    logits = oracle.discriminator(
        oracle.Weights(arrays["D"]), images, ["b16", "b8", "b4"], d, TAPS, c=vectors
    )
    assert close(imported.judge(images, labels), logits)


def test_the_source_in_the_file_is_not_run(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    source = f"open({str(victim)!r}, 'w').close()"
    path = write(tmp_path / "network.pkl", ada.checkpoint(networks(), source=source))
    import_run(path, tmp_path / "run")
    assert not victim.exists()


def test_options_are_read_off_the_modules(tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {"b4.mbstd": {"group_size": 8}}
    for block in ("b4", "b8", "b16"):
        for prefix in ("", "synthesis."):
            for conv in ("conv0", "conv1"):
                changes[f"{prefix}{block}.{conv}"] = {"conv_clamp": 256}
    changes["b16"] = changes["synthesis.b16"] = {"use_fp16": True}
    path = write(tmp_path / "network.pkl", ada.checkpoint(networks(), changes))
    config = load(path).config
    assert (config["conv_clamp"], config["mbstd_group"], config["fp16_res"]) == (256, 8, 1)
    assert (config["z_dim"], config["w_dim"], config["mapping_layers"]) == (10, 12, 2)


def test_frozen_layers_keep_weights_as_buffers(tmp_path: Path) -> None:
    arrays = networks()
    buffers = {"weight": ada.parameter(arrays["D"]["b16.fromrgb.weight"])}
    buffers["bias"] = ada.parameter(arrays["D"]["b16.fromrgb.bias"])
    changes = {"b16.fromrgb": {"_parameters": {}, "_buffers": buffers}}
    path = write(tmp_path / "network.pkl", ada.checkpoint(arrays, changes))
    got = load(path).networks["D"]["b16.fromrgb.weight"]
    np.testing.assert_array_equal(got, arrays["D"]["b16.fromrgb.weight"].astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"b8.conv0": {"activation": "relu"}}, "D.b8.conv0 has the activation 'relu'"),
        ({"mapping.fc1": {"bias_gain": 0.1}}, "G.mapping: its layers have no common learning rate"),
        ({"synthesis.b8.conv0": {"conv_clamp": 256}}, "differently"),
        ({"synthesis.b16": {"use_fp16": True}}, "fp16_res"),
        (
            {"synthesis.b8.conv0": {"_buffers": {"resample_filter": ada.parameter(np.ones(4))}}},
            "filter",
        ),
        ({"synthesis.b8": {"_parameters": [3]}}, "not a dict"),
        ({"synthesis.b8": {"_parameters": {"weight": "text"}}}, "not a tensor"),
    ],
)
def test_what_pygan_s_networks_cannot_be(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "network.pkl", ada.checkpoint(networks(), changes))
    with pytest.raises(InputError, match=told):
        load(path)


def test_stylegan3_is_refused_by_name(tmp_path: Path) -> None:
    arrays = {"synthesis.input.freqs": np.zeros((4, 2)), "synthesis.L0_36_32.weight": np.zeros(3)}
    path = write(tmp_path / "network.pkl", ada.checkpoint({"G_ema": arrays}))
    with pytest.raises(InputError, match="a generator of StyleGAN3, which pygan does not have"):
        load(path)
    pipe = ada.persistent("AugmentPipe", {}, "")
    with pytest.raises(InputError, match="G is a AugmentPipe, not a network of StyleGAN2"):
        load(write(path, {"G": pipe}))


@pytest.mark.parametrize("layers", [0, 2])
def test_files_converted_from_tensorflow(
    layers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = networks(classes=3, layers=layers)
    gains: dict[str, dict[str, Any]] = {f"mapping.fc{i}": {"bias_gain": 0.1} for i in range(2)}
    changes = {**gains, "b4.mbstd": {"group_size": None}}
    path = write(tmp_path / "x.pkl", ada.checkpoint(arrays, changes))
    capsys.readouterr()
    imported = Imported(import_run(path, tmp_path / "run"))
    out = capsys.readouterr().out
    assert "4 images are assumed" in out
    assert "the mapping network of G_ema learned at 0.1 of the rate" in out
    scaled = {name: dict(part) for name, part in arrays.items()}
    for part in scaled.values():
        part.update({k: 10 * v for k, v in part.items() if k.startswith("mapping.fc")})
    labels = np.array([0, 2, 1, 2])
    images = draw(scaled["G_ema"], "skip", np.eye(3)[labels], 1.0)
    assert close(imported.generate(Z, "G_ema", labels), images)
    logits = oracle.discriminator(
        oracle.Weights(scaled["D"]),
        images,
        ["b16", "b8", "b4"],
        "resnet",
        TAPS,
        c=np.eye(3)[labels],
        mapping_layers=layers,
    )
    assert close(imported.judge(images, labels), logits)


def test_foreign_names_are_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    value = {**ada.checkpoint(networks()), "extra": Call("os.system", f"touch {victim}")}
    path = write(tmp_path / "x.pkl", value)
    with pytest.raises(InputError, match=r"names os\.system"):
        load(path)
    assert not victim.exists()
