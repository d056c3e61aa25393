"""The tables of docs/gpu.md: counts on the emulator, and the bounds that follow from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

from benchmarks.gpu_model import iteration, layer
from benchmarks.gpu_model.cases import Case, Target, Value, cases, convolution_case, run
from benchmarks.gpu_model.counts import Launch
from benchmarks.gpu_model.devices import A100_40, DEVICES, H100, V100, Device
from benchmarks.gpu_model.iteration import Phase
from benchmarks.gpu_model.layer import Layer
from benchmarks.gpu_model.model import Operator, registers_of, residency
from benchmarks.gpu_model.resources import read_table

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
MODELLED = "modelled, not measured"
_LAYER_BYTES, _LAYER_LAUNCHES = 0.5, 2


@dataclasses.dataclass(frozen=True)
class Report:
    cases: Sequence[tuple[Case, Operator]]
    layer: Layer
    layer_name: str
    pygan: Sequence[Phase]
    composition: Sequence[Phase]
    linear: tuple[Operator, Operator]  # a convolution, and with twice the samples
    linear_name: str


def measure(quick: bool) -> Report:
    results = {case.name: (case, run(case)) for case in cases(quick)}
    shape = (1, 64, 32) if quick else (4, 256, 64)
    # A pair that takes the same tile.
    counts, channels, size = ((1, 2), 64, 16) if quick else ((2, 4), 256, 64)
    pair = [convolution_case("float16", n, channels, size) for n in counts]
    one, two = (results[each.name][1] if each.name in results else run(each) for each in pair)
    return Report(
        list(results.values()),
        layer.measure("float16", *shape),
        "StyleGAN2 layer float16, {}×{}×{}²".format(*shape),
        iteration.pygan(),
        iteration.composition(),
        (one, two),
        f"{pair[0].name}, and twice the samples",
    )


# ---- Markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _text(value: Value, target: Target) -> str:
    if isinstance(value, str):
        return value
    return f"{100 * value:.1f} %" if target.percent else f"{value:.3f}"


def _bound(target: Target) -> str:
    if isinstance(target.bound, str):
        return target.bound
    return ("≥ " if target.least else "≤ ") + _text(target.bound, target)


def _verdict(holds: bool) -> str:
    return "holds" if holds else "**MISSED**"


def target_table(report: Report) -> str:
    rows = []
    for case, operator in report.cases:
        for i, target in enumerate(case.targets):
            value = target.value(operator)
            verdict = _verdict(target.holds(operator))
            name = case.name if i == 0 else ""
            rows.append([name, target.what, _bound(target), _text(value, target), verdict])
    styled = report.layer
    ratio, launches = styled.bytes_ratio, styled.launches
    rows += [
        [
            report.layer_name,
            "bytes, of the unfused sequence's",
            f"≤ {_LAYER_BYTES}",
            f"{ratio:.3f}",
            _verdict(ratio <= _LAYER_BYTES),
        ],
        [
            "",
            f"launches (the sequence: {len(styled.unfused)})",
            f"≤ {_LAYER_LAUNCHES}",
            f"{len(styled.fused.launches)} and {styled.paddle.launches} of Paddle's",
            _verdict(launches <= _LAYER_LAUNCHES),
        ],
    ]
    waits = sum(phase.waits for phase in report.pygan)
    rows.append(
        ["StyleGAN2 iteration", "waits in operators", "0", str(waits), _verdict(waits == 0)]
    )
    return table(["case", f"what ({MODELLED})", "target", "value", ""], rows)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}"


def _limiter(operator: Operator, device: Device) -> str:
    name, share = operator.limiter(device)
    floor = sum(each.bound for each in operator.floors(device))
    part = "" if share > 0.995 else f", {100 * share:.0f} %"
    return f"{name}{part} ({1e6 * floor:.1f} µs)"


def case_table(report: Report) -> str:
    devices = [V100, A100_40, H100]
    rows = [
        [
            case.name,
            str(len(operator.launches)),
            _megabytes(operator.compulsory),
            _megabytes(operator.unique),
            _megabytes(operator.requested),
            f"{sum(each.instructions for each in operator.launches) / 1e6:.2f}",
            *(
                _limiter(operator, device) if _runs_on(operator, device) else "–"
                for device in devices
            ),
        ]
        for case, operator in report.cases
    ]
    head = [
        "case",
        "launches",
        "MB compulsory",
        "MB touched",
        "MB requested",
        "M warp instructions",
    ]
    return table([*head, *(f"limiter, {d.name} (floor)" for d in devices)], rows)


def _runs_on(operator: Operator, device: Device) -> bool:
    """The counts are of the kernels for sm_80 and newer; older ones multiply otherwise."""
    return device.arch >= 80 or all(each.tensor_flops == 0 for each in operator.launches)


def _mix(launch: Launch) -> str:
    """The classes of a tenth of the instructions and more."""
    classes = sorted(launch.mix.items(), key=lambda item: -item[1])
    shares = [(name, 100 * n / launch.instructions) for name, n in classes]
    return ", ".join(f"{name} {share:.0f} %" for name, share in shares if share >= 10)


def launch_table(report: Report) -> str:
    rows = []
    for case, operator in report.cases:
        for i, each in enumerate(operator.launches):
            registers = registers_of(each, A100_40.arch)
            resident = residency(each, A100_40.arch)
            seconds = operator.floors(A100_40)[i].seconds
            loop = "" if each.loop is None else f"{100 * each.loop.tensor_share:.0f} %"
            rows.append(
                [
                    case.name if i == 0 else "",
                    f"`{each.name}`",
                    f"{each.blocks} × {each.threads}",
                    "" if registers is None else str(registers),
                    f"{resident.blocks} ({100 * resident.share:.0f} %, {resident.limit})"
                    if registers is not None
                    else "",
                    f"{each.load_efficiency:.2f} / {each.store_efficiency:.2f}",
                    f"{100 * each.conflicts:.1f} %",
                    loop,
                    _mix(each),
                    " ".join(f"{k} {1e6 * v:.1f}" for k, v in seconds.items() if v > 5e-8),
                ]
            )
    head = [
        "case",
        "kernel",
        "blocks × threads",
        "registers",
        "blocks per SM",
        "sector efficiency, loads / stores",
        "bank conflicts",
        "tensor share",
        "instructions by class",
        "floors, A100 40 GB, µs",
    ]
    return table(head, rows)


def layer_table(report: Report) -> str:
    styled = report.layer
    item = styled.unfused_bytes // sum(each.elements for each in styled.unfused)
    rows = [
        [each.what, _megabytes(item * each.reads), _megabytes(item * each.writes)]
        for each in styled.unfused
    ]
    rows.append(["**sum**", f"**{_megabytes(styled.unfused_bytes)}**", ""])
    rows += [
        [f"pygan: `{each.name}`", _megabytes(each.unique_read), _megabytes(each.unique_written)]
        for each in styled.fused.launches
    ]
    rows.append(["**sum**", f"**{_megabytes(styled.fused.unique)}**", ""])
    around = ", ".join(f"{n} {name}" for name, n in sorted(styled.paddle.run().items()))
    note = f"Paddle's kernels around pygan's: {around or 'none'}."
    return table(["operator", "MB read", "MB written"], rows) + "\n\n" + note


def iteration_table(report: Report) -> str:
    composed = {phase.name: phase for phase in report.composition}
    rows = []
    for phase in report.pygan:
        other = composed[phase.name]
        rows.append(
            [
                phase.name,
                str(phase.kernels),
                str(phase.paddle),
                str(phase.launches),
                str(other.launches),
                str(phase.waits),
                str(phase.reads),
                str(other.reads),
            ]
        )
    head = [
        "phase",
        "pygan's kernels",
        "Paddle's",
        "together",
        "composition, at least",
        "waits in operators",
        "host reads, pygan",
        "host reads, composition",
    ]
    return table(head, rows)


def linearity(report: Report) -> str:
    """Whether the counts of twice the samples are twice the counts."""
    one, two = (operator.tensor_launch for operator in report.linear)
    if one.name != two.name:
        return f"{report.linear_name} take different tiles: their counts do not compare."
    rows = [
        [what, f"{a:,}", f"{b:,}", f"{b / a:.4f}"]
        for what, a, b in (
            ("sectors loaded", one.load_sectors, two.load_sectors),
            ("sectors stored", one.store_sectors, two.store_sectors),
            ("warp instructions", one.instructions, two.instructions),
            ("wavefronts", one.wavefronts, two.wavefronts),
            ("tensor flops", one.tensor_flops, two.tensor_flops),
        )
    ]
    counts = table(["count", "samples", "twice the samples", "ratio"], rows)
    return f"`{one.name}` in {report.linear_name}:\n\n{counts}"


def resource_table() -> Optional[str]:
    """What the compilers give all kernels, of the tables that resources.py keeps."""
    rows = []
    for path in sorted(Path(__file__).parent.glob("resources-*.json")):
        kernels = read_table(path)
        for arch in sorted({arch for by_arch in kernels.values() for arch in by_arch}, key=int):
            used = [by_arch[arch] for by_arch in kernels.values() if arch in by_arch]
            rows.append(
                [
                    path.stem.removeprefix("resources-"),
                    f"sm_{arch}",
                    str(len(used)),
                    str(max(each.registers for each in used)),
                    str(max(each.shared for each in used)),
                    str(sum(each.spills > 0 for each in used)),
                ]
            )
    head = [
        "CUDA",
        "",
        "kernels",
        "most registers",
        "most static shared memory, bytes",
        "that spill",
    ]
    return table(head, rows) if rows else None


def device_table() -> str:
    rows = [
        [
            d.name,
            f"sm_{d.arch}",
            str(d.sms),
            f"{d.clock / 1e9:.2f}",
            f"{d.dram / 1e9:.0f}",
            "not published" if d.l2_rate is None else f"{d.l2_rate:.0f}",
            f"{d.fp32 / 1e12:.1f}",
            "–" if d.tf32 is None else f"{d.tf32 / 1e12:.1f}",
            f"{d.fp16 / 1e12:.1f}",
        ]
        for d in DEVICES
    ]
    head = ["GPU", "", "SMs", "GHz", "DRAM GB/s", "L2 bytes/clock", "FP32", "TF32", "FP16 tensor"]
    return table([*head[:-3], *(f"{name} TFLOP/s" for name in head[-3:])], rows)


def markdown(report: Report) -> str:
    sections = {
        "Targets": target_table(report),
        "Cases": case_table(report),
        "Launches": launch_table(report),
        report.layer_name: layer_table(report),
        "Launches of a training iteration": iteration_table(report),
        "Counts grow with the number of samples": linearity(report),
        "Registers and shared memory": resource_table(),
        "Ceilings": device_table(),
    }
    head = (
        "Written by `python -m benchmarks.gpu_model --output docs/gpu.md`. Everything is "
        f"{MODELLED}; µs are floors, which no kernel reaches: they say only what limits it."
    )
    return "\n\n".join(
        [head, *(f"### {title}\n\n{text}" for title, text in sections.items() if text)]
    )


def write_into(path: Path, text: str) -> None:
    """Put the tables between the marks in a document.

    Raises:
        ValueError: the document lacks the marks.
    """
    document = path.read_text(encoding="utf-8")
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN!r} and {END!r}, between which tables go.")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
