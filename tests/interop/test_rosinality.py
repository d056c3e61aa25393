"""Checkpoints of rosinality's stylegan2-pytorch: both ways, against numpy on their own names."""

from __future__ import annotations

import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rosinality_oracle as oracle
from imported import Imported, import_run
from torch_pickles import save_torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from shapes import write_shapes

from pygan.cli import main
from pygan.errors import InputError
from pygan.interop import EXPORTS, load, write_torch
from pygan.interop.torch_file import read_torch

WIDTHS = [10, 10, 8]  # at 4 x 4, 8 x 8 and 16 x 16


def write(path: Path, value: Any) -> Path:
    path.write_bytes(save_torch(value))
    return path


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, Any]:
    return oracle.random_checkpoint(0, WIDTHS)


@pytest.fixture(scope="module")
def run(checkpoint: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rosinality")
    return import_run(write(folder / "checkpoint.pt", checkpoint), folder / "run")


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return float(np.abs(got - expected).max()) < 1e-4 * max(1, float(np.abs(expected).max()))


def test_images_and_logits_are_the_same(checkpoint: dict[str, Any], run: Path) -> None:
    imported = Imported(run)
    z = np.random.RandomState(1).randn(6, 12)
    images = oracle.generator(checkpoint["g_ema"], z)
    assert close(imported.generate(z), images)
    assert not close(imported.generate(z, "G"), images)
    assert close(imported.generate(z, "G"), oracle.generator(checkpoint["g"], z))
    for count in (1, 4):
        expected = oracle.discriminator(checkpoint["d"], images[:count])
        assert close(imported.judge(images[:count]), expected)


@pytest.mark.parametrize("key", ["convs.0.conv.weight", "convs.3.conv.weight"])
def test_every_kernel_has_its_orientation(checkpoint: dict[str, Any], run: Path, key: str) -> None:
    flipped = dict(checkpoint["g_ema"])
    flipped[key] = flipped[key][..., ::-1, ::-1]
    z = np.random.RandomState(1).randn(2, 12)
    assert not close(Imported(run).generate(z), oracle.generator(flipped, z))


def test_options_follow_from_the_shapes(run: Path) -> None:
    config = Imported(run).model.config
    names = ("z_dim", "w_dim", "mapping_layers", "channel_max", "g_architecture", "d_architecture")
    values = [getattr(config, name) for name in names]
    assert values == [12, 12, 2, 10, "skip", "resnet"]
    assert [min(config.channel_base // side, config.channel_max) for side in (4, 8, 16)] == WIDTHS


def test_the_mean_of_w_is_the_file_s_or_sampled(
    checkpoint: dict[str, Any], run: Path, tmp_path: Path
) -> None:
    sampled = Imported(run).network("G_ema").mapping.w_avg.numpy()
    many = oracle.mapping(checkpoint["g_ema"], np.random.RandomState(9).randn(40000, 12))
    np.testing.assert_allclose(sampled, many.mean(axis=0), atol=6 * many.std() / 100)
    assert np.abs(many.mean(axis=0)).max() > 20 * many.std() / 100
    mean = np.arange(12.0)
    for name, latent_avg in (("row", mean), ("rows", np.tile(mean, (6, 1)))):
        path = write(tmp_path / f"{name}.pt", {**checkpoint, "latent_avg": latent_avg})
        network = Imported(import_run(path, tmp_path / name)).network("G_ema")
        np.testing.assert_array_equal(network.mapping.w_avg.numpy(), mean)


def test_an_imported_run_can_be_resumed_sampled_and_started_from(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(write_shapes(tmp_path / "shapes", count=12))
    capsys.readouterr()
    assert main(["resume", str(run), "--kimg", "0.01"]) == 2
    assert "--data is required" in capsys.readouterr().err
    assert main(["sample", str(run), "--seeds", "0-1", "--out", str(tmp_path / "images")]) == 0
    assert len(list((tmp_path / "images").glob("seed*.png"))) == 2
    new = tmp_path / "new"
    words = ["train", "stylegan2", "--data", data, "--resume", str(run), "--resume-strict"]
    words += ["--batch", "4", "--kimg", "0.004", "--out", str(new), "--grid", "2x2"]
    assert main(words) == 0
    assert "D takes" in (new / "log.txt").read_text()
    copy = import_run(run.parent / "checkpoint.pt", tmp_path / "again")
    assert main(["resume", str(copy), "--data", data, "--kimg", "0.001", "--grid", "2x2"]) == 0
    assert len(list((copy / "checkpoints").iterdir())) == 2
    assert main(["resume", str(copy), "--kimg", "0.002"]) == 0  # the data are known now


def test_resume_takes_the_file_itself(run: Path, tmp_path: Path) -> None:
    data = str(write_shapes(tmp_path / "shapes", count=12))
    words = ["train", "stylegan2", "--data", data, "--resume", str(run.parent / "checkpoint.pt")]
    words += ["--batch", "4", "--kimg", "0.004", "--out", str(tmp_path / "run"), "--grid", "2x2"]
    assert main([*words, "--resume-strict"]) == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "G takes" in log
    assert "afresh" not in log


def test_a_generator_alone_is_for_sampling(
    checkpoint: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "g.pt", {"g_ema": checkpoint["g_ema"]})
    run = import_run(path, tmp_path / "run")
    assert "no G and no D: pygan resume cannot go on" in capsys.readouterr().out
    z = np.random.RandomState(1).randn(2, 12)
    assert close(Imported(run).generate(z), oracle.generator(checkpoint["g_ema"], z))
    assert main(["resume", str(run)]) == 2


def test_missing_and_unexpected_tensors_are_errors_unless_forced(
    checkpoint: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for change, told in (
        ({"conv1.activate.bias": None}, "synthesis.b4.conv1: not there"),
        ({"extra.weight": np.zeros(3)}, "no use for extra"),
        ({"convs.1.noise.weight": np.zeros(2)}, "synthesis.b8.conv1.noise_strength"),
    ):
        arrays = {**checkpoint["g_ema"], **change}
        arrays = {key: array for key, array in arrays.items() if array is not None}
        path = write(tmp_path / "bad.pt", {**checkpoint, "g_ema": arrays})
        capsys.readouterr()
        assert main(["import", str(path), str(tmp_path / "run")]) == 2
        assert told in capsys.readouterr().err
        assert not (tmp_path / "run").exists()
        out = tmp_path / f"forced{told[-9:]}"
        import_run(path, out, "--force")
        assert told in capsys.readouterr().out
        assert Imported(out).generate(np.ones((1, 12))).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("network", "change", "told"),
    [
        ("g", {"convs.0.conv.blur.kernel": np.ones((4, 4))}, "not the filter"),
        ("d", {"convs.1.skip.0.kernel": np.zeros((4, 4))}, "not the filter"),
        ("g_ema", {"convs.99999999999.conv.weight": np.zeros(1)}, "no use for"),
        ("g_ema", {"convs.3.conv.weight": np.zeros((1, 9, 8, 3, 3))}, "[9, 8, 3, 3], not"),
        ("g_ema", {"convs.7.conv.weight": np.zeros((1, 1, 1, 1, 1))}, "resolutions"),
        (
            "d",
            {"final_conv.0.weight": np.zeros(3)},
            "b4.conv.weight ([10, 11, 3, 3] here, [3] there)",
        ),
        ("g_ema", {"style.1.weight": np.zeros(3)}, "not a StyleGAN2"),
        ("g_ema", {"input.input": "text"}, "not a tensor"),
    ],
)
def test_networks_that_are_something_else(
    checkpoint: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    network: str,
    change: dict[str, Any],
    told: str,
) -> None:
    value = {**checkpoint, network: {**checkpoint[network], **change}}
    path = write(tmp_path / "bad.pt", value)
    capsys.readouterr()
    assert main(["import", str(path), str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_widths_that_follow_no_rule(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    path = write(tmp_path / "x.pt", {"g_ema": oracle.random_generator(random, [8, 4, 8])})
    with pytest.raises(InputError, match=r"\[8, 4, 8\], not min"):
        load(path)


def test_names_in_files_do_not_command_the_terminal(
    checkpoint: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {**checkpoint["g_ema"], "\x1b[2J.weight": np.zeros(1)}
    path = write(tmp_path / "x.pt", {**checkpoint, "g_ema": arrays})
    capsys.readouterr()
    assert main(["import", str(path), str(tmp_path / "run")]) == 2
    assert "no use for ?[2J" in capsys.readouterr().err
    import_run(path, tmp_path / "run", "--force")
    assert "no use for ?[2J" in capsys.readouterr().out


def test_other_files_of_pytorch_are_refused(tmp_path: Path) -> None:
    for value in ({"state_dict": {"a": np.zeros(3)}}, [1], {"g": {"conv.weight": np.zeros(3)}}):
        with pytest.raises(InputError, match="no checkpoint that pygan knows"):
            load(write(tmp_path / "x.pt", value))


def test_a_run_is_never_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(run.rglob("*"))
    assert main(["import", str(run.parent / "checkpoint.pt"), str(run)]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before


class Plain(pickle.Unpickler):
    """Reads the writer's pickles by Python's own means, knowing three names."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        super().__init__(archive.open("archive/data.pkl"))
        self.archive = archive

    def find_class(self, module: str, name: str) -> Any:
        return {
            "torch._utils._rebuild_tensor_v2": self.rebuild,
            "torch.FloatStorage": "<f4",
            "torch.LongStorage": "<i8",
            "collections.OrderedDict": dict,
        }[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key, place, count = pid
        assert (kind, place) == ("storage", "cpu")
        with self.archive.open(f"archive/data/{key}") as member:
            # Where the raw file has the numbers: PyTorch maps them into memory.
            numbers = np.frombuffer(member.read(), dtype)
        assert numbers.size == count
        return numbers

    @staticmethod
    def rebuild(numbers: Any, offset: int, shape: Any, strides: Any, grad: Any, hooks: Any) -> Any:
        assert (offset, grad, hooks) == (0, False, {})
        strides = [stride * numbers.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(numbers, shape, strides)


def test_export_is_read_by_others_and_draws_the_same(
    checkpoint: dict[str, Any], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.pt"
    assert main(["export", str(run), str(path)]) == 0
    assert "other widths" in capsys.readouterr().out
    with zipfile.ZipFile(path) as archive:
        value = Plain(archive).load()
    assert list(value) == ["g", "d", "g_ema", "g_optim", "d_optim", "latent_avg"]
    for key, share in (("g", 4 / 5), ("d", 16 / 17)):
        (group,) = value[f"{key}_optim"]["param_groups"]
        noise = [name for name in checkpoint[key] if name.startswith("noises")]
        filters = [name for name in checkpoint[key] if name.endswith("kernel")]
        assert group["params"] == list(range(len(checkpoint[key]) - len(noise) - len(filters)))
        assert group["lr"] == pytest.approx(0.0025 * share)
        assert group["betas"] == pytest.approx((0, 0.99**share))
    for name in ("g", "d", "g_ema"):
        assert value[name].keys() == checkpoint[name].keys()
        for key, array in checkpoint[name].items():
            np.testing.assert_array_equal(value[name][key], array.astype(np.float32), err_msg=key)
    again = Imported(import_run(path, tmp_path / "again"))
    z = np.random.RandomState(1).randn(2, 12)
    np.testing.assert_array_equal(again.generate(z), Imported(run).generate(z))
    assert list(tmp_path.glob(".*")) == []


def test_export_names_the_generator_that_loads_it(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    path = write(tmp_path / "x.pt", {"g_ema": oracle.random_generator(random, [512, 512], 2, 1)})
    lines = EXPORTS["rosinality"](tmp_path / "y.pt", load(path).networks, "x", {})
    assert lines[1:] == ["there: Generator(8, 2, 1, channel_multiplier=1)"]


def test_members_of_written_files_are_aligned(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    value = {"a": np.arange(3.0, dtype=np.float32), "b": [np.arange(5), ("c", 1.5, None, True)]}
    write_torch(path, value)
    content = path.read_bytes()
    assert content.index(value["a"].tobytes()) % 64 == 0
    assert content.index(value["b"][0].tobytes()) % 64 == 0
    with zipfile.ZipFile(path) as archive:
        got = Plain(archive).load()
    np.testing.assert_array_equal(got["a"], value["a"])
    np.testing.assert_array_equal(got["b"][0], value["b"][0])
    assert got["b"][1] == value["b"][1]
    np.testing.assert_array_equal(read_torch(path)["b"][0], value["b"][0])
    before = path.read_bytes()
    with pytest.raises(TypeError, match="complex64"):
        write_torch(path, {"a": np.zeros(2, np.complex64)})
    assert path.read_bytes() == before
    write_torch(path, value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"c_dim": 3}, "classes: 3"),
        ({"channels": 1}, "image channels: 1"),
        ({"architecture": "resnet"}, "architecture: resnet"),
        ({"resolution": (8, 16)}, "square"),
        ({"resolution": 12}, "resolutions"),
    ],
)
def test_what_rosinality_lacks_is_not_exported(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    from pygan.models.stylegan2 import Generator

    sizes = {"resolution": 16, "z_dim": 4, "w_dim": 4, "channel_base": 64, "channel_max": 4}
    network = Generator(mapping_layers=1, **{**sizes, **options})
    arrays = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=told):
        EXPORTS["rosinality"](tmp_path / "x.pt", {"G": arrays}, "run", {})
    assert list(tmp_path.iterdir()) == []


def test_export_to_a_place_that_is_not_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), str(tmp_path / "none" / "x.pt")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "x.pt")]) == 2
    assert "does not exist" in capsys.readouterr().err
