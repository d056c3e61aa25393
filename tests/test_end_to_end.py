"""The way of a user with a folder of pictures, in miniature: each command on what others wrote.

Pictures of many shapes become a dataset; a foreign checkpoint is fine-tuned on it, with curves of
metrics; the generator is measured, projected to, mixed, walked, truncated, and given away again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

sys.path.append(str(Path(__file__).resolve().parent / "interop"))
sys.path.append(str(Path(__file__).resolve().parent / "metrics"))

import ada_pickles as ada
from features import TinyExtractor
from scipy import linalg
from torch_pickles import dumps

import pygan.apps.metrics
import pygan.metrics.extractors
from pygan.cli import main
from pygan.data import open_dataset
from pygan.training import checkpoint as checkpoints

SIZE, COUNT = 32, 40
WIDTHS = [12, 12, 12, 8]  # of the foreign networks, at 4 x 4 to 32 x 32
LAYERS = 2 * len(WIDTHS)


def pygan_command(*words: Any) -> None:
    assert main([str(word) for word in words]) == 0


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_same_picture(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to rounding: products of matrices differ in their last bit with the batch."""
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found == expected).mean() > 0.98


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder for everything, a cache of its own, and an extractor that needs no weights."""
    folder = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYGAN_CACHE", str(folder / "cache"))
        patch.setattr(pygan.metrics.extractors, "find_extractor", lambda name: TinyExtractor())
        patch.setattr(pygan.apps.metrics, "choose_extractor", lambda name: "tiny")
        yield folder


@pytest.fixture(scope="module")
def photos(home: Path) -> Path:
    """Emoji as people keep pictures: of several sizes and formats, in sub-folders, one damaged."""
    folder = home / "my photos"
    (folder / "more").mkdir(parents=True)
    emoji, _ = open_dataset("emoji").load(range(0, 20 * COUNT, 20))
    for i, pixels in enumerate(emoji):
        image = Image.fromarray(pixels.transpose(1, 2, 0))
        if i % 4 == 1:
            image.resize((90, 60)).save(folder / "more" / f"IMG {i:02d}.JPG", quality=95)
        elif i % 4 == 2:
            alpha = Image.fromarray(np.where(pixels.min(axis=0) > 250, 0, 255).astype(np.uint8))
            black = Image.composite(image, Image.new("RGB", image.size), alpha)
            black.putalpha(alpha)
            black.save(folder / f"cut out {i:02d}.png")
        elif i % 4 == 3:
            image.resize((40, 100)).convert("P").save(folder / f"{i:02d}.gif")
        else:
            image.save(folder / f"{i:02d}.png")
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def dataset(home: Path, photos: Path) -> Path:
    pygan_command("data", "build", photos, home / "photos.zip", "--size", SIZE, "--crop", "center")
    return home / "photos.zip"


@pytest.fixture(scope="module")
def foreign(home: Path) -> Path:
    """A checkpoint of stylegan2-ada-pytorch."""
    random = np.random.RandomState(0)
    networks = {
        "G": ada.random_generator(random, WIDTHS),
        "D": ada.random_discriminator(random, WIDTHS),
    }
    networks["G_ema"] = networks["G"]
    (home / "some.pkl").write_bytes(dumps(ada.checkpoint(networks)))
    return home / "some.pkl"


@pytest.fixture(scope="module")
def run(home: Path, dataset: Path, foreign: Path) -> Path:
    words: list[Any] = ["train", "stylegan2-ada", "--data", dataset, "--resume", foreign]
    words += ["--freeze-d", 5, "--metrics", "kid,fid", "--metrics-samples", 40]
    words += ["--out", home / "run", "--batch", 8, "--kimg", 0.64, "--tick", 0.08, "--snapshot", 1]
    words += ["--ema-kimg", 0.05, "--ada-kimg", 1, "--p", 0.1, "--target", 0.2, "--grid", "4x2"]
    pygan_command(*words, "--workers", 0, "--gamma", 0.1, "--keep", 2)
    return home / "run"


def test_the_folder_became_a_dataset(home: Path, photos: Path, dataset: Path) -> None:
    found = open_dataset(dataset)
    assert (len(found), found.image_shape) == (COUNT, (3, SIZE, SIZE))
    images, labels = found.load(range(COUNT))
    assert labels is None
    # In the order of names: the square PNGs can be found again, shrunk by Pillow alone.
    means = images.astype(float).mean(axis=(1, 2, 3))
    for path in (photos / "00.png", photos / "36.png"):
        small = Image.open(path).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        expected = np.asarray(small).transpose(2, 0, 1)
        assert (images == expected).all(axis=(1, 2, 3)).sum() == 1
    # What was transparent is white, though it was black below.
    cut = Image.open(photos / "cut out 02.png")
    assert (np.asarray(cut)[..., :3][np.asarray(cut)[..., 3] == 0] == 0).all()
    assert (images[:, :, 0, 0] == 255).all(axis=1).mean() > 0.8
    assert means.min() > 60


def test_training_took_the_foreign_networks_and_froze_layers(run: Path, foreign: Path) -> None:
    random = np.random.RandomState(0)
    ada.random_generator(random, WIDTHS)
    theirs = ada.random_discriminator(random, WIDTHS)
    assert "afresh" not in (run / "log.txt").read_text()
    saved = checkpoints.newest(run / "checkpoints", print)
    assert saved is not None
    ours = saved.arrays("D")
    names = [name for name in theirs if name.endswith(".weight")]
    kept = {name for name in names if np.array_equal(ours[name], np.float32(theirs[name]))}
    top = {name for name in names if name.startswith("b32.")}
    # The five layers of the highest resolution: fromrgb, conv0, conv1, skip, and b16's first.
    assert kept == top | {"b16.conv0.weight"}
    stats = [line for line in lines_of(run / "stats.jsonl") if "augment/p" in line]
    assert [line["iteration"] for line in stats] == list(range(10, 81, 10))
    assert all(0 <= line["augment/p"] <= 0.8 for line in stats)
    assert len({line["augment/p"] for line in stats}) > 1


def test_the_metrics_have_a_curve_and_its_best_is_kept(
    run: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = lines_of(run / "metrics.jsonl")
    assert [line["iteration"] for line in curve] == list(range(10, 81, 10))
    assert list(curve[0])[2:] == ["kd_tiny", "fd_tiny"]
    values = [line["kd_tiny"] for line in curve]
    assert min(values) < values[0] / 2, "it learnt nothing"
    best = curve[int(np.argmin(values))]
    assert json.loads((run / "best" / "metrics.json").read_text()) == best
    assert checkpoints.load(run / "best").manifest["iteration"] == best["iteration"]
    # Other codes, from the checkpoint: the numbers are of the same kind.
    capsys.readouterr()
    pygan_command("metrics", run / "best", "--against", dataset, "--samples", 80)
    measured = {
        line["metric"]: line for line in map(json.loads, capsys.readouterr().out.split("\n")[:-1])
    }
    for name, line in measured.items():
        assert line["value"] == pytest.approx(best[name], rel=0.5, abs=0.02), name
        assert (line["real"]["count"], line["fake"]["count"]) == (COUNT, 80)


def test_a_distance_of_drawn_files_is_the_formulas(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pygan_command("sample", run, "--seeds", "0-29", "--out", tmp_path / "drawn")
    (tmp_path / "drawn" / "grid.png").unlink()
    drawn = np.stack([pixels_of(path) for path in sorted((tmp_path / "drawn").iterdir())])
    capsys.readouterr()
    pygan_command("metrics", tmp_path / "drawn", "--against", dataset, "--metrics", "fid")
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    real, _ = open_dataset(dataset).load(range(COUNT))
    extractor = TinyExtractor()
    x = extractor(real, ["pool"])["pool"].astype(np.float64)
    y = extractor(drawn.transpose(0, 3, 1, 2), ["pool"])["pool"].astype(np.float64)
    a, b = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(a @ b).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
    assert line["value"] == pytest.approx(expected, rel=1e-4)


def test_a_picture_of_ones_own_is_projected(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    words = ["--steps", 80, "--samples", 200, "--perceptual", "pixels", "--video", "none"]
    words += ["--space", "w+"]
    pygan_command("project", run, photos / "more" / "IMG 01.JPG", *words, "--out", out)
    target, found = pixels_of(out / "target.png"), pixels_of(out / "projected.png")
    whole = Image.open(photos / "more" / "IMG 01.JPG").crop((15, 0, 75, 60))
    middle = np.asarray(whole.resize((SIZE, SIZE), Image.Resampling.LANCZOS), int)
    assert np.abs(target - middle).mean() < 3
    report = json.loads((out / "projection.json").read_text())
    error = np.mean((target.astype(float) - found) ** 2)
    assert report["psnr"] == pytest.approx(10 * np.log10(255**2 / error), rel=1e-6)
    # Closer than the image of the mean code, from which it started.
    pygan_command("sample", run, "--seeds", 0, "--trunc", 0, "--out", tmp_path / "mean")
    start = pixels_of(tmp_path / "mean" / "seed0000.png")
    assert error < 0.6 * np.mean((target.astype(float) - start) ** 2)
    # The code goes on: it draws the same picture.
    pygan_command("sample", run, "--w", out / "projected.npz", "--out", tmp_path / "again")
    (again,) = set((tmp_path / "again").iterdir()) - {tmp_path / "again" / "grid.png"}
    assert_same_picture(pixels_of(again), found)


def test_styles_are_mixed_with_it(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    words = ["--steps", 2, "--samples", 50, "--perceptual", "pixels", "--video", "none"]
    pygan_command("project", run, photos / "00.png", *words, "--noise", "const", "--out", out)
    rows = ["--rows", f"0,{out / 'projected.npz'}", "--cols", "5-7"]
    drawn = tmp_path / "drawn"
    pygan_command("sample", run, "--seeds", "0,5-7", "--out", drawn)
    pygan_command("mix", run, *rows, "--styles", f"0-{LAYERS - 1}", "--out", tmp_path / "all.png")
    pygan_command("mix", run, *rows, "--styles", "coarse", "--out", tmp_path / "coarse.png")
    whole, coarse = pixels_of(tmp_path / "all.png"), pixels_of(tmp_path / "coarse.png")
    gap = SIZE // 8
    assert whole.shape == (gap + 3 * SIZE, gap + 4 * SIZE, 3)

    def cell(picture: np.ndarray, row: int, column: int) -> np.ndarray:
        y, x = (i and i * SIZE + gap for i in (row, column))
        return picture[y : y + SIZE, x : x + SIZE]

    for column, seed in enumerate((5, 6, 7), 1):
        expected = pixels_of(drawn / f"seed000{seed}.png")
        for row in (0, 1, 2):  # all layers from the column: its image
            assert_same_picture(cell(whole, row, column), expected)
        assert not np.array_equal(cell(coarse, 1, column), expected)
        assert not np.array_equal(cell(coarse, 1, column), cell(coarse, 1, 0))
    assert_same_picture(cell(coarse, 1, 0), pixels_of(drawn / "seed0000.png"))
    assert_same_picture(cell(coarse, 2, 0), pixels_of(out / "projected.png"))


def test_a_walk_passes_through_its_keys(run: Path, tmp_path: Path) -> None:
    pygan_command("sample", run, "--seeds", "2-4", "--out", tmp_path)
    words = ["--keys", "2-4", "--frames", 4, "--zoom", 2, "--out", tmp_path / "walk.gif"]
    pygan_command("walk", run, *words)
    with Image.open(tmp_path / "walk.gif") as gif:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    assert len(frames) == 12
    for key, seed in enumerate((2, 3, 4)):
        expected = pixels_of(tmp_path / f"seed000{seed}.png").astype(int)
        # A GIF has 256 colours.
        assert np.abs(frames[4 * key][::2, ::2] - expected).mean() < 8
        assert not np.array_equal(frames[4 * key], frames[4 * key + 2])


def test_truncation_leads_to_the_mean(run: Path, tmp_path: Path) -> None:
    pygan_command("sample", run, "--seeds", "1,9", "--trunc=0,0.5,1", "--out", tmp_path)
    pygan_command("sample", run, "--seeds", "1,9", "--out", tmp_path)
    table = pixels_of(tmp_path / "truncation.png")
    assert table.shape == (2 * SIZE, 3 * SIZE, 3)
    cells = table.reshape(2, SIZE, 3, SIZE, 3).transpose(0, 2, 1, 3, 4)
    assert_same_picture(cells[0, 0], cells[1, 0])
    assert not np.array_equal(cells[0, 1], cells[1, 1])
    for row, seed in enumerate((1, 9)):
        assert_same_picture(cells[row, 2], pixels_of(tmp_path / f"seed000{seed}.png"))


def test_the_weights_leave_and_come_back(run: Path, tmp_path: Path) -> None:
    pygan_command("export", run / "best", tmp_path / "photos.pt")
    pygan_command("import", tmp_path / "photos.pt", tmp_path / "back")
    for source, out in ((run / "best", "ours"), (tmp_path / "back", "back")):
        pygan_command("sample", source, "--seeds", "0-3", "--grid", "--out", tmp_path / out)
    ours, back = (pixels_of(tmp_path / out / "grid.png") for out in ("ours", "back"))
    assert_same_picture(back, ours)
    assert ours.std() > 10
