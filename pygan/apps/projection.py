"""Projection: the code and the noise whose image looks like a given one.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 5 and appendix
D. Adam minimises

    distance(G(w + jitter, n), target) + noise_weight * R(n)

over the code w and the noise maps n of all layers. The jitter explores: it is normal, and its
deviation falls from a small part of that of codes to 0. R keeps picture out of the noise: it is 0
where neighbouring pixels are uncorrelated at every scale.

The start is the mean code and, where the paper draws new ones, the model's own noise maps. They are
normal, too; but from others a small generator, whose images depend much on its noise, does not find
back to what it has drawn itself, and codes found with others do not go with the model's own.

In 'w' all layers share one code, which finds what the generator can really draw; in 'w+' every
layer has its own, which comes closer to any image, and leaves the space that was trained (Abdal et
al. 2019, "Image2StyleGAN").
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.apps.codes import style_generator
from pygan.apps.perceptual import Distance
from pygan.apps.sample import TrainedModel
from pygan.errors import InputError
from pygan.ops import no_weight_gradients
from pygan.training.rng import StepRandom

SPACES = ("w", "w+")
NOISE = ("optimize", "const")


@dataclass(frozen=True)
class ProjectionOptions:
    """How to project; the defaults are the paper's.

    Attributes:
        space: 'w' or 'w+'.
        steps: of the optimiser.
        learning_rate: at its highest.
        ramp_up: part of the steps in which it rises linearly from 0.
        ramp_down: part of the steps in which it falls to 0, as a cosine.
        jitter: initial deviation of the code's noise, in deviations of codes.
        jitter_ramp: part of the steps after which there is none; it falls quadratically.
        noise: 'optimize', or 'const' for the maps stored in the model, which then stay as they are.
        noise_weight: of R.
        samples: codes from which mean and deviation are estimated.
        seed: of all random numbers.
    """

    space: str = "w"
    steps: int = 1000
    learning_rate: float = 0.1
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    jitter: float = 0.05
    jitter_ramp: float = 0.75
    noise: str = "optimize"
    noise_weight: float = 1e5
    samples: int = 10000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise InputError(f"--space: must be one of {', '.join(SPACES)}, got {self.space!r}")
        if self.noise not in NOISE:
            raise InputError(f"--noise: must be one of {', '.join(NOISE)}, got {self.noise!r}")
        for option, value, least in (("steps", self.steps, 1), ("samples", self.samples, 2)):
            if value < least:
                raise InputError(f"--{option}: must be at least {least}, got {value}")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"--lr: must be positive, got {self.learning_rate:g}")
        if not 0 <= self.noise_weight < math.inf:
            raise InputError(f"--noise-weight: must be 0 or more, got {self.noise_weight:g}")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        t = step / self.steps
        down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / self.ramp_down))
        return self.learning_rate * down * min(1.0, t / self.ramp_up)

    def jitter_at(self, step: int) -> float:
        """The deviation of the code's noise in a step, in deviations of codes."""
        return self.jitter * max(0.0, 1 - step / self.steps / self.jitter_ramp) ** 2


@dataclass(frozen=True)
class Projection:
    """Where a projection stands.

    Attributes:
        ws: the codes [1, num_ws, w_dim], without jitter.
        noise: one map [h, w] per layer.
        loss: of the step: distance and noise term, with jitter.
    """

    ws: np.ndarray
    noise: list[np.ndarray]
    loss: float


def project(
    model: TrainedModel,
    target: np.ndarray,
    distance: Distance,
    options: Optional[ProjectionOptions] = None,
    *,
    label: Optional[int] = None,
    on_step: Callable[[int, Callable[[], Projection]], None] = lambda step, state: None,
) -> Projection:
    """Searches for the code of an image.

    Args:
        model: that is to draw it.
        target: the image [C, H, W] uint8, of the model's shape.
        distance: what is to become small.
        options: None for the defaults.
        label: class whose mean code is the start; None for the mean of all classes.
        on_step: called after each step with its number, from 0, and a function that returns where
            the projection stands.

    Raises:
        InputError: the target has another shape, or a value is not finite.
    """
    options = options or ProjectionOptions()
    generator = style_generator(model)
    if target.shape != model.data.image_shape:
        raise InputError(
            f"the target has shape {list(target.shape)}; this model draws "
            f"{list(model.data.image_shape)}"
        )
    if label is not None:
        model.check_label(label)
    mean, deviation = code_statistics(model, options.samples, options.seed, label)
    synthesis = generator.synthesis
    count = synthesis.num_ws if options.space == "w+" else 1
    w = _variable(np.tile(mean, (1, count, 1)))
    if options.noise == "const":
        maps = [layer.noise_const for layer in synthesis.noise_layers]
        searched = []
    else:
        maps = searched = [_variable(layer.noise_const.numpy()) for layer in synthesis.noise_layers]
    optimizer = paddle.optimizer.Adam(options.learning_rate, 0.9, 0.999, parameters=[w, *searched])
    measure = distance.to(paddle.to_tensor(target[None].astype(np.float32) / 127.5 - 1))
    value = math.nan

    def state() -> Projection:
        ws = np.repeat(w.numpy(), synthesis.num_ws // count, axis=1)
        return Projection(ws, [noise.numpy() for noise in maps], value)

    with frozen(generator):
        for step in range(options.steps):
            random = StepRandom(options.seed, "project", step, [0])
            jitter = random.normal("jitter", [count, mean.size])
            scale = np.float32(options.jitter_at(step) * deviation)
            ws = (w + paddle.to_tensor(jitter * scale)).expand([1, synthesis.num_ws, mean.size])
            with no_weight_gradients():
                loss = measure(synthesis(ws, noise=maps))
                if searched:
                    loss = loss + options.noise_weight * noise_correlation(searched)
                loss.backward()
            value = float(loss)
            if not math.isfinite(value):
                raise InputError(
                    f"the projection has diverged in step {step}: the loss is {value}; "
                    "choose a smaller --lr"
                )
            optimizer.set_lr(options.learning_rate_at(step))
            optimizer.step()
            optimizer.clear_grad()
            _normalize(searched)
            on_step(step, state)
    return state()


def noise_correlation(maps: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """``R``: squared correlation of neighbouring pixels, over all maps [h, w] and scales.

    ``sum (mean n * shift_x(n))^2 + (mean n * shift_y(n))^2``, shifts being cyclic. Coarser scales
    are means over 2 x 2 pixels times 2, which keeps the variance of white noise; the coarsest has a
    side of 8 pixels or less, or an odd one.
    """
    terms = []
    for noise in maps:
        level = noise.reshape([1, 1, *noise.shape])
        while True:
            for axis in (2, 3):
                terms.append(paddle.square((level * level.roll(1, axis)).mean()))
            sides = level.shape[2:]
            if min(sides) <= 8 or any(side % 2 for side in sides):
                break
            level = F.avg_pool2d(level, 2) * 2
    return paddle.add_n(terms)


@paddle.no_grad()
def code_statistics(
    model: TrainedModel, samples: int, seed: int, label: Optional[int] = None
) -> tuple[np.ndarray, float]:
    """Mean code [w_dim] and the root of the mean squared distance from it.

    Args:
        model: whose codes they are.
        samples: how many codes to draw.
        seed: of their latent codes.
        label: their class; None draws classes as often as they occur in the data.
    """
    mapping = style_generator(model).mapping
    source = np.random.RandomState(seed)
    z = source.randn(samples, mapping.z_dim).astype(np.float32)
    classes = None
    if model.data.num_classes > 0:
        counts = np.array(model.data.class_counts, dtype=np.float64)
        classes = source.choice(len(counts), samples, p=counts / counts.sum())
        classes = np.full(samples, label) if label is not None else classes
    codes = []
    for i in range(0, samples, 1000):
        part = None if classes is None else paddle.to_tensor(classes[i : i + 1000].astype(np.int64))
        codes.append(mapping(paddle.to_tensor(z[i : i + 1000]), part)[:, 0].numpy())
    ws = np.concatenate(codes).astype(np.float64)
    mean = ws.mean(axis=0)
    deviation = math.sqrt(np.square(ws - mean).sum() / samples)
    return mean.astype(np.float32), deviation


@contextlib.contextmanager
def frozen(network: nn.Layer) -> Iterator[None]:
    """No parameter of the network gets a gradient inside the block."""
    before = [(parameter, parameter.stop_gradient) for parameter in network.parameters()]
    try:
        for parameter, _ in before:
            parameter.stop_gradient = True
        yield
    finally:
        for parameter, stopped in before:
            parameter.stop_gradient = stopped


def _variable(values: np.ndarray) -> paddle.Tensor:
    variable = paddle.create_parameter(list(values.shape), "float32")
    variable.set_value(values.astype(np.float32))
    return variable


@paddle.no_grad()
def _normalize(maps: Sequence[paddle.Tensor]) -> None:
    """Brings each map to mean 0 and variance 1."""
    for noise in maps:
        centred = noise - noise.mean()
        scale = paddle.rsqrt(paddle.square(centred).mean() + 1e-12)
        paddle.assign(centred * scale, output=noise)
