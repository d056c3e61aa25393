"""Dataclasses as command line and YAML file, by way of jsonargparse.

Why jsonargparse: it reads the command line, YAML and type hints in one pass and in the order the
user wrote them, needs PyYAML alone, imports in 0.1 s and is maintained (several releases a year).
tyro has the nicer help but no YAML; simple-parsing and draccus see few releases.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, TypeVar

from pygan.errors import InputError
from pygan.training.config import TrainConfig
from pygan.training.split import held_out_count

C = TypeVar("C", bound=TrainConfig)

# Options of a run that one which goes on from it does not take over.
_PLACES = ("data", "out", "resume", "resume_strict", "resume_state")


def parse_options(
    config_class: type[TrainConfig],
    argv: Sequence[str],
    prog: str,
    algorithm: str,
    only: Optional[Iterable[str]] = None,
    defaults: Optional[dict[str, Any]] = None,
) -> dict[str, Any]:
    """The options that the user gave, on the command line and in ``--config`` files.

    Args:
        config_class: where the options and their types come from.
        argv: the command line; what comes later wins, a ``--config`` file included.
        prog: name of the command, for ``--help``.
        algorithm: the algorithm, which a configuration file may name too.
        only: names of the options to offer, all by default.
        defaults: what ``--help`` shows as defaults.

    Returns:
        Name and value of each option given, no others.

    Raises:
        InputError: an unknown option, a value of the wrong type or an unreadable file.
    """
    import jsonargparse

    names = {field.name for field in dataclasses.fields(config_class)}
    if only is not None:
        names &= set(only)
    parser = _build_parser(config_class, prog, names, defaults or {})
    try:
        given = parser.parse_args(list(argv), defaults=False)
    except (jsonargparse.ArgumentError, argparse.ArgumentError) as error:
        raise InputError(_one_line(str(error), config_class, names)) from None
    values = given.as_dict()
    if values.get("algorithm", algorithm) != algorithm:
        raise InputError(f"--config: is for {values['algorithm']}, not for {algorithm}")
    return {name: values[name] for name in values if name in names}


def resolve(
    config_class: type[C],
    given: dict[str, Any],
    resolution: int,
    processes: int,
    source: Optional[Mapping[str, Any]] = None,
    images: Optional[int] = None,
) -> C:
    """A whole configuration: what was given, else the preset's values, else the defaults.

    Weights to start from decide the shape of the networks, unless options say otherwise. With
    ``resume_state`` all options of the run that they come from go on, save those that name places.

    Args:
        config_class: class of the result.
        given: options that the user gave.
        resolution: longer side of the images.
        processes: number of training processes.
        source: options of the weights that training starts from, if any.
        images: in the dataset, which ``epochs`` passes are made over as far as they are trained on;
            None leaves ``kimg`` as it is.

    Raises:
        InputError: a value is out of range, or ``epochs`` and ``kimg`` are both given.
    """
    if given.get("epochs") is not None and "kimg" in given:
        raise InputError("--epochs: says how long to train, as --kimg does; leave one of them out")
    continued: Mapping[str, Any] = {}
    if source is not None and given.get("resume_state"):
        own = {field.name for field in dataclasses.fields(config_class)} - set(_PLACES)
        continued = {name: value for name, value in source.items() if name in own}
    preset = given.get("preset", continued.get("preset", config_class.preset))
    values = config_class.preset_values(preset, resolution, given.get("batch"), processes)
    transfer = {} if source is None else config_class.transfer_values(source)
    values = {"preset": preset, **values, **transfer, **continued, **given}
    if "kimg" in given:
        values["epochs"] = None
    elif values.get("epochs") is not None and images is not None:
        trained = values.get("subset") or images - held_out_count(
            images, values.get("validation") or 0
        )
        values["kimg"] = values["epochs"] * trained / 1000
    return config_class.from_dict(values)


def dump_yaml(values: dict[str, Any]) -> str:
    """A configuration as YAML, in the order of its fields."""
    import yaml

    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def load_yaml(text: str) -> dict[str, Any]:
    """The inverse of ``dump_yaml``."""
    import yaml

    values = yaml.safe_load(text)
    if not isinstance(values, dict):
        raise InputError("the configuration is not a YAML mapping of options to values")
    return values


def _build_parser(
    config_class: type[TrainConfig], prog: str, names: set[str], defaults: dict[str, Any]
) -> Any:
    import jsonargparse

    parser = jsonargparse.ArgumentParser(
        exit_on_error=False, allow_abbrev=False, prog=prog, print_config=None
    )
    parser.add_argument(
        "--config", action=jsonargparse.ActionConfigFile, help="YAML file of options"
    )
    # Files that pygan wrote name the algorithm; on the command line it is an argument.
    parser.add_argument("--algorithm", type=Optional[str], default=None, help=argparse.SUPPRESS)
    hints = typing.get_type_hints(config_class)
    left = {field.name: field for field in dataclasses.fields(config_class) if field.name in names}
    for owner in reversed(config_class.__mro__):
        annotations = vars(owner).get("__annotations__", {})
        own = [left.pop(name) for name in list(left) if name in annotations]
        if not own:
            continue
        group = parser.add_argument_group((owner.__doc__ or owner.__name__).split(".")[0])
        for field in own:
            flag = "--" + field.name.replace("_", "-")
            kwargs: dict[str, Any] = {
                "default": defaults.get(field.name, field.default),
                "help": field.metadata.get("help", ""),
            }
            if hints[field.name] is bool:
                kwargs["action"] = jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no-")
                kwargs["nargs"] = "?"
            else:
                kwargs["type"] = hints[field.name]
            group.add_argument(flag, **kwargs)
    return parser


def _one_line(message: str, config_class: type[TrainConfig], names: set[str]) -> str:
    """A message of the parser, as one sentence in the user's terms."""
    wrong_type = re.search(r'Parser key "(\w+)":', message)
    if wrong_type and wrong_type.group(1) in names:
        name = wrong_type.group(1)
        value = re.findall(r"(?:Got|Given) value: (.*)", message)
        hint = _type_name(typing.get_type_hints(config_class)[name])
        got = f", got {value[-1].strip()!r}" if value else ""
        return f"--{name.replace('_', '-')}: must be {hint}{got}"
    unknown = re.search(r"Option '([^']+)' is not accepted", message) or re.search(
        r"unrecognized arguments: (\S+)", message
    )
    if unknown:
        word = unknown.group(1).split("=")[0]
        flags = {name.replace("_", "-") for name in names}
        close = difflib.get_close_matches(word.lstrip("-").replace("_", "-"), flags, 1, 0.7)
        if not close:
            return f"unknown option {word!r}"
        in_file = not word.startswith("-")
        proposal = close[0].replace("-", "_") if in_file else "--" + close[0]
        return f"unknown option {word!r}; did you mean {proposal}?"
    return " ".join(message.replace('Parser key "config": ', "--config: ").split())


def _type_name(hint: Any) -> str:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Union:
        return " or ".join(_type_name(argument) for argument in arguments)
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    return {int: "an integer", float: "a number", str: "a string", type(None): "null"}.get(
        hint, str(hint)
    )
