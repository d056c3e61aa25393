"""Lazy regularisation's Adam against numpy, and optimiser state across processes."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn

from pygan.training.optimizer import lazy_adam, optimizer_arrays, restore_optimizer


def train(network: nn.Layer, optimizer: paddle.optimizer.Optimizer, seeds: range) -> None:
    for seed in seeds:
        x = paddle.to_tensor(np.random.RandomState(seed).randn(4, 3).astype(np.float32))
        network(x).square().mean().backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)


def test_lazy_adam_takes_the_step_of_numpys_adam() -> None:
    interval, rate, beta1, beta2, epsilon = 4, 0.1, 0.5, 0.9, 1e-8
    c = interval / (interval + 1)
    weight = paddle.create_parameter([3], "float32")
    weight.set_value(np.array([1.0, -2.0, 3.0], dtype=np.float32))
    optimizer = lazy_adam([weight], rate, beta1, beta2, epsilon, interval)
    expected, m, v = weight.numpy().astype(np.float64), np.zeros(3), np.zeros(3)
    for t in range(1, 6):
        gradient = np.array([0.1 * t, -0.2, 0.3 / t])
        (weight * paddle.to_tensor(gradient.astype(np.float32))).sum().backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)
        m = beta1**c * m + (1 - beta1**c) * gradient
        v = beta2**c * v + (1 - beta2**c) * gradient**2
        m_hat, v_hat = m / (1 - beta1 ** (c * t)), v / (1 - beta2 ** (c * t))
        expected -= rate * c * m_hat / (np.sqrt(v_hat) + epsilon)
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5)


def test_without_regularisation_nothing_is_scaled() -> None:
    weight = paddle.create_parameter([1], "float32")
    optimizer = lazy_adam([weight], 0.1, 0.5, 0.9, 1e-8, 0)
    assert optimizer.get_lr() == 0.1
    assert (optimizer._beta1, optimizer._beta2) == (0.5, 0.9)


def test_state_moves_to_another_network_bit_by_bit() -> None:
    # Networks made before shift Paddle's tensor names, as in a process that did other things.
    first = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 2))
    optimizer = lazy_adam(first.parameters(), 0.01, 0.0, 0.99, 1e-8, 16)
    train(first, optimizer, range(5))
    arrays = optimizer_arrays(optimizer, first)
    assert {name.split("|")[0] for name in arrays} == set(first.state_dict())
    second = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 2))
    second.set_state_dict(first.state_dict())
    other = lazy_adam(second.parameters(), 0.01, 0.0, 0.99, 1e-8, 16)
    restore_optimizer(other, second, arrays)
    train(first, optimizer, range(5, 9))
    train(second, other, range(5, 9))
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), second.state_dict()[name].numpy())
    after, other_after = optimizer_arrays(optimizer, first), optimizer_arrays(other, second)
    assert after.keys() == other_after.keys()
    for name in after:
        np.testing.assert_array_equal(after[name], other_after[name])
