"""PyTorch's side of the timings: a process of its own, run by path, that imports PyTorch alone.

Reads one JSON object per line and answers each with one: {"do": "build", "load": ...} makes a
workload the current one, {"do": "run", "calls": n} runs it n times and answers {"ms": ...}; an
error is answered as {"error": ...}. Two frameworks in one process would share, and quarrel about,
cuDNN. The compositions are what one writes with torch.nn.functional, with shared weights scaled
before and demodulated after, which is faster than weights per sample.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any, Callable

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose names are not PyTorch's business

import torch
import torch.nn.functional as F
from torch import Tensor

_TAPS = (1.0, 3.0, 3.0, 1.0)


def lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def fir(x: Tensor, taps: Tensor, padding: int, stride: int = 1) -> Tensor:
    return F.conv2d(x, taps.expand(x.shape[1], 1, 4, 4), None, stride, padding, groups=x.shape[1])


def layer(x: Tensor, w: Tensor, s: Tensor, noise: Tensor, strength: Tensor, up: Any) -> Tensor:
    """Modulated convolution, demodulation and noise; ``up``: the taps, or None."""
    d = (s.square() @ w.square().sum((2, 3)).t() + 1e-8).rsqrt()
    x = x * s[:, :, None, None]
    if up is None:
        x = F.conv2d(x, w, padding=1)
    else:
        x = fir(F.conv_transpose2d(x, w.transpose(0, 1), stride=2), up * 4, padding=1)
    return torch.addcmul(noise * strength, x, d[:, :, None, None])


def build(load: dict[str, Any], device: str) -> Callable[[], object]:
    """A call of the workload; pygan/gpu_check/workloads.py says what its fields are."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = load["tf32"]
    n, c, size = load["batch"], load["channels"], load["size"]
    options: Any = {"device": device, "dtype": getattr(torch, load["dtype"])}
    row = torch.tensor(_TAPS, **options) / sum(_TAPS)
    taps = row[:, None] * row

    def tensor(*shape: int) -> Tensor:
        return torch.randn(shape, **options).requires_grad_(load["backward"])

    x, b, w = tensor(n, c, size, size), tensor(c), tensor(c, c, 3, 3)
    up = 2 if load["op"] == "modulated_conv2d up" else 1
    s, strength = tensor(n, c), tensor(1)
    noise = tensor(n, 1, size * up, size * up).detach()
    wide = (taps * 4).expand(c, 1, 4, 4)
    cases: dict[str, tuple[Callable[[], Tensor], list[Tensor]]] = {
        "bias_act": (lambda: lrelu(x + b[:, None, None]), [x, b]),
        "upfirdn2d up": (lambda: F.conv_transpose2d(x, wide, None, 2, 1, groups=c), [x]),
        "upfirdn2d down": (lambda: fir(x, taps, 1, 2), [x]),
        "conv2d": (lambda: F.conv2d(x, w, padding=1), [x, w]),
        "conv2d_resample down": (
            lambda: lrelu(F.conv2d(fir(x, taps, 2), w, stride=2) + b[:, None, None]),
            [x, w, b],
        ),
    }
    modulated = lambda: lrelu(  # noqa: E731
        layer(x, w, s, noise, strength, None if up == 1 else taps) + b[:, None, None]
    )
    forward, inputs = cases.get(load["op"], (modulated, [x, w, s, strength, b]))
    if not load["backward"]:

        def infer() -> Tensor:
            with torch.no_grad():
                return forward()

        return infer
    with torch.no_grad():
        seed = torch.ones_like(forward())
    return lambda: torch.autograd.grad(forward(), inputs, seed)


def run(body: Callable[[], object], calls: int, device: str) -> float:
    """Milliseconds of ``calls`` calls."""
    if device == "cpu":
        start = time.perf_counter()
        for _ in range(calls):
            body()
        return 1e3 * (time.perf_counter() - start)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(calls):
        body()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last)


def main() -> None:
    """Answers until its input ends."""
    device = sys.argv[1]
    body: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "build":
                body = None
                if device != "cpu":
                    torch.cuda.empty_cache()
                body = build(request["load"], device)
                answer: dict[str, Any] = {"version": torch.__version__}
            else:
                answer = {"ms": run(body, request["calls"], device)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
