"""Codes from seeds and files, and the files themselves."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from apps_models import assert_same_images, make_model
from PIL import Image

from pygan.apps.codes import draw, find_codes, read_codes, truncate, write_codes, write_drawn
from pygan.apps.sample import TrainedModel, load_model
from pygan.cli import main
from pygan.errors import InputError


@pytest.mark.parametrize("psi", [1.0, 0.7, 0.0, -1.0])
def test_codes_of_seeds_draw_what_the_algorithm_draws(model: TrainedModel, psi: float) -> None:
    ws = find_codes(model, "0-2,9", "--rows", truncation=psi)
    assert ws.shape == (4, 6, 8)
    assert_same_images(draw(model, ws, batch=3), model.sample([0, 1, 2, 9], truncation=psi))


def test_truncation_is_a_line_through_the_mean(model: TrainedModel) -> None:
    ws = find_codes(model, "0-1", "--rows").astype(np.float64)
    average = model.networks["G"].mapping.w_avg.numpy().astype(np.float64)
    np.testing.assert_allclose(truncate(model, ws, 0), np.broadcast_to(average, ws.shape))
    expected = average + (ws - average) * 0.25
    np.testing.assert_allclose(truncate(model, ws, 0.25), expected, atol=1e-7)


def test_seeds_of_a_conditional_model_need_a_class() -> None:
    conditional = make_model(classes=3)
    with pytest.raises(InputError, match="--class is required"):
        find_codes(conditional, "0", "--rows")
    with pytest.raises(InputError, match="--class: must be from 0 to 2"):
        find_codes(conditional, "0", "--rows", label=3)
    codes = [find_codes(conditional, "0", "--rows", label=label) for label in (0, 2)]
    assert np.abs(codes[0] - codes[1]).max() > 0.1
    expected = conditional.sample([0], label=2)
    assert_same_images(draw(conditional, codes[1]), expected)


def test_files_and_seeds_mix_in_order(model: TrainedModel, tmp_path: Path) -> None:
    ws = find_codes(model, "5,6", "--rows")
    write_codes(tmp_path / "two.npz", ws)
    found = find_codes(model, f"1,{tmp_path / 'two.npz'},2", "--rows")
    expected = find_codes(model, "1-2", "--rows")
    np.testing.assert_allclose(found[[0, 3]], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[1:3], ws)
    assert [path.name for path in tmp_path.iterdir()] == ["two.npz"]


@pytest.mark.parametrize("shape", [(8,), (1, 8), (1, 1, 8), (1, 6, 8)])
def test_one_code_per_image_is_for_all_layers(
    model: TrainedModel, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    w = np.random.RandomState(0).randn(*shape)
    np.savez(tmp_path / "w.npz", w=w)
    if len(shape) == 1:
        with pytest.raises(InputError, match=r"w has shape \[8\]; this model takes \[N, 6, 8\]"):
            read_codes(tmp_path / "w.npz", model)
        return
    codes = read_codes(tmp_path / "w.npz", model)
    expected = np.broadcast_to(w.reshape(1, -1, 8), (1, 6, 8)).astype(np.float32)
    np.testing.assert_array_equal(codes.ws, expected)
    assert codes.noise is None


def test_noise_of_a_file_is_drawn(model: TrainedModel, tmp_path: Path) -> None:
    shapes = model.networks["G"].synthesis.noise_shapes
    random = np.random.RandomState(0)
    noise = [random.randn(*shape).astype(np.float32) for shape in shapes]
    ws = find_codes(model, "3-5", "--rows")
    write_codes(tmp_path / "c.npz", ws, noise)
    codes = read_codes(tmp_path / "c.npz", model)
    assert codes.noise is not None
    expected = draw(model, ws, noise=noise)
    write_drawn(model, tmp_path / "c.npz", tmp_path / "own", columns=1)
    write_drawn(model, tmp_path / "c.npz", tmp_path / "const", columns=1, noise="const")
    pictures = [
        np.asarray(Image.open(tmp_path / name / "grid.png"))
        .transpose(2, 0, 1)
        .reshape(3, 3, 16, 16)
        for name in ("own", "const")
    ]
    np.testing.assert_array_equal(pictures[0].transpose(1, 0, 2, 3), expected)
    np.testing.assert_array_equal(pictures[1].transpose(1, 0, 2, 3), draw(model, ws))
    assert (pictures[0] != pictures[1]).any()


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was run",))


def test_bad_files_are_refused(model: TrainedModel, tmp_path: Path) -> None:
    good = np.zeros((1, 6, 8), np.float32)
    maps = {f"noise{i}": np.zeros(s, np.float32) for i, s in enumerate([(4, 4)] + 2 * [(8, 8)])}
    cases = {
        "has no array called w, but v": {"v": good},
        r"w has shape \[1, 5, 8\]; this model takes \[N, 6, 8\]": {"w": good[:, :5]},
        r"w has shape \[1, 6, 7\]": {"w": good[:, :, :7]},
        r"w has shape \[0, 6, 8\]": {"w": good[:0]},
        "w has values that are not finite": {"w": good + np.inf},
        "w holds <U1, not numbers": {"w": np.array(["a"])},
        "noise3 has shape None": {"w": good, **maps},
    }
    for message, arrays in cases.items():
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(InputError, match=message):
            read_codes(tmp_path / "bad.npz", model)
    path = tmp_path / "broken.npz"
    with pytest.raises(InputError, match="does not exist"):
        read_codes(path, model)
    np.savez(path, w=good)
    damaged = path.read_bytes()
    for content in (b"", b"PK\3\4", damaged[:-30], pickle.dumps(_Harmful()), b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"is not an \.npz file"):
            read_codes(path, model)
    np.savez(path, w=np.array([_Harmful()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"is not an \.npz file"):
        read_codes(path, model)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", pickle.dumps(_Harmful()))
    with pytest.raises(InputError, match=r"broken\.npz: w|is not an \.npz file"):
        read_codes(path, model)


def test_sample_draws_a_file_of_codes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = load_model(run)
    ws = find_codes(trained, "0-1", "--rows")
    write_codes(tmp_path / "w.npz", ws)
    words = ["sample", str(run), "--w", str(tmp_path / "w.npz"), "--out", str(tmp_path / "out")]
    assert main([*words, "--trunc", "0.5"]) == 0
    names = ["code0000.png", "code0001.png", "grid.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    found = np.asarray(Image.open(tmp_path / "out" / names[1])).transpose(2, 0, 1)
    np.testing.assert_array_equal(found, draw(trained, truncate(trained, ws, 0.5))[1])
    for extra in (["--seeds", "1"], ["--class", "1"], ["--noise", "random"]):
        assert main([*words, *extra]) == 2
        assert f"{extra[0]}" in capsys.readouterr().err
    assert main([*words, "--trunc=0,1"]) == 2
    assert "--trunc: takes one psi" in capsys.readouterr().err
