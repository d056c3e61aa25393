"""The CUDA kernels' counts on small cases are no worse than benchmarks/gpu_model/golden.json."""

from __future__ import annotations

from benchmarks.gpu_model import golden


def test_no_count_got_worse() -> None:
    assert golden.worse(golden.measure(), golden.read()) == []
