"""pygan's operators and networks under pytest-benchmark: `pytest benchmarks`.

For watching one build against another with `--benchmark-save` and `--benchmark-compare`; the
comparison with other frameworks is `python -m benchmarks.report`. Sizes are small.
"""

from __future__ import annotations

import math

import pytest

pytest.importorskip("pytest_benchmark")

from benchmarks.harness import Goal, Timing, ratio
from benchmarks.workloads import pygan_networks, pygan_ops

SHAPE = [4, 64, 64, 64]
backward = pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward+backward"])


@pytest.fixture(scope="module", autouse=True)
def tuned_malloc():
    """As in training; otherwise page faults are most of what the small sizes would show."""
    pygan_ops.tune_malloc()


@backward
def test_bias_act(benchmark, backward):
    benchmark(pygan_ops.bias_act(SHAPE, backward))


@backward
@pytest.mark.parametrize("mode", ["up2", "down2", "blur"])
def test_upfirdn2d(benchmark, mode, backward):
    benchmark(pygan_ops.upfirdn2d(SHAPE, mode, backward))


@backward
@pytest.mark.parametrize(("channels", "size"), [(64, 64), (128, 16)])
def test_styled_layer(benchmark, channels, size, backward):
    benchmark(pygan_ops.styled_layer(4, channels, size, backward))


@backward
@pytest.mark.parametrize(("batch", "size"), [(8, 64), (2, 128)])
def test_augment(benchmark, batch, size, backward):
    benchmark(pygan_ops.augment(batch, size, backward))


@backward
@pytest.mark.parametrize("noise", [False, True], ids=["regions", "noise"])
def test_label_conv(benchmark, noise, backward):
    benchmark(pygan_ops.label_conv(1, 30, 64, 64, noise, backward))


@backward
def test_spade_norm(benchmark, backward):
    benchmark(pygan_ops.spade_norm(2, 8, 32, backward))


def test_generator(benchmark):
    images = benchmark(pygan_networks.generator(resolution=32, batch=4, channel_base=1024))
    assert images.shape == [4, 3, 32, 32]


@pytest.mark.parametrize("phase", ["Gmain", "Greg", "Dmain", "Dreg"])
def test_iteration(benchmark, phase):
    phases = pygan_networks.iteration(resolution=16, batch=4, channel_base=256)
    benchmark.pedantic(phases[phase], rounds=3, warmup_rounds=1)


def test_ratio_of_times_and_of_rates():
    timings = {
        "memcpy": Timing([1.0, 2.0, 30.0], {}),  # the median, 2 s
        "pygan": Timing([4.0, 5.0, 3.0], {}),  # 4 s
    }
    assert math.isclose(ratio(Goal("memcpy"), timings), 0.5)
    # Half as fast in time, but for three times the bytes.
    assert math.isclose(ratio(Goal("memcpy", bytes_moved=6, base_bytes=2), timings), 1.5)
