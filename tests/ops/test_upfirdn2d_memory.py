"""upfirdn2d on awkward memory, on any number of threads and on other instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from upfirdn2d_cases import IMPLS, TAPS

from pygan.ops import setup_filter, upfirdn2d
from tests.gradcheck import HARD_LAYOUTS, empty_batch

pytestmark = pytest.mark.usefixtures("needs_native")


@pytest.mark.parametrize("layout", HARD_LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_layouts(layout: str, dtype: str) -> None:
    array = np.random.default_rng(11).standard_normal([2, 3, 17, 35]).astype(dtype)
    for up, down in ((1, 1), (2, 1), (1, 2)):
        plain = upfirdn2d(paddle.to_tensor(array), TAPS, up, down, 2, impl="native").numpy()
        x = HARD_LAYOUTS[layout](array)
        np.testing.assert_array_equal(x.numpy(), array)
        y = upfirdn2d(x, TAPS, up, down, 2, impl="native")
        np.testing.assert_array_equal(y.numpy(), plain)


def test_transposed_gradient_of_the_result() -> None:
    rng = np.random.default_rng(12)
    x = paddle.to_tensor(rng.standard_normal([2, 3, 6, 8]), stop_gradient=False)
    dy = rng.standard_normal([2, 3, 12, 16])
    y = upfirdn2d(x, TAPS, 2, padding=[2, 1, 2, 1], impl="native")
    (plain,) = paddle.grad([y], [x], grad_outputs=[paddle.to_tensor(dy)], retain_graph=True)
    (g,) = paddle.grad([y], [x], grad_outputs=[HARD_LAYOUTS["transposed"](dy)])
    np.testing.assert_array_equal(g.numpy(), plain.numpy())


@pytest.mark.parametrize("impl", IMPLS)
def test_no_images(impl: str) -> None:
    x = empty_batch(np.zeros([2, 3, 4, 5], np.float32))
    assert upfirdn2d(x, setup_filter(TAPS), 2, padding=2, impl=impl).shape == [0, 3, 9, 11]
    assert upfirdn2d(paddle.zeros([2, 0, 4, 5]), None, impl=impl).shape == [2, 0, 4, 5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [256, 257])
def test_large_results_are_those_of_their_planes(width: int, dtype: str) -> None:
    """Large results are written around the cache, in whole lines where rows do not end with one."""
    rng = np.random.default_rng(15)
    array = rng.standard_normal([1, 20, 259, width]).astype(dtype)
    for up, down, padding in ((1, 1, [2, 1, 2, 1]), (2, 1, [2, 1, 2, 1]), (1, 1, [2, 2, 2, 2])):
        for f in (TAPS, rng.standard_normal([3, 2])):
            x = paddle.to_tensor(array)
            y = upfirdn2d(x, f, up, down, padding, impl="native").numpy()
            assert y.nbytes > 5e6
            for c in range(20):
                plane = upfirdn2d(x[:, c : c + 1], f, up, down, padding, impl="native").numpy()
                assert plane.nbytes < 4e6
                np.testing.assert_array_equal(y[:, c : c + 1], plane)


SCRIPT = """
import hashlib
import numpy as np
import paddle
from pygan.ops import upfirdn2d
from pygan.ops._native import native_info

rng = np.random.default_rng(0)
digest = hashlib.sha256()
for dtype in ("float32", "float64", "float16", "bfloat16"):
    for shape in ((16, 8, 37, 53), (1, 1, 1200, 1001), (1, 3, 20, 1100)):
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        for f in (np.array([1., 3., 3., 1.]), rng.standard_normal(12), rng.standard_normal([3, 4])):
            for up, down in ((1, 1), (2, 1), (1, 2), (3, 2)):
                y = upfirdn2d(x, f, up, down, 6, impl="native")
                digest.update(y.astype("float64").numpy().tobytes())
print(native_info()["cpu_isa"], native_info()["threads"], digest.hexdigest())
"""


def _run(**environment: str) -> list[str]:
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()


def test_result_does_not_depend_on_the_number_of_threads() -> None:
    one, three = _run(OMP_NUM_THREADS="1"), _run(OMP_NUM_THREADS="3")
    assert (one[1], three[1]) == ("1", "3")
    assert one[2] == three[2]


ISA_SCRIPT = """
import sys
sys.path.insert(0, {ops!r})
import numpy as np
import paddle
from pygan.ops._native import native_info
from upfirdn2d_cases import TOLERANCE, oracle, random_case

rng = np.random.default_rng(0)
for _ in range(120):
    case = random_case(rng)
    for dtype, tolerance in (("float64", 1e-12), *TOLERANCE.items()):
        x = paddle.to_tensor(rng.standard_normal(case.shape)).astype(dtype)
        x64 = x.astype("float64").numpy()
        y = case.run(x, "native").astype("float64").numpy()
        assert np.abs(y - oracle(x64, case)).max() <= tolerance * max(1, case.scale(x64)), case
print(native_info()["cpu_isa"])
"""


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_other_instruction_sets(isa: str) -> None:
    here = Path(__file__).resolve()
    script = ISA_SCRIPT.format(ops=str(here.parent))
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(here.parents[2]), "PYGAN_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    # The machine running this may have less than it was asked for.
    assert result.stdout.split()[-1] in ("baseline", isa)
