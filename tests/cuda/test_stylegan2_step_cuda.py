"""A whole StyleGAN2 step on the emulated kernels equals the CPU's."""

from __future__ import annotations

import numpy as np
import pytest
from stylegan2_step import PHASES, phase_results, tiny_model

from csrc.ptx.runtime import record_launches
from pygan.ops import emulated


@pytest.mark.parametrize("phase", PHASES)
def test_step_equals_the_cpu(phase: str) -> None:
    model = tiny_model()
    expected = phase_results(model, phase)
    with emulated(), record_launches() as launches:
        actual = phase_results(model, phase)
    assert launches, "nothing ran on the emulator"
    assert actual.keys() == expected.keys()
    assert len(expected) > 10
    for key, value in expected.items():
        scale = max(np.abs(value).max(), 1e-6)
        error = np.abs(actual[key] - value).max() / scale
        assert error < 1e-3, f"{phase}: {key} is off by {error:.2g} of its largest value"
