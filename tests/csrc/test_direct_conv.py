"""The convolution engines (csrc/modulated_conv2d: direct, pointwise, onednn) against float64."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import conv_oracle as oracle
import numpy as np
import pytest

FLOATS = [np.float32, np.float64]


@pytest.fixture
def lib(native_lib: ctypes.CDLL):
    """The library on its direct path and one thread, put back afterwards."""
    oracle.set_path(native_lib, "direct")
    native_lib.pygan_test_set_threads(1)
    yield native_lib
    oracle.set_path(native_lib, "auto")
    native_lib.pygan_test_set_threads(1)


@pytest.mark.parametrize("seed", range(4))
def test_direct_random_geometry(lib, seed):
    oracle.check_random(lib, seed, 40)
    assert oracle.last_path(lib) == "direct"


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("path", ["direct", "auto"])
def test_every_instruction_set(native_path, isa, path):
    """Levels that the machine lacks fall back to its best one, and are checked there."""
    script = Path(oracle.__file__)
    run = subprocess.run(
        [sys.executable, str(script), str(native_path), path, "11", "60"],
        env={**os.environ, "PYGAN_CPU_ISA": isa, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    levels = ["baseline", "avx2", "avx512"]
    assert levels.index(run.stdout.strip()) <= levels.index(isa)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", oracle.OPS)
@pytest.mark.parametrize(
    "shape",
    [
        oracle.simple_shape(2, 130, 70, 8, 3, padding=1),  # several blocks of k, uneven rows
        oracle.simple_shape(3, 65, 33, 4, 3, padding=1),
        oracle.simple_shape(2, 40, 24, 33, 3, stride=2),
        oracle.simple_shape(1, 24, 40, 66, 3, padding=1),  # several blocks of columns
        oracle.simple_shape(1, 96, 520, 9, 1, stride=2),
        oracle.simple_shape(2, 32, 32, 16, 1),
        oracle.simple_shape(1, 2, 3, 700, 3, padding=1),  # a row of pixels above one block
        oracle.simple_shape(2, 48, 48, 9, 3, padding=1, groups=48),
        oracle.simple_shape(2, 700, 8, 5, 7, padding=3),
    ],
    ids=str,
)
def test_direct_blocking(lib, op, dtype, shape):
    """Shapes beyond one block of rows, columns or k, with every scale and epilogue."""
    if shape.w == 700:
        shape = oracle.Shape(1, 2, 3, 3, 700, 3, 700, pad_top=1, pad_left=1)
    rng = np.random.default_rng(5)
    oracle.check(lib, oracle.make_case(rng, op, shape, dtype, full=True))
    assert oracle.last_path(lib) == "direct"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", oracle.OPS)
def test_results_do_not_depend_on_threads(lib, op, dtype):
    rng = np.random.default_rng(6)
    shapes = [
        oracle.simple_shape(4, 96, 72, 4, 3, padding=1),
        oracle.simple_shape(2, 40, 48, 65, 3, stride=2),
        oracle.simple_shape(2, 40, 48, 40, 3, padding=1),
    ]
    for shape in shapes:
        case = oracle.make_case(rng, op, shape, dtype, full=True)
        results = []
        for threads in (1, 2, 3):
            lib.pygan_test_set_threads(threads)
            results.append(oracle.native(lib, *case.args()))
        assert all(np.array_equal(results[0], r) for r in results[1:])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", oracle.OPS)
@pytest.mark.parametrize("channels", [(3, 64), (64, 3), (1, 1), (4, 4), (2, 70), (513, 1)])
def test_pointwise(lib, op, dtype, channels):
    oracle.set_path(lib, "pointwise")
    rng = np.random.default_rng(7)
    for n, height, width in ((0, 4, 4), (1, 1, 1), (2, 5, 7), (3, 33, 65), (2, 0, 3)):
        shape = oracle.Shape(n, *channels, height, width, height, width, 1, 1)
        case = oracle.make_case(rng, op, shape, dtype, full=True)
        for threads in (1, 2):
            lib.pygan_test_set_threads(threads)
            oracle.check(lib, case)
        assert oracle.last_path(lib) == "pointwise"


@pytest.mark.parametrize("op", ["forward", "input_grad"])
@pytest.mark.parametrize("act", list(oracle.ACTS))
def test_epilogue_of_special_values(lib, op, act):
    """Infinities go through the activation by its definition, and NaN stays NaN."""
    shape = oracle.simple_shape(1, 5, 5, 6, 1, padding=0)
    x = np.ones(shape.x(), np.float32)
    w = np.zeros(shape.weight(), np.float32)
    bias = np.array([np.inf, -np.inf, np.nan, 3, -3], np.float32)
    e = oracle.Epilogue(bias=bias, act=act, gain=2.0)
    got = oracle.native(lib, op, shape, x, w, epilogue=e)[0, :, 0, 0]
    slope = {"linear": 1.0, "relu": 0.0, "lrelu": 0.2}[act]
    want = np.array([np.inf, -np.inf if slope else 0, np.nan, 6, -6 * slope], np.float32)
    np.testing.assert_allclose(got, want, rtol=1e-6)


class TestOneDnn:
    @pytest.fixture
    def onednn(self, lib):
        pytest.importorskip("paddle")  # loads the library that the path looks for
        lib.pygan_test_onednn_status.restype = ctypes.c_char_p
        shape = oracle.simple_shape(1, 8, 8, 8, 3, padding=1)
        if not lib.pygan_test_path_supports(b"onednn", 0, 0, shape.array()):
            pytest.skip(f"no oneDNN: {lib.pygan_test_onednn_status().decode()}")
        oracle.set_path(lib, "onednn")
        return lib

    @pytest.mark.parametrize("op", oracle.OPS)
    @pytest.mark.parametrize(
        "shape",
        [
            oracle.simple_shape(2, 16, 32, 8, 3, padding=1),
            oracle.simple_shape(2, 16, 24, 17, 3, stride=2),
            oracle.simple_shape(2, 16, 24, 18, 3, stride=2),  # a last row that nothing reads
            oracle.simple_shape(1, 7, 65, 9, 1),
            oracle.simple_shape(2, 12, 24, 8, 3, padding=1, groups=3),
            oracle.simple_shape(2, 9, 9, 8, 3, padding=1, groups=9),
            oracle.Shape(1, 4, 6, 11, 13, 11, 11, 3, 3, 1, 1, 2, 1, 2, 0),  # dilated, uneven
        ],
        ids=str,
    )
    def test_matches_the_definition(self, onednn, op, shape):
        rng = np.random.default_rng(8)
        oracle.check(onednn, oracle.make_case(rng, op, shape, np.float32, full=True))
        assert oracle.last_path(onednn) == "onednn"

    def test_random_geometry(self, onednn):
        """Shapes that oneDNN declines (crops, nothing at all) are computed on the direct path."""
        oracle.check_random(onednn, 9, 40)

    def test_many_geometries(self, onednn):
        """More shapes than primitives are cached."""
        rng = np.random.default_rng(10)
        for width in (*range(1, 140), 1, 2):
            shape = oracle.Shape(1, 2, 2, 3, width, 3, width, pad_top=1, pad_left=1)
            oracle.check(onednn, oracle.make_case(rng, "forward", shape, np.float32, full=True))
            assert oracle.last_path(onednn) == "onednn"


def test_path_can_be_asked_for(lib):
    shape = oracle.simple_shape(1, 8, 8, 8, 3, padding=1)
    assert lib.pygan_test_set_conv_path(b"fastest") == 0
    rng = np.random.default_rng(12)
    case = oracle.make_case(rng, "forward", shape, np.float64, full=True)
    oracle.set_path(lib, "winograd")  # float only: float64 takes another path
    oracle.check(lib, case)
    assert oracle.last_path(lib) == "direct"


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("op", oracle.OPS)
def test_winograd_through_the_planner(lib, op, stride):
    oracle.set_path(lib, "winograd")
    rng = np.random.default_rng(13)
    shape = oracle.simple_shape(2, 5, 7, 13, 3, stride=stride, padding=2 - stride)
    case = oracle.make_case(rng, op, shape, np.float32, full=True)
    oracle.check(lib, case, oracle.WINOGRAD_TOLERANCE)
    assert oracle.last_path(lib) == "winograd"
