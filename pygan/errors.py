"""Exceptions of training and of the command line."""

from __future__ import annotations


class InputError(ValueError):
    """What the user asked for is not possible; the message is one line that says what to do."""


class TrainingError(RuntimeError):
    """Training cannot go on: a loss, a gradient or a weight is no longer finite."""
