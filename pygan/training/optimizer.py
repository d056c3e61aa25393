"""Optimisers: lazy regularisation and saved state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
from paddle import nn


def lazy_adam(
    parameters: Sequence[paddle.Tensor],
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    interval: int,
) -> paddle.optimizer.Adam:
    """Adam for a network that is regularised in every ``interval``-th iteration only.

    With ``c = k / (k + 1)`` for interval k, the optimiser takes ``learning_rate * c``,
    ``beta1 ** c`` and ``beta2 ** c``, because it makes k + 1 steps in k iterations (Karras et al.
    2020, "Analyzing and improving the image quality of StyleGAN", appendix B).

    Args:
        interval: iterations between two regularisation steps; 0 for no regularisation.
    """
    c = interval / (interval + 1) if interval > 0 else 1.0
    return paddle.optimizer.Adam(
        learning_rate=learning_rate * c,
        beta1=beta1**c,
        beta2=beta2**c,
        epsilon=epsilon,
        parameters=list(parameters),
    )


def optimizer_arrays(
    optimizer: paddle.optimizer.Optimizer, network: nn.Layer
) -> dict[str, np.ndarray]:
    """The state of an optimiser as ``{'<parameter>|<accumulator>': array}``.

    Paddle names accumulators after tensors that count up over the whole process; here they carry
    the parameter's name within the network, so that any other process can restore them.
    """
    owners = _owners(network)
    arrays = {}
    for key, value in optimizer.state_dict().items():
        if not isinstance(value, paddle.Tensor):
            continue
        tensor_name = max((name for name in owners if key.startswith(name + "_")), key=len)
        accumulator = key[len(tensor_name) + 1 :]
        arrays[f"{owners[tensor_name]}|{accumulator}"] = value.numpy()
    return arrays


def restore_optimizer(
    optimizer: paddle.optimizer.Optimizer, network: nn.Layer, arrays: dict[str, np.ndarray]
) -> None:
    """The inverse of ``optimizer_arrays``; what belongs to frozen parameters is passed over."""
    tensor_names = {name: tensor_name for tensor_name, name in _owners(network).items()}
    frozen = {name for name, parameter in network.named_parameters() if parameter.stop_gradient}
    state: dict[str, Any] = {}
    for key, array in arrays.items():
        parameter, accumulator = key.rsplit("|", 1)
        if parameter in frozen:
            continue
        state_key = f"{tensor_names[parameter]}_{accumulator}"
        state[state_key] = paddle.to_tensor(array)
        state[state_key].name = state_key
    optimizer.set_state_dict(state)


def _owners(network: nn.Layer) -> dict[str, str]:
    """Paddle's tensor name -> name within the network."""
    return {parameter.name: name for name, parameter in network.named_parameters()}
