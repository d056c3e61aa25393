"""Networks of pytorch-CycleGAN-and-pix2pix against a nested composition on their own names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from torch_pickles import save_torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from pix2pix_oracle import Oracle, published

from pygan.apps.sample import load_model
from pygan.cli import main
from pygan.interop import load
from pygan.models.pix2pix import PatchDiscriminator, ResnetGenerator, UNetGenerator
from pygan.training import checkpoint
from pygan.training.state import load_arrays

TINY = {"channel_base": 2, "norm": "batch"}


def weights(net: Any, seed: int) -> dict[str, np.ndarray]:
    """Random numbers of the shapes of a network, under published names."""
    rng = np.random.default_rng(seed)

    def numbers(name: str, shape: Any) -> np.ndarray:
        values = rng.standard_normal(shape)
        if "running_var" in name:
            values = np.abs(values) + 0.5
        return (values * (0.15 if len(shape) == 4 else 0.5)).astype(np.float32)

    return {name: numbers(name, value.shape) for name, value in published(net).items()}


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path.write_bytes(save_torch(arrays))
    return path


def unet(**options: Any) -> UNetGenerator:
    return UNetGenerator(3, 2, downs=5, channel_max=16, **{**TINY, **options})


def resnet(**options: Any) -> ResnetGenerator:
    return ResnetGenerator(3, 2, blocks=6, **{**TINY, **options})


def import_pair(folder: Path, generator: Any, discriminator: Any, **extra: np.ndarray) -> Any:
    """Files of both and the run made of them: (weights of G, of D, model, network D)."""
    found = [weights(net, seed) for seed, net in enumerate((generator, discriminator))]
    files = [
        write(folder / f"latest_net_{name}.pth", {**arrays, **extra})
        for name, arrays in zip("GD", found)
    ]
    out = folder / "run"
    assert main(["import", str(files[0]), str(out), "--discriminator", str(files[1])]) == 0
    model = load_model(out)
    judge = model.algorithm.build("D", model.config, model.data)
    saved = checkpoint.find(out, print)
    load_arrays(judge, saved.arrays("D"), saved.path)
    judge.eval()
    return *found, model, judge


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(
    ("make", "dropout", "layers"),
    [(unet, "pytorch", 1), (resnet, "pytorch", 3), (resnet, "none", 0)],
)
def test_images_and_logits_are_the_same(
    tmp_path: Path, norm: str, make: Any, dropout: str, layers: int
) -> None:
    generator = make(norm=norm, dropout=dropout)
    discriminator = PatchDiscriminator(5, layers=layers, channel_base=2, norm=norm)
    g, d, model, judge = import_pair(tmp_path, generator, discriminator)
    rng = np.random.default_rng(5)
    x = paddle.to_tensor(rng.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32))
    seen = paddle.to_tensor(rng.uniform(-1, 1, (2, 5, 32, 32)).astype(np.float32))
    oracle = Oracle(g, norm, running=True)
    if make is unet:
        expected = oracle.unet(x, 5)
    else:
        shapes = [(2, *shape) for shape in generator.dropout_shapes(32, 32)]
        ones = [paddle.ones(shape) for shape in shapes]
        expected = oracle.resnet(x, 6, ones if dropout != "none" else None)
    with paddle.no_grad():
        images = model.networks["G"](x)
    np.testing.assert_allclose(images.numpy(), expected.numpy(), atol=1e-4)
    assert np.abs(expected.numpy()).max() > 0.1
    logits = Oracle(d, norm, running=True).patches(seen, layers)
    scale = float(logits.abs().max())
    np.testing.assert_allclose(judge(seen).numpy(), logits.numpy(), atol=1e-5 * max(scale, 1))
    assert model.config.norm == norm
    assert model.config.d_layers == layers
    assert model.config.d_conditional
    assert model.data.source_channels == 3
    assert model.config.dropout_places == dropout


def test_what_counts_only_is_left_out(tmp_path: Path) -> None:
    """Counters of batches and of a profiler, statistics of instance norm, and a prefix."""
    arrays = weights(unet(norm="instance"), 0)
    noise = {
        "model.model.1.model.2.num_batches_tracked": np.array(7),
        "model.model.1.model.2.running_mean": np.ones(4, dtype=np.float32),
        "total_ops": np.zeros(1),
    }
    prefixed = {f"module.{key}": value for key, value in {**arrays, **noise}.items()}
    foreign = load(write(tmp_path / "G.pth", prefixed))
    assert set(foreign.networks["G"]) == set(unet(norm="instance").state_dict())
    assert foreign.config["norm"] == "instance"
    assert (foreign.image_shape, foreign.source_channels) == ((2, 256, 256), 3)


def test_imported_generator_translates_and_starts_a_run(tmp_path: Path) -> None:
    from PIL import Image

    file = write(
        tmp_path / "G.pth", weights(UNetGenerator(3, 3, downs=5, channel_max=16, **TINY), 3)
    )
    run = tmp_path / "run"
    assert main(["import", str(file), str(run)]) == 0
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    out = tmp_path / "b.png"
    assert main(["generate", str(run), "--image", str(tmp_path / "a.png"), "--out", str(out)]) == 0
    with Image.open(out) as image:
        assert image.size == (64, 32)


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    g = write(tmp_path / "G.pth", weights(unet(), 0))
    d = write(tmp_path / "D.pth", weights(PatchDiscriminator(7, channel_base=2), 1))
    broken = weights(unet(), 0)
    del broken["model.model.1.model.1.weight"]
    other = {"layer.weight": np.zeros(3)}
    cases: list[tuple[list[Any], str]] = [
        ([d], "D.pth holds a discriminator alone"),
        (
            [g, "--discriminator", d],
            "sees 7 channels, but source and image have 5, the image alone 2",
        ),
        ([g, "--discriminator", g], "G.pth holds no discriminator"),
        ([write(tmp_path / "broken.pth", broken)], "a damaged checkpoint"),
        ([write(tmp_path / "other.pth", other)], "no checkpoint that pygan knows"),
    ]
    for words, message in cases:
        arguments = [str(words[0]), str(tmp_path / "run"), *map(str, words[1:])]
        assert main(["import", *arguments]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "run").exists()
