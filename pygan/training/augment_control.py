"""How strongly to augment: the controller of adaptive discriminator augmentation.

Karras et al. 2020, "Training generative adversarial networks with limited data", section 3.1. The
discriminator overfits when it knows the training images; the controller measures that and moves
the probability p of the augmentations by a fixed step, up where overfitting exceeds the target,
down where it falls short.
"""

from __future__ import annotations

import numpy as np

SIGNALS = ("rt", "rv")


class AugmentController:
    """Moves p so that an overfitting heuristic r stays at its target.

    With D the logits, averaged over all images since the last update,

    * ``'rt'``: ``r = E[sign D(training images)]``;
    * ``'rv'``: ``r = (E[D(training)] - E[D(held out)]) / (E[D(training)] - E[D(generated)])``, the
      share of the discriminator's lead over the generator that does not carry over to images that
      it has not seen. Where D does not tell training images from generated ones, r is 0.

    Every ``interval`` iterations ``p += sign(r - target) * images / (kimg * 1000)``, within
    [0, ``p_max``]: p goes from 0 to 1 in ``kimg`` thousand images at the fastest. ``images`` counts
    those trained on since the last update: batch * interval.

    All state is in the arrays of ``state``, to be saved and restored in place.

    Args:
        signal: 'rt' or 'rv'.
        target: of r.
        kimg: thousands of images in which p may go from 0 to 1.
        interval: iterations between updates.
        batch: images per iteration.
        p: where to start.
        p_max: upper limit of p. Above about 0.8 the augmentations leak into the generator.
    """

    def __init__(
        self,
        signal: str,
        target: float,
        kimg: float,
        interval: int,
        batch: int,
        p: float = 0.0,
        p_max: float = 0.8,
    ) -> None:
        self.signal = signal
        self.target = target
        self.p_max = p_max
        self._interval = interval
        self._step = batch * interval / max(kimg * 1000, 1e-8)
        self._p = np.full([1], min(p, p_max), dtype=np.float64)
        self._r = np.zeros([1], dtype=np.float64)
        # Sum and count of: signs of training images; logits of training, held-out and generated.
        self._sums = np.zeros([4, 2], dtype=np.float64)

    @property
    def p(self) -> float:
        """The probability of the augmentations."""
        return min(float(self._p[0]), self.p_max)  # a state may come from a run of higher limit

    @property
    def r(self) -> float:
        """The heuristic at the last update."""
        return float(self._r[0])

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint must hold."""
        return {"augment/p": self._p, "augment/r": self._r, "augment/sums": self._sums}

    @property
    def saturated(self) -> bool:
        """Whether p is at its upper limit and ought to be higher."""
        return self.p >= self.p_max and self.r > self.target

    def add_signs(self, mean: float, count: int) -> None:
        """Mean of ``sign D`` over ``count`` training images."""
        self._add(0, mean, count)

    def add_logits(self, training: float, held_out: float, generated: float, count: int) -> None:
        """Means of D over ``count`` images each."""
        for row, mean in enumerate((training, held_out, generated), start=1):
            self._add(row, mean, count)

    def end_iteration(self, iteration: int) -> None:
        """Updates p if that is due after ``iteration`` iterations."""
        if iteration % self._interval:
            return
        self._r[0] = self._measure()
        self._sums[:] = 0
        moved = self.p + float(np.sign(self.r - self.target)) * self._step
        self._p[0] = min(max(moved, 0.0), self.p_max)

    def _add(self, row: int, mean: float, count: int) -> None:
        self._sums[row] += (mean * count, count)

    def _measure(self) -> float:
        signs, training, held_out, generated = self._sums[:, 0] / np.maximum(self._sums[:, 1], 1)
        if self.signal == "rt":
            return float(signs)
        lead = training - generated
        return float((training - held_out) / lead) if lead > 0 else 0.0
