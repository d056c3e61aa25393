"""The compiled operators of augmentation: wild numbers, threads, instruction sets, workspace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from augment_cases import IMPLS, TOLERANCE, random_matrices, random_rows

from pygan.ops import color_transform, image_filter, native_info, warp
from pygan.ops._native import call
from pygan.runtime import set_num_threads

pytestmark = pytest.mark.usefixtures("needs_native")

WARP, COLOR, FILTER = range(3)  # `which` of pg_augment
IDENTITY = [1.0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308, -1e18, 2.0**31])
def test_matrices_that_lead_nowhere(bad: float) -> None:
    """What Python cannot refuse on a GPU must not harm: the sample is NaN, its neighbours whole."""
    rng = np.random.default_rng(0)
    x = paddle.to_tensor(rng.standard_normal([8, 2, 9, 11]), stop_gradient=False)
    matrices = np.tile(IDENTITY, [8, 1])
    for n in range(6):
        matrices[n, n] = bad
    matrices[6] = random_matrices(rng, (1, 2, 9, 11))
    y = call("pg_augment", x, paddle.to_tensor(matrices), None, WARP)
    (g,) = paddle.grad([y], [x], grad_outputs=[paddle.ones_like(y)])
    for result in (y.numpy(), g.numpy()):
        assert np.isnan(result[:6]).all()
        assert np.isfinite(result[6:]).all()
    np.testing.assert_array_equal(y.numpy()[7], x.numpy()[7])


@pytest.mark.parametrize("impl", IMPLS)
def test_the_farthest_legal_positions(impl: str) -> None:
    rng = np.random.default_rng(1)
    x = paddle.to_tensor(rng.standard_normal([3, 1, 4, 6]))
    far = 2.0**30
    matrices = np.array([[1, 0, far, 0, 1, 0], [1, 0, far - 64, 0, 1, 0.5], [1, 0, 0, 0, -far, 0]])
    y = warp(x, paddle.to_tensor(matrices), impl=impl).numpy()
    assert np.isnan(y[0]).all()
    assert np.isnan(y[2]).all()
    near = (far - 64) % 10  # of the period of six columns
    matrices[1, 2] = near
    again = warp(x, paddle.to_tensor(matrices), impl=impl).numpy()
    np.testing.assert_allclose(y[1], again[1], rtol=0, atol=1e-6)


def test_numbers_that_are_not_finite() -> None:
    rng = np.random.default_rng(2)
    x = paddle.to_tensor(rng.standard_normal([4, 3, 5, 7]).astype("float32"))
    for colors in (1, 3):
        rows = random_rows(rng, (4, 3, 5, 7), colors)
        rows[0, -4:] = np.nan  # no cut-out
        rows[1, -4:] = [-np.inf, np.inf, -np.inf, 2]
        rows[2, 0] = np.inf
        rows[2, -4:] = 0
        y = call("pg_augment", x, paddle.to_tensor(rows), None, COLOR).numpy()
        assert np.isfinite(y[0]).all()
        assert (y[0, :colors] != 0).any()
        assert (y[1, :colors, :2] == 0).all()
        assert (y[1, :, 2:] != 0).all()
        assert not np.isfinite(y[2, 0]).any()
    taps = rng.standard_normal([4, 3])
    taps[1, 0] = np.nan
    y = call("pg_augment", x, paddle.to_tensor(taps), None, FILTER).numpy()
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[[0, 2, 3]]).all()


@pytest.mark.parametrize(
    ("which", "numbers", "message"),
    [
        (WARP, np.zeros([2, 6]), "a row for each image"),
        (WARP, np.zeros([1, 5]), "there are 5 numbers"),
        (WARP, np.zeros([1, 6], np.float32), "must be float64"),
        (COLOR, np.zeros([1, 17]), "there are 17 numbers for each image of 2 channels"),
        (FILTER, np.zeros([1, 4]), "there are 4 numbers"),
        (3, np.zeros([1, 6]), "`which` must be"),
        (-1, np.zeros([1, 6]), "`which` must be"),
    ],
)
def test_the_operator_checks_what_it_is_given(
    which: int, numbers: np.ndarray, message: str
) -> None:
    with pytest.raises(OSError, match=message):
        call("pg_augment", paddle.zeros([1, 2, 4, 4]), paddle.to_tensor(numbers), None, which)


def test_noise_belongs_to_colours() -> None:
    x, numbers = paddle.zeros([1, 2, 4, 4]), paddle.zeros([1, 6], "float64")
    with pytest.raises(OSError, match="takes no noise"):
        call("pg_augment", x, numbers, x, WARP)
    with pytest.raises(OSError, match="`noise` must be"):
        call("pg_augment", x, paddle.zeros([1, 7], "float64"), x, COLOR)


def test_same_bits_for_any_number_of_threads(restored_threads: None) -> None:
    rng = np.random.default_rng(3)
    results = []
    shapes = ((2, 3, 130, 97), (9, 2, 66, 70))
    numbers = [(random_matrices(rng, s), random_rows(rng, s, 1)) for s in shapes]
    images = [[rng.standard_normal(s).astype("float32") for _ in range(2)] for s in shapes]
    for threads in (1, 2, 3, 1):
        set_num_threads(threads)
        for dtype in ("float32", "bfloat16"):
            for (matrices, rows), (x, dy) in zip(numbers, images):
                t = paddle.to_tensor(x).astype(dtype)
                t.stop_gradient = False
                taps = paddle.to_tensor(rows[:, :3])
                for y in (
                    warp(t, paddle.to_tensor(matrices), impl="native"),
                    color_transform(t, paddle.to_tensor(rows), impl="native"),
                    image_filter(t, taps, impl="native"),
                ):
                    grads = [paddle.to_tensor(dy).astype(dtype)]
                    (g,) = paddle.grad([y], [t], grad_outputs=grads)
                    results += [y.astype("float32").numpy(), g.astype("float32").numpy()]
    runs = np.array_split(np.arange(len(results)), 4)
    for run in runs[1:]:
        for first, again in zip(runs[0], run):
            np.testing.assert_array_equal(results[again], results[first])


def test_workspace_is_that_of_a_tile_not_of_the_batch() -> None:
    rng = np.random.default_rng(4)
    shape = (8, 4, 256, 256)
    x = paddle.to_tensor(rng.standard_normal(shape).astype("float32"), stop_gradient=False)
    matrices = random_matrices(rng, shape)
    matrices[:, [0, 1, 3, 4]] /= 1.5 * np.linalg.norm(matrices[:, [0, 1, 3, 4]], axis=1)[:, None]
    before = native_info()["scratch_bytes"]
    y = warp(x, paddle.to_tensor(matrices), impl="native")
    (y * y).sum().backward()
    grown = native_info()["scratch_bytes"] - before
    assert grown < 4 * x.size  # a quarter of the batch at twice its resolution


LEVELS = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from augment_cases import random_matrices, random_rows
import paddle
from pygan.ops import color_transform, image_filter, warp
from pygan.ops._native import native_info

rng = np.random.default_rng(0)
out = {}
for dtype in ("float32", "float64", "float16", "bfloat16"):
    for shape in ((3, 3, 37, 53), (2, 1, 1, 90), (1, 4, 70, 2)):
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        x.stop_gradient = False
        rows = random_rows(rng, shape, 1)
        for y in (
            warp(x, paddle.to_tensor(random_matrices(rng, shape)), impl="native"),
            color_transform(x, paddle.to_tensor(rows), impl="native"),
            image_filter(x, paddle.to_tensor(rows[:, :5]), impl="native"),
        ):
            (g,) = paddle.grad([y], [x], grad_outputs=[x.detach()])
            out[f"{dtype}-{len(out)}"] = y.astype("float64").numpy()
            out[f"{dtype}-{len(out)}"] = g.astype("float64").numpy()
np.savez(sys.argv[2], **out)
print(native_info()["cpu_isa"])
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    here = Path(__file__).resolve()
    results = {}
    for isa in ("baseline", "avx2", "avx512"):
        path = tmp_path / f"{isa}.npz"
        done = subprocess.run(
            [sys.executable, "-c", LEVELS, str(here.parent), str(path)],
            env={**os.environ, "PYTHONPATH": str(here.parents[2]), "PYGAN_CPU_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        )
        results[done.stdout.split()[-1]] = np.load(path)
    assert "baseline" in results
    first = results["baseline"]
    for result in results.values():
        for name in first.files:
            tolerance = TOLERANCE[name.partition("-")[0]]
            scale = 4 * max(1.0, np.abs(first[name]).max())
            np.testing.assert_allclose(result[name], first[name], rtol=0, atol=tolerance * scale)
