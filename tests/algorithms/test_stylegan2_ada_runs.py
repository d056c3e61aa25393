"""Whole runs of a tiny StyleGAN2-ADA: controller, resume, distribution, transfer, options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from programs import (
    ROOT,
    assert_same_weights,
    checkpoint_arrays,
    checkpoint_bytes,
    finish,
    kill_after_a_checkpoint,
    launch,
    newest_checkpoint,
    spawn,
)
from shapes import write_shapes

from pygan.cli import main
from pygan.training.augment_control import AugmentController

TINY = ["--channel-base", 128, "--channel-max", 8, "--z-dim", 8, "--w-dim", 8]
TINY += ["--mapping-layers", 1, "--batch", 8, "--mbstd-group", 2, "--grid", "2x2", "--workers", 0]
QUICK = ["--ada-kimg", 0.1, "--ada-interval", 2]  # p moves by 0.16 every 16 images


def train(*words: Any, algorithm: str = "stylegan2-ada") -> int:
    return main([str(word) for word in ("train", algorithm, *words)])


def stats(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", size=8)


def test_a_few_emoji_killed_and_resumed_end_with_the_same_bytes(tmp_path: Path) -> None:
    # 14 iterations, checkpoints in the middle of the controller's intervals.
    options = ["--data", "emoji", "--subset", 200, "--mirror", "--kimg", 0.112, "--tick", 0.024]
    options += ["--snapshot", 1, *TINY, "--augpipe", "bgcfnc", "--p", 0.1]
    options += ["--target", -1, "--ada-kimg", 0.4]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train("--out", whole, *options) == 0
    kill_after_a_checkpoint(run, "-m", "pygan", "train", "stylegan2-ada", "--out", run, *options)
    assert newest_checkpoint(run).name < newest_checkpoint(whole).name, "it was not killed in time"
    finish(spawn("-m", "pygan", "resume", run))
    assert checkpoint_bytes(run) == checkpoint_bytes(whole)
    assert "data: 400 images of 64 x 64, 3 channels" in (run / "log.txt").read_text()
    state = checkpoint_arrays(whole)
    assert state["state/augment/p"] > 0.1
    assert state["state/augment/sums"][0, 1] > 0


def test_two_processes_and_accumulation_equal_one_process(data: Path, tmp_path: Path) -> None:
    # Three updates: an odd number of steps of one size does not lead back to where p began.
    options = ["--data", data, "--kimg", 0.056, "--conditional", "--p", 0.6, "--threads", 1]
    options += [*TINY, *QUICK, "--validation", 8, "--ada-signal", "rv", "--target", 0.1]
    runs = {name: tmp_path / name for name in ("one", "rounds", "two")}
    assert train("--out", runs["one"], *options) == 0
    assert train("--out", runs["rounds"], *options, "--accumulate", 2) == 0
    words = ["train", "stylegan2-ada", "--out", runs["two"], *options]
    launch(ROOT / "pygan" / "__main__.py", *words, log_dir=tmp_path / "log")
    for name in ("rounds", "two"):
        arrays = assert_same_weights(runs["one"], runs[name], rtol=1e-3, atol=1e-4)
        assert {"state/augment/p", "state/augment/r", "state/augment/sums"} <= set(arrays)
        assert arrays["state/augment/p"] != 0.6


class Recorder(AugmentController):
    """Keeps what the controller is told."""

    last: Recorder

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        Recorder.last = self
        self.told: list[tuple[str, tuple[float, ...]]] = []
        self.course: list[tuple[float, float]] = []

    def add_signs(self, mean: float, count: int) -> None:
        self.told.append(("signs", (mean, count)))
        super().add_signs(mean, count)

    def add_logits(self, *values: float) -> None:  # type: ignore[override]
        self.told.append(("logits", values))
        super().add_logits(*values)  # type: ignore[arg-type]

    def end_iteration(self, iteration: int) -> None:
        super().end_iteration(iteration)
        self.told.append(("end", (iteration,)))
        self.course.append((self.p, self.r))


@pytest.mark.parametrize("signal", ["rt", "rv"])
def test_p_follows_what_the_discriminator_says(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: str
) -> None:
    monkeypatch.setattr("pygan.algorithms.stylegan2_ada.AugmentController", Recorder)
    run = tmp_path / "run"
    options = ["--data", data, "--kimg", 0.272, "--tick", 0.016, "--validation", 8, "--p", 0.3]
    options += ["--ada-signal", signal, "--target", 0.1, "--p-max", 0.7, "--r1-interval", 4]
    assert train("--out", run, *options, *TINY, *QUICK) == 0
    # The formulas once more, from the numbers that came in.
    p, r, course, signs, logits = 0.3, 0.0, [], [], []
    for kind, values in Recorder.last.told:
        if kind == "signs":
            assert values[1] == 8
            assert -1 <= values[0] <= 1
            signs.append(values[0])
        elif kind == "logits":
            logits.append(values[:3])
        else:
            if values[0] % 2 == 0:
                real, held_out, fake = np.mean(logits, axis=0)
                lead = real - fake
                overfit = (real - held_out) / lead if lead > 0 else 0.0
                r = np.mean(signs) if signal == "rt" else overfit
                p = float(np.clip(p + np.sign(r - 0.1) * 16 / 100, 0, 0.7))
                signs, logits = [], []
            course.append((p, r))
    assert len(course) == 34
    np.testing.assert_allclose(Recorder.last.course, course, atol=1e-12)
    steps = np.sign(np.diff([p for p, _ in course]))
    assert {-1, 1} <= set(steps), "p moved one way only: the test shows little"
    told = [kind for kind, _ in Recorder.last.told[:4]]
    assert told == ["signs", "logits", "signs", "end"]  # D_main, D_reg
    # They are in the logs.
    lines = stats(run)
    assert [(line["augment/p"], line["augment/r"]) for line in lines] == course[1::2]
    assert all("scores/held_out" in line for line in lines)
    log = (run / "log.txt").read_text()
    assert f"p {course[-1][0]:.3f}  r {course[-1][1]:.3f}" in log


def test_a_saturated_p_is_warned_of_once(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--data", data, "--kimg", 0.064, "--tick", 0.016, "--target", -1, "--p-max", 0.5]
    assert train("--out", run, *options, *TINY, "--ada-kimg", 0.01, "--ada-interval", 1) == 0
    assert [line["augment/p"] for line in stats(run)] == [0.5] * 4
    assert (run / "log.txt").read_text().count("warning: p is at its limit") == 1


def test_transfer_explains_what_does_not_fit(data: Path, tmp_path: Path) -> None:
    source, run = tmp_path / "source", tmp_path / "run"
    small = ["--data", data, "--kimg", 0.016, *TINY]
    assert train("--out", source, *small, algorithm="stylegan2") == 0
    larger = write_shapes(tmp_path / "larger", size=16)
    options = ["--data", larger, "--resume", source, "--kimg", 0.016, "--batch", 8, "--freeze-d", 4]
    options += ["--mbstd-group", 2, "--grid", "2x2", "--workers", 0, "--conditional"]
    assert train("--out", run, *options) == 0
    log = (run / "log.txt").read_text()
    assert "transfer: G takes " in log
    for lacking in ("transfer: G starts afresh in synthesis.b16", "transfer: D starts afresh in "):
        assert lacking in log
    assert "transfer: the weights are for no classes, this run has 4" in log
    text = (run / "config.yaml").read_text()
    for line in ("ada_kimg: 100.0", "ema_rampup: null", "channel_max: 8", "z_dim: 8"):
        assert f"\n{line}\n" in text
    first = sorted((run / "checkpoints").iterdir())[0]
    assert first.name == "iter-00000000"
    before, after = _arrays(first / "D"), _arrays(newest_checkpoint(run) / "D")
    frozen = {
        name.rpartition(".")[0] for name in before if np.array_equal(before[name], after[name])
    }
    assert len([name for name in frozen if name.startswith("b16")]) == 4
    assert not any(name.startswith("b4") for name in frozen)
    assert stats(run)[-1]["augment/p"] == 0.0
    strict = tmp_path / "strict"
    assert train("--out", strict, *options, "--resume-strict") == 2


def test_p_and_its_sums_go_on_in_another_run(data: Path, tmp_path: Path) -> None:
    first, fork = tmp_path / "first", tmp_path / "fork"
    options = ["--data", data, "--kimg", 0.056, *TINY, *QUICK, "--p", 0.1, "--target", -1]
    assert train("--out", first, *options) == 0
    before = checkpoint_arrays(first)
    assert before["state/augment/sums"][0, 1] > 0  # in the middle of an interval
    words = ["--data", data, "--resume", first, "--resume-state", "--kimg", 0.072]
    assert train("--out", fork, *words, "--freeze-d", 2, "--p-max", 1) == 0
    text = (fork / "config.yaml").read_text()
    for line in ("ada_kimg: 0.1", "ada_interval: 2", "p: 0.1", "freeze_d: 2", "channel_max: 8"):
        assert f"\n{line}\n" in text
    started = _arrays(fork / "checkpoints" / "iter-00000007" / "state")
    for name, value in started.items():
        np.testing.assert_array_equal(value, before[f"state/{name}"])
    after = checkpoint_arrays(fork)
    assert before["state/augment/p"] > 0.1
    assert after["state/augment/p"] == pytest.approx(before["state/augment/p"] + 0.16)
    moments = [name for name in before if "_optimizer/" in name and "moment2" in name]
    going, gone = ([n for n in moments if (n in after) == kept] for kept in (True, False))
    assert all((after[name] != before[name]).any() for name in going if "G_" in name)
    assert len(gone) == 4  # weights and biases of two frozen layers
    assert newest_checkpoint(fork).name == "iter-00000009"


def _arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(f"{path}.safetensors")


@pytest.mark.parametrize(
    "options",
    [
        ["--precision", "bfloat16", "--fp16-res", 1],
        ["--precision", "float16", "--fp16-res", 4, "--conditional"],
        ["--subset", 12, "--mirror", "--validation", 0.25, "--accumulate", 2],
        ["--aug", "noaug", "--preset", "cifar", "--batch", 8],
        ["--aug-noise", 1, "--aug-cutout", 0.5, "--aug-xflip", 0],
    ],
    ids=lambda options: options[0],
)
def test_options_work_from_the_command_line(data: Path, tmp_path: Path, options: list[Any]) -> None:
    run = tmp_path / "run"
    base = ["--data", data, "--kimg", 0.016, "--aug", "fixed", "--p", 0.5, *TINY]
    if "noaug" in options:
        base = [word for word in base if word not in ("--p", 0.5)]
    assert train("--out", run, *base, *options) == 0
    (last,) = stats(run)
    assert all(np.isfinite(value) for value in last.values())
    assert last["augment/p"] == (0 if "noaug" in options else 0.5)
    log = (run / "log.txt").read_text()
    if "--subset" in options:
        assert "data: 24 images of 8 x 8, 3 channels, 20 held out" in log
    sampling = ["sample", str(run), "--seeds", "0-1", "--out", str(tmp_path / "out")]
    assert main(sampling + (["--class", "2"] if "--conditional" in options else [])) == 0


@pytest.mark.parametrize(("mode", "size"), [("RGBA", (24, 16)), ("L", (8, 24))])
def test_images_with_alpha_or_without_colour_of_any_sides(
    mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
    random = np.random.RandomState(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(12):
        shape = (*size[::-1], len(mode))
        pixels = random.randint(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels if mode == "RGBA" else pixels[..., 0]).save(folder / f"{i}.png")
    options = ["--data", folder, "--kimg", 0.016, "--aug", "fixed", "--p", 0.9, *TINY]
    assert train("--out", tmp_path / "run", *options, "--augpipe", "bgcfnc") == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert f"data: 12 images of {size[0]} x {size[1]}, {len(mode)} channels" in log
    (last,) = stats(tmp_path / "run")
    assert all(np.isfinite(value) for value in last.values())


def test_the_embedded_emoji_can_be_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    capsys.readouterr()
    assert train("--data", "emoji", "--dry-run", "--augpipe", "bg", "--p-max", 1) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["algorithm"] == "stylegan2-ada"
    assert (values["aug"], values["augpipe"], values["p_max"]) == ("ada", "bg", 1.0)
    assert (values["ada_kimg"], values["target"], values["gamma"]) == (500, 0.6, 0.0256)
