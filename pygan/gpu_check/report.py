"""The two outputs: Markdown to paste into an issue, and JSON (schema in __init__.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from pygan.gpu_check.checks import Check
from pygan.gpu_check.timing import Timing

_UNITS = {"copy_gbps": "GB/s", "float32_tflops": "TFLOP/s", "tf32_tflops": "TFLOP/s"}
_NAMES = {
    "copy_gbps": "copy",
    "float32_tflops": "product float32",
    "tf32_tflops": "product TF32",
    "float16_tflops": "product float16",
}


@dataclass
class Report:
    """Everything that one run found out."""

    mode: str
    quick: bool
    device: dict[str, str]
    checks: list[Check] = field(default_factory=list)
    ceilings: dict[str, Optional[float]] = field(default_factory=dict)
    timings: list[Timing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failures(self) -> list[Check]:
        return [check for check in self.checks if not check.passed]

    def to_json(self) -> dict[str, Any]:
        """Schema 1."""
        return {
            "schema": 1,
            "mode": self.mode,
            "quick": self.quick,
            "seconds": round(self.seconds, 1),
            "device": self.device,
            "checks": [check.to_dict() for check in self.checks],
            "ceilings": self.ceilings,
            "timings": [timing.to_dict() for timing in self.timings],
            "notes": self.notes,
        }

    def to_markdown(self) -> str:
        """The same for people."""
        parts = [
            f"## pygan.gpu_check: {self.device['gpu']}",
            _table(["", ""], [[key, value] for key, value in self.device.items()]),
            self._correctness(),
            self._ceilings(),
            self._timings(),
            "\n".join(f"- {note}" for note in [*self.notes, f"{self.seconds:.0f} s in all."]),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _correctness(self) -> str:
        failed = self.failures
        verdict = (
            f"**{len(failed)} of {len(self.checks)} comparisons with the CPU failed.**"
            if failed
            else f"All {len(self.checks)} comparisons with the CPU agree."
        )
        lines = [f"### Correctness\n\n{verdict} Errors are relative to a tensor's largest value."]
        if failed:
            rows = [
                [c.name, _type(c.dtype, c.tf32), _error(c.error), _error(c.tolerance),
                 c.message or c.worst]
                for c in failed
            ]  # fmt: skip
            lines.append(_table(["failed", "type", "error", "allowed", "where"], rows))
        lines.append(
            _table(["operator", "type", "passed", "largest error", "allowed"], self._sums())
        )
        return "\n\n".join(lines)

    def _sums(self) -> list[list[str]]:
        """One row per operator and type."""
        groups: dict[tuple[str, str], list[Check]] = {}
        for c in self.checks:
            groups.setdefault((c.name.split()[0], _type(c.dtype, c.tf32)), []).append(c)
        rows = []
        for (op, dtype), checks in groups.items():
            errors = [c.error for c in checks if c.error is not None]
            passed = sum(c.passed for c in checks)
            worst = _error(max(errors)) if errors else "-"
            rows.append([op, dtype, f"{passed}/{len(checks)}", worst, _error(checks[0].tolerance)])
        return rows

    def _ceilings(self) -> str:
        if not self.ceilings:
            return ""
        rows = [
            [_NAMES[k], "-" if v is None else f"{v:.4g} {_UNITS.get(k, 'TFLOP/s')}"]
            for k, v in self.ceilings.items()
        ]
        return "### Ceilings, measured\n\n" + _table(["", ""], rows)

    def _timings(self) -> str:
        if not self.timings:
            return ""
        rows = [
            [
                t.load.op,
                "x".join(map(str, t.load.shape)),
                _type(t.load.dtype, t.load.tf32),
                "forward+backward" if t.load.backward else "forward",
                _ms(t.pygan_ms),
                _ratio(t.paddle_ms, t.pygan_ms),
                _ratio(t.torch_ms, t.pygan_ms),
                "-" if t.share is None else f"{100 * t.share:.0f}% of {_NAMES[t.load.ceiling]}",
                t.message,
            ]
            for t in self.timings
        ]
        head = ["operator", "shape", "type", "pass", "pygan ms", "Paddle ms (times pygan's)",
                "PyTorch ms (times pygan's)", "pygan reaches", ""]  # fmt: skip
        return "### Times, medians of interleaved rounds\n\n" + _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _type(dtype: str, tf32: bool) -> str:
    return "TF32" if tf32 else dtype


def _error(value: Optional[float]) -> str:
    if value is None:
        return "-"
    return f"{value:.1e}" if math.isfinite(value) else "not finite"


def _ms(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.4g}"


def _ratio(other: Optional[float], own: Optional[float]) -> str:
    if other is None or not own:
        return _ms(other)
    return f"{other:.4g} ({other / own:.2f}x)"
