"""Learning rates that change in the course of training, as functions of the position alone."""

from __future__ import annotations


def linear_decay(nimg: int, kimg: float, fraction: float) -> float:
    """The factor of a learning rate: 1, and at the end of training a linear fall to 0.

    Args:
        nimg: images seen.
        kimg: length of training, in thousands of images.
        fraction: the part of the training in which it falls: 0.5 for the 100 epochs of constant
            rate and 100 of decay that Pix2Pix is trained for, 0 for a constant rate.
    """
    if fraction <= 0:
        return 1.0
    left = 1 - nimg / (kimg * 1000)
    return min(max(left / fraction, 0.0), 1.0)
