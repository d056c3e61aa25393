"""`pygan metrics`: runs, weights, folders, archives; what is printed and written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from features import TinyExtractor

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))

from shapes import write_shapes

import pygan.apps.metrics
import pygan.metrics.extractors
from pygan.cli import main
from pygan.metrics.fid import fid
from pygan.metrics.sources import open_images
from pygan.training import checkpoint as checkpoints

TINY = ["--channel-base", 64, "--channel-max", 4, "--z-dim", 4, "--w-dim", 4, "--batch", 4]
TINY += ["--mapping-layers", 1, "--grid", "2x2", "--workers", 0, "--kimg", 0.008, "--tick", 0.004]


class Distance:
    name, sha256 = "square", "1" * 64

    @staticmethod
    def distance(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        return paddle.square(a - b).mean(axis=[1, 2, 3])


@pytest.fixture(scope="module")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Networks that need no weights, and a cache of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(pygan.metrics.extractors, "find_extractor", lambda name: TinyExtractor())
        patch.setattr(pygan.metrics.extractors, "find_perceptual", lambda name: Distance())
        patch.setattr(pygan.apps.metrics, "choose_extractor", lambda name: "tiny")
        patch.setattr(pygan.apps.metrics, "choose_distance", lambda name: "square")
        yield patch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", count=12)


def train(folder: Path, data: Path, *options: Any) -> Path:
    words = ["train", "stylegan2", "--data", data, "--out", folder, "--snapshot", 1, *TINY]
    assert main([str(word) for word in (*words, *options)]) == 0
    return folder


@pytest.fixture(scope="module")
def run(patch: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that measured itself."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(folder, data, "--metrics", "kid,fid", "--metrics-samples", 6)


def lines(capsys: pytest.CaptureFixture[str], *words: Any) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["metrics", *(str(word) for word in words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def error_of(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pygan: error: ")
    assert error.count("\n") == 1
    return error


def test_training_measured_itself(run: Path) -> None:
    found = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert [line["iteration"] for line in found] == [1, 2]
    assert list(found[0])[2:] == ["kd_tiny", "fd_tiny"]
    assert (run / "best" / "G_ema.safetensors").is_file()


def test_the_weights_are_those_of_a_run_that_measures_nothing(
    run: Path, data: Path, tmp_path: Path
) -> None:
    plain = checkpoints.load(train(tmp_path / "plain", data) / "checkpoints" / "iter-00000002")
    measured = checkpoints.load(run / "checkpoints" / "iter-00000002")
    for file in ("G", "D", "G_ema", "G_optimizer", "D_optimizer", "state"):
        found, expected = measured.arrays(file), plain.arrays(file)
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{file} {name}")


def test_resuming_measures_on(run: Path, data: Path) -> None:
    assert main(["resume", str(run), "--kimg", "0.012", "--metrics", "fid"]) == 0
    found = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert [line["iteration"] for line in found] == [1, 2, 3]
    assert list(found[2])[2:] == ["fd_tiny"]


def test_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, run, "--metrics", "fid,kid,pr,is,ppl,ls", "--samples", 20)
    names = ["fd_tiny", "kd_tiny", "precision_tiny", "recall_tiny", "is_tiny"]
    names += ["ppl2_wend_square", "ls_z_tiny", "ls_w_tiny"]
    assert [line["metric"] for line in found] == names
    assert all(np.isfinite(line["value"]) for line in found)
    assert found[0]["real"]["count"] == 12
    assert found[0]["fake"]["count"] == 20
    assert found[0]["fake"]["model"] == str(run)
    assert found[0]["pygan"] == pygan.__version__
    written = [json.loads(line) for line in (run / "measurements.jsonl").open()]
    assert written == found
    again = lines(capsys, run, "--metrics", "kid", "--samples", 20, "--batch", 3)
    assert again[0]["value"] == pytest.approx(found[1]["value"], rel=1e-3, abs=1e-6)
    assert len((run / "measurements.jsonl").read_text().splitlines()) == len(found) + 1


def test_two_folders(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_shapes(tmp_path / "other", count=9)
    out = tmp_path / "results.jsonl"
    found = lines(capsys, other, "--against", data, "--metrics", "fid", "--ddof", 0, "--out", out)
    x, y = (
        np.concatenate([TinyExtractor()(b, ["pool"])["pool"] for b in open_images(p).batches(64)])
        for p in (data, other)
    )
    assert found[0]["value"] == pytest.approx(fid(real=x, fake=y, ddof=0), rel=1e-9)
    assert found[0]["ddof"] == 0
    assert json.loads(out.read_text()) == found[0]
    warned = main(["metrics", str(other), "--against", str(data), "--metrics", "fid"])
    assert warned == 0
    assert "fd_tiny of 9 images with 12 features each is biased" in capsys.readouterr().err


def test_weights_alone(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = run / "best" / "G_ema.safetensors"
    found = lines(capsys, weights, "--against", data, "--samples", 5, "--trunc", 0.5)
    assert [line["metric"] for line in found] == ["fd_tiny", "kd_tiny"]
    assert found[0]["fake"]["truncation"] == 0.5


def test_bad_arguments(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing" in error_of(capsys, "metrics", tmp_path / "nothing", "--against", data)
    assert "--against" in error_of(capsys, "metrics", data, "--metrics", "kid")
    assert "'fad' is unknown" in error_of(capsys, "metrics", run, "--metrics", "fad")
    assert "--samples: must be at least 1" in error_of(capsys, "metrics", run, "--samples", 0)
    assert "--seed" in error_of(capsys, "metrics", run, "--seed", -1)
    few = ["metrics", run, "--samples", 5, "--metrics", "kid", "--kid-subset-size", 6]
    assert "kid: a subset needs at least 6 images, there are 5" in error_of(capsys, *few)
    out = ["--out", tmp_path / "no" / "file"]
    assert "--out: " in error_of(capsys, "metrics", data, "--against", data, *out)
    words = ["train", "stylegan2", "--data", data, "--out", tmp_path / "run", *TINY]
    assert "'ppl' is unknown here" in error_of(capsys, *words, "--metrics", "ppl")
    assert not (tmp_path / "run").exists()
