"""What an augmented batch is made of, in numpy: the same numbers for every framework."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# The symlet of 12 taps (Daubechies, "Ten Lectures on Wavelets", 1992, table 8.3), with sum 1.
TAPS = np.array([
    0.01089235016328, 0.00246830618592, -0.08343160770584, -0.03416156079324,
    0.34722898647835, 0.55694639196396, 0.23895218566605, -0.05136248493090001,
    -0.01489187564922, 0.03162528132994, 0.00124996104639, -0.00551593375469,
])  # fmt: skip
CENTRE = 5


class Numbers(NamedTuple):
    """For pygan: a matrix ``[6]`` and a row of colours ``[17]`` for each image."""

    matrices: np.ndarray
    rows: np.ndarray


def draw(samples: int, height: int, width: int, p: float = 0.6, seed: int = 0) -> Numbers:
    """Geometry and colours as "Training Generative Adversarial Networks with Limited Data" (2020)
    draws them by default (bgc), each transform with probability p."""
    random = np.random.default_rng(seed)

    def gate(probability: float = p) -> bool:
        return bool(random.random() < probability)

    def affine(a: float, b: float, c: float, d: float, x: float = 0, y: float = 0) -> np.ndarray:
        return np.array([[a, b, x], [c, d, y], [0, 0, 1]], dtype=np.float64)

    matrices, rows = [], []
    turns = 1 - np.sqrt(1 - p)
    axis = np.ones(3) / np.sqrt(3)
    luma = np.outer(axis, axis)
    for _ in range(samples):
        m = np.eye(3)
        if gate():
            m = m @ affine(1 - 2 * random.integers(2), 0, 0, 1)
        if gate():
            c, s = [(1, 0), (0, -1), (-1, 0), (0, 1)][random.integers(4)]
            m = m @ affine(c, -s, s, c)
        if gate():
            x, y = np.round((2 * random.random(2) - 1) * 0.125 * np.array([width, height]))
            m = m @ affine(1, 0, 0, 1, x, y)
        for stretch in (False, True):
            if gate():
                scale = np.exp2(0.2 * random.standard_normal())
                m = m @ affine(scale, 0, 0, 1 / scale if stretch else scale)
            if gate(turns):
                angle = (2 * random.random() - 1) * np.pi
                m = m @ affine(np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle))
        if gate():
            x, y = 0.125 * random.standard_normal(2) * [width, height]
            m = m @ affine(1, 0, 0, 1, x, y)
        matrices.append(m[:2].ravel())

        color, offset = np.eye(3), np.zeros(3)
        if gate():
            offset += 0.2 * random.standard_normal()
        if gate():
            contrast = np.exp2(0.5 * random.standard_normal())
            color, offset = contrast * color, contrast * offset
        if gate() and random.integers(2):
            mirror = np.eye(3) - 2 * luma
            color, offset = mirror @ color, mirror @ offset
        if gate():
            angle = (2 * random.random() - 1) * np.pi
            cross = np.cross(np.eye(3), axis)
            turn = luma + np.cos(angle) * (np.eye(3) - luma) + np.sin(angle) * cross
            color, offset = turn @ color, turn @ offset
        if gate():
            grey = luma + np.exp2(random.standard_normal()) * (np.eye(3) - luma)
            color, offset = grey @ color, grey @ offset
        rows.append(np.concatenate([color.ravel(), offset, np.zeros(5)]))
    return Numbers(np.array(matrices), np.array(rows))


class Plan(NamedTuple):
    """For compositions: padding [left, right, top, bottom], and affine_grid's theta, which maps
    the ``[2 H + 10, 2 W + 10]`` grid to the padded image at twice its resolution."""

    padding: list[int]
    theta: np.ndarray


def plan(matrices: np.ndarray, height: int, width: int) -> Plan:
    """How far the whole batch has to be padded, and where its pixels come from."""
    a = matrices.reshape(-1, 2, 3)
    size = np.array([width, height])
    centre = (size - 1) / 2
    linear = a[:, :, :2]
    shift = a[:, :, 2] + centre - linear @ centre
    low, high = [-CENTRE / 2, -CENTRE / 2], size + CENTRE / 2
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
    points = np.einsum("nij,kj->nki", linear, corners) + shift[:, None]
    reach = CENTRE // 2 + 2
    before = np.clip(np.ceil(-points.min((0, 1))) + reach, 0, size - 1)
    after = np.clip(np.ceil(points.max((0, 1)) - (size - 1)) + reach, 0, size - 1)
    # Both grids count from -1 to 1, from the outer edge of one border pixel to that of the other.
    padded, grid = 2 * (size + before + after), 2 * size + 2 * CENTRE
    scale = linear * grid[None, None, :] / padded[None, :, None]
    pixel = 2 * (shift + before) + linear @ ((grid - 1) / 2 - CENTRE)
    offset = (2 * pixel + 1) / padded - 1
    theta = np.concatenate([scale, offset[:, :, None]], 2)
    left, top, right, bottom = (int(i) for i in (*before, *after))
    return Plan([left, right, top, bottom], theta)
