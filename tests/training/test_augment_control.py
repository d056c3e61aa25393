"""The controller of augmentation against the formulas of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from pygan.training.augment_control import AugmentController


def control(signal: str = "rt", **options: float) -> AugmentController:
    settings = {"target": 0.6, "kimg": 1.0, "interval": 4, "batch": 8, **options}
    return AugmentController(signal, **settings)  # type: ignore[arg-type]


def test_p_follows_the_sign_of_the_excess() -> None:
    controller = control()
    random = np.random.RandomState(0)
    p, signs, course = 0.0, [], []
    for iteration in range(1, 201):
        batch = np.sign(random.randn(8) + np.sin(iteration / 20) + 1)
        controller.add_signs(float(batch.mean()), 8)
        signs.extend(batch)
        if iteration % 3 == 0:  # a regularisation step sees other images
            extra = np.sign(random.randn(8))
            controller.add_signs(float(extra.mean()), 8)
            signs.extend(extra)
        before = controller.p
        controller.end_iteration(iteration)
        if iteration % 4:
            assert controller.p == before
            continue
        assert controller.r == pytest.approx(np.mean(signs), abs=1e-12)
        p = min(max(p + np.sign(np.mean(signs) - 0.6) * 8 * 4 / 1000, 0.0), 0.8)
        assert controller.p == pytest.approx(p, abs=1e-12)
        signs = []
        course.append(np.sign(controller.p - before))
    assert {-1, 0, 1} == set(course)  # 0 at the lower end


def test_p_goes_from_0_to_its_limit_in_kimg_images_and_stops_there() -> None:
    controller = control(kimg=0.8, p_max=1.0)
    for iteration in range(1, 97):
        controller.add_signs(1.0, 8)
        controller.end_iteration(iteration)
    assert controller.p == pytest.approx(96 * 8 / 800)
    assert not controller.saturated
    for iteration in range(97, 121):
        controller.add_signs(1.0, 8)
        controller.end_iteration(iteration)
    assert controller.p == 1.0
    assert controller.saturated
    controller.add_signs(0.0, 8)
    controller.end_iteration(124)
    assert controller.p < 1
    assert not controller.saturated


def test_p_does_not_become_negative() -> None:
    controller = control(p=0.01)
    for iteration in range(1, 9):
        controller.add_signs(-1.0, 8)
        controller.end_iteration(iteration)
    assert controller.p == 0


def test_rv_is_the_share_of_the_lead_that_does_not_carry_over() -> None:
    controller = control("rv", interval=2)
    random = np.random.RandomState(1)
    logits = random.randn(3, 2, 8) + np.array([2.0, 1.0, -1.0])[:, None, None]
    for i in range(2):
        controller.add_logits(*logits[:, i].mean(axis=1).tolist(), 8)
        controller.add_signs(-1.0, 8)
    controller.end_iteration(2)
    training, held_out, generated = logits.mean(axis=(1, 2))
    assert controller.r == pytest.approx((training - held_out) / (training - generated))
    controller.add_logits(0.0, -5.0, 1.0, 8)  # D takes generated images for real ones
    controller.end_iteration(4)
    assert controller.r == 0


def test_restored_in_the_middle_of_an_interval_it_goes_on_the_same() -> None:
    first, second = control(), control()
    for iteration in range(1, 31):
        first.add_signs(0.7 + 0.2 * np.sin(iteration), 8)
        first.end_iteration(iteration)
        if iteration == 14:
            for name, array in second.state.items():
                array[...] = first.state[name]
        if iteration > 14:
            second.add_signs(0.7 + 0.2 * np.sin(iteration), 8)
            second.end_iteration(iteration)
    assert first.p > 0
    for name, array in first.state.items():
        np.testing.assert_array_equal(array, second.state[name])


def test_the_p_of_a_run_of_higher_limit_is_limited() -> None:
    controller = control(p_max=0.5)
    controller.state["augment/p"][:] = 0.7
    assert controller.p == 0.5
