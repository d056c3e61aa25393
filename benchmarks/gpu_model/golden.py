"""Exact counts of the small cases, against what they were: a kernel must not get worse unseen.

    python -m benchmarks.gpu_model.golden [--update]

Compares with ``golden.json``; exit code 1, with what got worse, when a case launches more kernels,
asks for more sectors, has more bank conflicts, a smaller share of tensor instructions in its main
loop, or fewer warps resident on an SM (registers being those of ``resources-*.json``).
``--update`` writes the file anew. The counts are of the PTX of the compiler that `make emulator`
fetches; another compiler may change the last of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional, Union

from benchmarks.gpu_model import layer
from benchmarks.gpu_model.cases import cases, run
from benchmarks.gpu_model.model import Operator, residency

PATH = Path(__file__).with_name("golden.json")

Counts = dict[str, Union[int, float]]
_ARCHITECTURES = (80, 86, 90)
# Counts of which less is better; of the others, more.
_LESS_IS_BETTER = ("launches", "bytes requested", "conflicting wavefronts", "Paddle's kernels")


def counts_of(operator: Operator) -> Counts:
    extra = sum(each.wavefronts - each.ideal_wavefronts for each in operator.launches)
    counts: Counts = {
        "launches": len(operator.launches),
        "bytes requested": operator.requested,
        "conflicting wavefronts": extra,
    }
    if any(each.loop is not None for each in operator.launches):
        loop = operator.tensor_launch.loop
        assert loop is not None
        counts["tensor share"] = round(loop.tensor_share, 4)
    for arch in _ARCHITECTURES:
        shares = [residency(each, arch).share for each in operator.launches]
        counts[f"least occupancy, sm_{arch}"] = round(min(shares), 4)
    return counts


def measure() -> dict[str, Counts]:
    """Of the quick cases and of a small layer, by name."""
    table = {case.name: counts_of(run(case)) for case in cases(quick=True)}
    styled = layer.measure("float16", 1, 64, 32)
    counts = counts_of(styled.fused)
    counts["Paddle's kernels"] = styled.paddle.launches
    table["StyleGAN2 layer float16, 1×64×32²"] = counts
    return table


def read() -> dict[str, Counts]:
    return dict(json.loads(PATH.read_text(encoding="utf-8")))


def worse(now: dict[str, Counts], golden: dict[str, Counts]) -> list[str]:
    """One sentence for each count that got worse, and for each case without an entry."""
    complaints = []
    for name, counts in now.items():
        if name not in golden:
            complaints.append(f"{name} is not in {PATH.name}; run with --update.")
            continue
        complaints += [
            f"{name}: {what} is {counts.get(what)}, and was {value}."
            for what, value in golden[name].items()
            if _is_worse(what, counts.get(what), value)
        ]
    return complaints + [
        f"{name} is in {PATH.name} and no longer a case; run with --update."
        for name in _missing(golden, now)
    ]


def _is_worse(what: str, now: Optional[float], was: float) -> bool:
    if now is None:
        return True
    return now > was if what in _LESS_IS_BETTER else now < was


def _missing(golden: Iterable[str], now: Iterable[str]) -> list[str]:
    return sorted(set(golden) - set(now))


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write the file anew")
    options = parser.parse_args(arguments)
    now = measure()
    if options.update:
        PATH.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    complaints = worse(now, read())
    for complaint in complaints:
        print(complaint)
    if not complaints:
        print(f"{len(now)} cases: nothing got worse.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
