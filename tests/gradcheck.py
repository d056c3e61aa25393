"""Finite-difference checks of first and second derivatives, and inputs that are hard on operators.

`check_gradients` is meant for operators written by hand, whose gradients of gradients have many
ways of going wrong that one plain backward pass does not show: a term that is lost when only one
input lies on the path to the target, when an input needs no gradient, or when a graph is walked
twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Optional

import numpy as np
import paddle

Function = Callable[..., paddle.Tensor]


def check_gradients(
    f: Function,
    *arrays: np.ndarray,
    names: Optional[Sequence[str]] = None,
    second_order: bool = True,
    samples: int = 4,
    eps: float = 1e-5,
    rtol: float = 1e-6,
    seed: int = 0,
    stopped: Optional[Iterable[Sequence[int]]] = None,
) -> None:
    """Compare the derivatives of ``f`` with central differences, in float64.

    With random constants r and v_i, and y = f(*inputs), the functions that are differentiated are

        loss  = sum(r * y) + sum(y * y) / 2          first order:  g_i = d loss / d input_i
        outer = sum over targets i of sum(v_i * g_i)  second order: d outer / d input_k

    so that the gradient arriving at f is itself a function of the inputs. This is done for every
    set of inputs that need no gradient, and for every non-empty set of targets among the others.

    Args:
        f: takes as many tensors as there are arrays; must be smooth around them (keep the inputs
            of piecewise functions some 1e-3 away from their kinks).
        arrays: the point at which to differentiate.
        names: of the inputs, for the messages.
        second_order: also check the derivatives of outer.
        samples: elements of each input that are perturbed (all, if it has no more).
        eps: step of the differences.
        rtol: accepted error, relative to the largest derivative of the same pair of inputs.
        seed: of r, v and the choice of elements.
        stopped: sets of positions to hold constant (stop_gradient=True); None for all sets.
    """
    arrays = tuple(np.ascontiguousarray(a, dtype=np.float64) for a in arrays)
    _Check(f, arrays, names, samples, eps, rtol, seed).run(second_order, stopped)


class _Check:
    def __init__(
        self,
        f: Function,
        arrays: tuple[np.ndarray, ...],
        names: Optional[Sequence[str]],
        samples: int,
        eps: float,
        rtol: float,
        seed: int,
    ) -> None:
        self.f, self.arrays, self.eps, self.rtol = f, arrays, eps, rtol
        self.names = list(names or (f"input {i}" for i in range(len(arrays))))
        rng = np.random.default_rng(seed)
        with paddle.no_grad():
            shape = f(*tensors(arrays)).shape
        self.r = paddle.to_tensor(rng.standard_normal(shape))
        self.v = tensors([rng.standard_normal(a.shape) for a in arrays])
        self.elements = [
            rng.choice(a.size, min(a.size, samples), replace=False) if a.size else []
            for a in arrays
        ]

    def run(self, second_order: bool, stopped: Optional[Iterable[Sequence[int]]]) -> None:
        everything = range(len(self.arrays))
        slopes, curvatures = self._differences(second_order)
        sets = _subsets(everything) if stopped is None else stopped
        for held in sets:
            live = [i for i in everything if i not in held]
            for targets in _subsets(live):
                if targets:
                    self._check(targets, held, live, slopes, curvatures)

    def _loss(self, inputs: Sequence[paddle.Tensor]) -> paddle.Tensor:
        y = self.f(*inputs)
        return (y * self.r).sum() + (y * y).sum() * 0.5

    def _differences(self, second_order: bool) -> tuple[Any, Any]:
        """[k][j]: d loss / d element j of input k; [i][k][j]: d (v_i . g_i) / d the same."""
        everything = range(len(self.arrays))
        slopes = [np.zeros(len(e)) for e in self.elements]
        curvatures = [[np.zeros(len(e)) for e in self.elements] for _ in everything]
        for k in everything:
            for j, element in enumerate(self.elements[k]):
                for sign in (1, -1):
                    moved = [a.copy() for a in self.arrays]
                    moved[k].reshape(-1)[element] += sign * self.eps
                    inputs = tensors(moved, live=everything)
                    loss = self._loss(inputs)
                    slopes[k][j] += sign * loss.item() / (2 * self.eps)
                    if not second_order:
                        continue
                    grads = paddle.grad([loss], inputs, allow_unused=True)
                    for i, g in enumerate(grads):
                        if g is not None:
                            step = (g * self.v[i]).sum().item() / (2 * self.eps)
                            curvatures[i][k][j] += sign * step
        return slopes, curvatures if second_order else None

    def _check(
        self,
        targets: Sequence[int],
        held: Sequence[int],
        live: Sequence[int],
        slopes: Any,
        curvatures: Any,
    ) -> None:
        case = f"targets {self._list(targets)}, stopped {self._list(held)}"
        inputs = tensors(self.arrays, live=live)
        grads = paddle.grad(
            [self._loss(inputs)],
            [inputs[i] for i in targets],
            create_graph=curvatures is not None,
            allow_unused=True,
        )
        for i, g in zip(targets, grads):
            self._compare(f"first order, d/d {self.names[i]}, {case}", g, i, slopes[i])
        if curvatures is None:
            return
        outer = [(g * self.v[i]).sum() for i, g in zip(targets, grads) if g is not None]
        if not outer:
            return
        paddle.add_n(outer).backward()
        for k in live:
            expected = sum(curvatures[i][k] for i in targets)
            self._compare(f"second order, d/d {self.names[k]}, {case}", inputs[k].grad, k, expected)

    def _compare(
        self, what: str, grad: Optional[paddle.Tensor], k: int, expected: np.ndarray
    ) -> None:
        shape = self.arrays[k].shape
        if grad is None:
            actual = np.zeros(shape)
        else:
            assert tuple(grad.shape) == shape, f"{what}: shape {grad.shape} instead of {shape}"
            actual = grad.numpy()
        assert np.isfinite(actual).all(), f"{what}: not finite: {actual}"
        for j, element in enumerate(self.elements[k]):
            got, want = actual.reshape(-1)[element], expected[j]
            tolerance = self.rtol * max(1.0, float(np.abs(expected).max()))
            where = tuple(int(n) for n in np.unravel_index(element, shape))
            assert abs(got - want) <= tolerance, (
                f"{what}: element {where} is {got:.9g}, finite differences give {want:.9g} "
                f"(error {abs(got - want):.2g}, tolerance {tolerance:.2g})"
                + (" [Paddle returned no gradient]" if grad is None else "")
            )

    def _list(self, positions: Sequence[int]) -> str:
        return "{" + ", ".join(self.names[i] for i in positions) + "}"


def check_retain_graph(f: Function, *arrays: np.ndarray) -> None:
    """Walk one graph three times: both orders must give the same bits each time."""
    inputs = tensors([np.asarray(a, dtype=np.float64) for a in arrays], live=range(len(arrays)))
    y = f(*inputs)
    loss = (y * y).sum()
    loss.backward(retain_graph=True)
    once = [None if t.grad is None else t.grad.numpy() for t in inputs]
    first = paddle.grad([loss], inputs, create_graph=True, retain_graph=True, allow_unused=True)
    outer = paddle.add_n([(g * g).sum() for g in first if g is not None])
    twice = [paddle.grad([outer], inputs, retain_graph=True, allow_unused=True) for _ in range(2)]
    for t in inputs:
        t.clear_grad()
    loss.backward()
    for k, t in enumerate(inputs):
        again = None if t.grad is None else t.grad.numpy()
        _same_bits(f"input {k}, first order", once[k], again)
        _same_bits(f"input {k}, create_graph", once[k], first[k])
        _same_bits(f"input {k}, second order", twice[0][k], twice[1][k])


def tensors(arrays: Sequence[np.ndarray], live: Sequence[int] = ()) -> list[paddle.Tensor]:
    """Tensors of the arrays; those at the positions in ``live`` want gradients."""
    return [paddle.to_tensor(a, stop_gradient=i not in live) for i, a in enumerate(arrays)]


def misaligned(array: np.ndarray, dtype: Optional[str] = None) -> paddle.Tensor:
    """The array as a tensor whose memory starts one element off any vector's alignment."""
    flat = np.concatenate([np.zeros(1, array.dtype), array.reshape(-1)])
    base = paddle.to_tensor(flat, dtype=dtype)
    return base[1:].reshape(array.shape)


def transposed(array: np.ndarray, dtype: Optional[str] = None) -> paddle.Tensor:
    """The array as a tensor whose last two axes lie in memory the other way round."""
    t = paddle.to_tensor(np.ascontiguousarray(np.swapaxes(array, -1, -2)), dtype=dtype)
    axes = list(range(array.ndim))
    axes[-2:] = axes[-1], axes[-2]
    return t.transpose(axes)


def sliced(array: np.ndarray, dtype: Optional[str] = None) -> paddle.Tensor:
    """The array as a tensor that is the inner part of a larger one along its last axis."""
    wide = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(2, 3)])
    return paddle.to_tensor(wide, dtype=dtype)[..., 2:-3]


HARD_LAYOUTS = {"misaligned": misaligned, "transposed": transposed, "sliced": sliced}


def empty_batch(array: np.ndarray, dtype: Optional[str] = None) -> paddle.Tensor:
    """A tensor like the array, but with no sample in it (first axis 0)."""
    return paddle.zeros([0, *array.shape[1:]], dtype=dtype or str(array.dtype))


def _subsets(items: Iterable[int]) -> Iterable[tuple[int, ...]]:
    items = tuple(items)
    return itertools.chain.from_iterable(
        itertools.combinations(items, n) for n in range(len(items) + 1)
    )


def _same_bits(what: str, a: Any, b: Any) -> None:
    assert (a is None) == (b is None), f"{what}: one gradient is None"
    if a is not None:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=what)
