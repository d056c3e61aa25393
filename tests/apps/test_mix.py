"""Style mixing and the table of truncations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from apps_models import assert_same_images, make_model
from PIL import Image

from pygan.apps.codes import draw, find_codes
from pygan.apps.mix import mix, mixing_picture, parse_styles
from pygan.apps.sample import TrainedModel, load_model, parse_truncations
from pygan.cli import main
from pygan.errors import InputError


def test_mixing_takes_the_layers_from_the_columns() -> None:
    rows = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    columns = -1 - np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    mixed = mix(rows, columns, [4, 1])
    assert mixed.shape == (2, 4, 5, 3)
    for r in range(2):
        for c in range(4):
            for layer in range(5):
                source = columns[c] if layer in (1, 4) else rows[r]
                np.testing.assert_array_equal(mixed[r, c, layer], source[layer])
    assert (rows >= 0).all()
    assert (columns < 0).all()


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 16), (4, 24, 8)])
def test_picture_has_a_head_and_a_first_column(shape: tuple[int, int, int]) -> None:
    model = make_model(shape)
    _, height, width = shape
    picture = mixing_picture(model, "0-1", "2-4", "0,2", truncation=0.7, batch=2)
    left, top = width + width // 8, height + height // 8
    assert picture.shape == (top + 2 * height, left + 3 * width, shape[0])
    images = model.sample(range(5), truncation=0.7).transpose(0, 2, 3, 1)
    ws = find_codes(model, "0-4", "--rows", truncation=0.7)
    for c in range(3):
        column = slice(left + c * width, left + (c + 1) * width)
        assert_same_images(picture[:height, column], images[2 + c])
        for r in range(2):
            row = slice(top + r * height, top + (r + 1) * height)
            assert_same_images(picture[row, :width], images[r])
            code = ws[r : r + 1].copy()
            code[:, [0, 2]] = ws[2 + c, [0, 2]]
            expected = draw(model, code)[0].transpose(1, 2, 0)
            assert_same_images(picture[row, column], expected)
    assert (picture[:top, :left] == 255).all()
    assert (picture[height:top] == 255).all()
    assert (picture[:, width:left] == 255).all()


@pytest.mark.parametrize(
    ("text", "layers"),
    [("coarse", [0, 1, 2, 3]), ("middle", [4, 5, 6, 7]), ("fine", [8, 9]), ("3,0-1", [3, 0, 1])],
)
def test_styles(text: str, layers: list[int]) -> None:
    assert parse_styles(text, 10) == layers


@pytest.mark.parametrize("text", ["fine", "8", "0-8", "rough", "", "-1"])
def test_bad_styles(text: str) -> None:
    with pytest.raises(InputError, match="--styles"):
        parse_styles(text, 8)


def test_mix_writes_the_picture(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mix", str(run), "--rows", "7", "--cols", "1-2", "--trunc", "0.5"]) == 0
    assert str(run / "mix.png") in capsys.readouterr().out
    expected = mixing_picture(load_model(run), "7", "1-2", "coarse", truncation=0.5)
    assert_same_images(np.asarray(Image.open(run / "mix.png")), expected)
    (run / "mix.png").unlink()
    assert not list(run.glob(".mix*"))


def test_mix_refuses_bad_input(
    run: Path, conditional_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        ([run, "--rows", "x"], "--rows: expected numbers and ranges such as 0-63"),
        ([run, "--cols", "1,,2"], "--cols: expected numbers"),
        ([run, "--styles", "9"], "--styles: this model has layers 0-5, got '9'"),
        ([run, "--batch", "0"], "--batch: must be at least 1"),
        ([run, "--trunc", "nan"], "--trunc: must be finite"),
        ([run, "--out", "a.jpg"], "--out: must end in .png"),
        ([run, "--rows", "no.npz"], "no.npz does not exist"),
        ([run, "--class", "1"], "--class: the model was trained without labels"),
        ([conditional_run], "--class is required"),
    ]
    for words, message in cases:
        assert main(["mix", *map(str, words)]) == 2, words
        assert message in capsys.readouterr().err, words
    assert (
        main(["mix", str(conditional_run), "--class", "1", "--out", str(tmp_path / "a.png")]) == 0
    )
    assert Image.open(tmp_path / "a.png").size == (18 + 6 * 16, 18 + 4 * 16)


def test_several_truncations_make_a_table(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", str(run), "--seeds", "3,5", "--out", str(tmp_path)]
    assert main([*words, "--trunc=-1,0.5,1"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["truncation.png"]
    picture = np.asarray(Image.open(tmp_path / "truncation.png"))
    assert picture.shape == (32, 48, 3)
    trained = load_model(run)
    for column, psi in enumerate((-1, 0.5, 1)):
        expected = trained.sample([3, 5], truncation=psi).transpose(0, 2, 3, 1)
        found = picture[:, 16 * column : 16 * (column + 1)].reshape(2, 16, 16, 3)
        np.testing.assert_array_equal(found, expected)
    capsys.readouterr()
    assert main([*words, "--trunc", "half"]) == 2
    assert "--trunc: expected numbers such as 0.7 or -1,0,1, got 'half'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "1,", "nan", "1,inf", "a"])
def test_bad_truncations(text: str) -> None:
    with pytest.raises(InputError, match="--trunc"):
        parse_truncations(text)


def test_an_algorithm_without_codes_says_so(model: TrainedModel) -> None:
    from paddle import nn

    other = TrainedModel(model.algorithm, model.config, model.data, {"G": nn.Linear(2, 2)}, 0)
    with pytest.raises(InputError, match="intermediate latent codes"):
        find_codes(other, "0", "--rows")
