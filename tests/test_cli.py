"""The command line: outcomes, messages and exit codes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "training"))

from programs import finish, newest_checkpoint, spawn
from shapes import write_shapes

import pygan
from pygan.apps.sample import load_model, parse_seeds
from pygan.cli import main
from pygan.errors import InputError

TINY = ["--channel-base", 128, "--channel-max", 8, "--z-dim", 8, "--w-dim", 8, "--batch", 4]
TINY += ["--mapping-layers", 1, "--grid", "2x2"]


def pygan_main(*words: Any) -> int:
    return main([str(word) for word in words])


def error_of(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """The message of a command that must fail with exit code 2 and one line."""
    capsys.readouterr()
    assert pygan_main(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("pygan: error: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", count=12)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["train", "stylegan2", "--data", data, "--out", folder, "--kimg", 0.012, *TINY]
    assert pygan_main(*words) == 0
    return folder


@pytest.fixture(scope="module")
def conditional_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "conditional"
    words = ["train", "stylegan2", "--data", data, "--out", folder, "--kimg", 0.004, *TINY]
    assert pygan_main(*words, "--conditional") == 0
    return folder


def test_help_is_quick_because_it_imports_no_paddle() -> None:
    program = "import sys; from pygan.cli import main; code = main(['--help']); "
    program += "sys.exit(code or 'paddle' in sys.modules or 'numpy' in sys.modules)"
    out, _ = finish(spawn("-c", program))
    for command in ("train", "resume", "sample", "data build", "info"):
        assert command in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert pygan_main("--version") == 0
    assert capsys.readouterr().out == f"pygan {pygan.__version__}\n"


def test_module_uses_all_cores_and_says_nothing_else(data: Path) -> None:
    from pygan.runtime import available_cores

    out, err = finish(spawn("-m", "pygan", "info", OMP_NUM_THREADS=None))
    assert f"threads    {available_cores()} " in out
    assert err == ""


def test_info_names_versions_and_operators(capsys: pytest.CaptureFixture[str]) -> None:
    import paddle

    assert pygan_main("info") == 0
    out = capsys.readouterr().out
    for part in (pygan.__version__, paddle.__version__, np.__version__, "operators", "gpu"):
        assert part in out


def test_info_lists_the_operators_that_the_library_registered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pygan import ops

    known = ops.native_info()
    if not known["available"]:
        pytest.skip(f"no native operators: {known['reason']}")
    registered = Path(pygan.__file__).parents[1].glob("csrc/paddle/*.cc")
    sources = "".join(path.read_text() for path in registered)
    assert known["operators"] == sorted(re.findall(r"PD_BUILD_OP\(pg_(\w+)\)", sources))
    monkeypatch.setattr(ops, "native_info", lambda: {**known, "operators": ["one", "another"]})
    assert pygan_main("info") == 0
    assert "operators  native: one, another\n" in capsys.readouterr().out


def test_info_says_what_to_do_without_native_operators(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pygan import ops

    monkeypatch.setattr(ops, "native_info", lambda: {"available": False, "reason": "run make"})
    assert pygan_main("info") == 0
    assert "reference only, slow: run make" in capsys.readouterr().out


def test_dry_run_prints_the_resolved_configuration(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "stylegan2", "--data", data, "--dry-run", "--preset", "paper256"]
    capsys.readouterr()
    assert pygan_main(*words, "--gamma", 3) == 0
    text = capsys.readouterr().out
    values = yaml.safe_load(text)
    assert values["algorithm"] == "stylegan2"
    assert (values["batch"], values["gamma"], values["channel_base"]) == (64, 3.0, 16384)
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert pygan_main("train", "stylegan2", "--config", path, "--dry-run") == 0
    assert capsys.readouterr().out == text


def test_dry_run_of_auto_looks_at_the_data(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert pygan_main("train", "stylegan2", "--data", data, "--dry-run") == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["batch"] == 32
    assert values["gamma"] == pytest.approx(0.0002 * 16**2 / 32)


def test_bad_input_is_one_line_and_exit_code_2(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "stylegan2", "--data", data, "--out", tmp_path / "new"]
    cases = [
        (["fly"], "unknown command 'fly'; choose from: train"),
        (["train"], "name an algorithm first; choose from: stylegan2"),
        (["train", "stylegan9", "--data", data], "unknown algorithm 'stylegan9'"),
        (["train", "stylegan2", "--out", tmp_path / "new"], "--data is required"),
        (["train", "stylegan2", "--data", data], "--out is required"),
        (["train", "stylegan2", "--data", tmp_path / "no", "--out", run], "there is no dataset"),
        ([*train, "--batch", "many"], "--batch: must be an integer, got 'many'"),
        ([*train, "--channel-bse", 3], "did you mean --channel-base?"),
        ([*train, "--preset", "paper"], "unknown preset 'paper'"),
        ([*train, "--batch", 6, "--mbstd-group", 4], "--mbstd-group: groups of 4"),
        ([*train, "--threads", "x"], "--threads: must be an integer, got 'x'"),
        (["train", "stylegan2", "--data", data, "--out", run], f"pygan resume {run}"),
        (["resume"], "name the folder of the run first"),
        (["resume", tmp_path], "is not a run"),
        (["resume", run, "--batch", 8], "unknown option '--batch'"),
        (["sample", tmp_path / "no"], "does not exist"),
        (["sample", tmp_path], "neither a run with a checkpoint nor a checkpoint"),
        (["sample", run, "--seeds", "5-2"], "--seeds: expected numbers and ranges"),
        (["sample", run, "--class", 1], "--class: the model was trained without labels"),
        (["sample", run, "--noise", "loud"], "argument --noise: invalid choice"),
        (["sample", run, "--batch", 0], "--batch: must be at least 1, got 0"),
        (["sample"], "the following arguments are required: RUN"),
        (["data"], "the following arguments are required: COMMAND"),
        (["data", "build", tmp_path / "no", tmp_path / "a.zip"], "no"),
        (["data", "build", data, tmp_path / "a.zip", "--crop", "round"], "crop must be one of"),
    ]
    for words, message in cases:
        assert message in error_of(capsys, *words), words
    assert not (tmp_path / "new" / "config.yaml").exists()


def test_nan_is_one_line_and_exit_code_1(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "stylegan2", "--data", data, "--out", tmp_path / "run", "--kimg", 1, *TINY]
    assert pygan_main(*words, "--g-lr", 1e30) == 1
    error = capsys.readouterr().err
    assert error.startswith("pygan: error: training stopped: in iteration ")
    assert "no checkpoint was written yet" in error
    assert error.count("\n") == 1


def test_other_data_is_refused_unless_forced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_shapes(tmp_path / "other", count=13)
    assert "is not the dataset" in error_of(capsys, "resume", run, "--data", other)
    assert pygan_main("resume", run, "--data", other, "--force") == 0
    assert "warning" in capsys.readouterr().err


def test_sample_draws_the_same_images_as_the_model(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "images"
    capsys.readouterr()
    assert pygan_main("sample", run, "--seeds", "3,8-9", "--trunc", 0.7, "--out", out) == 0
    assert str(out / "grid.png") in capsys.readouterr().out
    names = ["grid.png", "seed0003.png", "seed0008.png", "seed0009.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    expected = load_model(run).sample([3, 8, 9], truncation=0.7)
    for name, image in zip(names[1:], expected):
        found = np.asarray(Image.open(out / name)).transpose(2, 0, 1)
        np.testing.assert_array_equal(found, image)
    assert Image.open(out / "grid.png").size == (32, 32)


def test_sample_takes_runs_checkpoints_and_weights(run: Path, tmp_path: Path) -> None:
    checkpoint = newest_checkpoint(run)
    grids = []
    for i, source in enumerate((run, checkpoint, checkpoint / "G_ema.safetensors")):
        out = tmp_path / str(i)
        assert pygan_main("sample", source, "--seeds", "0-5", "--grid", "--out", out) == 0
        assert [path.name for path in out.iterdir()] == ["grid.png"]
        grids.append((out / "grid.png").read_bytes())
    assert grids[0] == grids[1] == grids[2]


def test_sample_needs_averaged_weights(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = newest_checkpoint(run) / "D.safetensors"
    assert "images need the weights of G_ema" in error_of(capsys, "sample", weights)


def test_sample_of_a_conditional_model_needs_a_class(
    conditional_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", conditional_run, "--seeds", "0-1", "--grid", "--out", tmp_path]
    assert "--class is required by this model: a number from 0 to 3" in error_of(capsys, *words)
    assert "--class: must be from 0 to 3, got 4" in error_of(capsys, *words, "--class", 4)
    pictures = []
    for label in (0, 1):
        assert pygan_main(*words, "--class", label) == 0
        pictures.append((tmp_path / "grid.png").read_bytes())
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-3", [0, 1, 2, 3]), ("7", [7]), ("3,8,10-12", [3, 8, 10, 11, 12]), (" 1 , 2 ", [1, 2])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "2-1", "1,,2", "1.5", str(2**32)])
def test_bad_seeds(text: str) -> None:
    with pytest.raises(InputError, match="--seeds"):
        parse_seeds(text)


def test_data_build_then_train(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "small.zip"
    assert pygan_main("data", "build", data, archive, "--size", 8, "--max-images", 6) == 0
    assert "6 images of 8x8" in capsys.readouterr().out
    words = ["train", "stylegan2", "--data", archive, "--out", tmp_path / "run", "--kimg", 0.004]
    assert pygan_main(*words, *TINY) == 0
    assert Image.open(tmp_path / "run" / "samples_000000.png").size == (16, 16)
