"""Options from the command line and YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy import ToyConfig

from pygan.errors import InputError
from pygan.training.config import resumable_fields
from pygan.training.options import dump_yaml, load_yaml, parse_options, resolve


def parse(*argv: str, **kwargs: Any) -> dict[str, Any]:
    return parse_options(ToyConfig, argv, "toy", "toy", **kwargs)


def test_only_what_was_given_is_returned() -> None:
    assert parse() == {}
    assert parse("--batch", "4", "--mirror", "--ema-rampup=0.05") == {
        "batch": 4,
        "mirror": True,
        "ema_rampup": 0.05,
    }
    assert parse("--no-mirror", "--ema-rampup", "null") == {"mirror": False, "ema_rampup": None}


def test_given_values_beat_the_preset_which_beats_the_defaults() -> None:
    assert resolve(ToyConfig, {}, 4, 1).width == 8
    assert resolve(ToyConfig, {"preset": "wide"}, 4, 1).width == 64
    assert resolve(ToyConfig, {"preset": "wide", "width": 5}, 4, 1).width == 5


def test_epochs_become_kimg_of_the_images_that_are_trained_on() -> None:
    assert resolve(ToyConfig, {"epochs": 3.0}, 4, 1, images=500).kimg == 1.5
    assert resolve(ToyConfig, {"epochs": 3.0, "subset": 100}, 4, 1, images=500).kimg == 0.3
    assert resolve(ToyConfig, {"epochs": 3.0, "validation": 0.2}, 4, 1, images=500).kimg == 1.2
    assert resolve(ToyConfig, {"epochs": 3.0}, 4, 1).kimg == ToyConfig.kimg
    again = {"resume_state": True, "resume": "run"}
    source = {"kimg": 1.5, "epochs": 3.0}
    assert resolve(ToyConfig, again, 4, 1, source, 500).kimg == 1.5
    longer = resolve(ToyConfig, {"kimg": 2.0, **again}, 4, 1, source, 500)
    assert (longer.kimg, longer.epochs) == (2.0, None)
    with pytest.raises(InputError, match="--kimg does; leave one of them out"):
        resolve(ToyConfig, {"epochs": 3.0, "kimg": 2.0}, 4, 1, images=500)


def test_what_comes_later_on_the_command_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("width: 3\nbatch: 16\n")
    assert parse("--width", "9", "--config", str(path)) == {"width": 3, "batch": 16}
    assert parse("--config", str(path), "--width", "9") == {"width": 9, "batch": 16}


def test_yaml_round_trip(tmp_path: Path) -> None:
    config = resolve(ToyConfig, {"data": "é", "ema_rampup": None, "delay": 1e-9}, 4, 1)
    text = dump_yaml({"algorithm": "toy", **config.to_dict()})
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    assert resolve(ToyConfig, parse("--config", str(path)), 4, 1) == config
    values = load_yaml(text)
    assert values.pop("algorithm") == "toy"
    assert ToyConfig.from_dict(values) == config


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--batch", "x"], "--batch: must be an integer, got 'x'"),
        (["--batch", "1.5"], "--batch: must be an integer, got '1.5'"),
        (["--ema-rampup", "x"], "--ema-rampup: must be a number or null, got 'x'"),
        (["--bach", "3"], "unknown option '--bach'; did you mean --batch?"),
        (["--qqq"], "unknown option '--qqq'"),
        (["stray"], "unknown option 'stray'"),
        (["--batch"], "argument --batch: expected one argument"),
        (["--mirror=perhaps"], "argument --mirror/--no-mirror: invalid"),
        (["--config", "missing.yaml"], "--config: File does not exist"),
    ],
)
def test_errors_are_one_clear_line(argv: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(*argv)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht: 3", "unknown option 'widht'; did you mean width?"),
        ("width: wide", "--width: must be an integer, got 'wide'"),
        ("algorithm: stylegan2", "--config: is for stylegan2, not for toy"),
        ("- 3", "Unexpected config"),
        ("width: [", "Problems parsing config"),
    ],
)
def test_errors_in_files_are_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        parse("--config", str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kimg": 0.0}, "--kimg: must be a positive number, got 0.0"),
        ({"epochs": 0.0}, "--epochs: must be a positive number or null, got 0.0"),
        ({"batch": 0}, "--batch: must be at least 1, got 0"),
        ({"accumulate": 3}, "--accumulate: must be a divisor of the batch, 8, got 3"),
        ({"grid": "3"}, "--grid: must be COLUMNSxROWS such as 6x4, or auto, got '3'"),
        ({"max_minutes": -1.0}, "--max-minutes: must be positive, got -1.0"),
        ({"device": "tpu"}, "--device: must be auto, cpu or gpu, got 'tpu'"),
        ({"speed": 3}, "unknown options: speed"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        resolve(ToyConfig, values, 4, 1)


def test_resume_offers_no_option_that_changes_the_weights() -> None:
    names = resumable_fields(ToyConfig)
    assert {"kimg", "workers", "threads", "max_minutes", "delay"} <= set(names)
    assert not {"batch", "seed", "ema_kimg", "width", "out", "preset"} & set(names)
    with pytest.raises(InputError, match="unknown option '--batch'"):
        parse("--batch", "4", only=names)


def test_automatic_grids_suit_the_images() -> None:
    config = ToyConfig(grid="auto")
    assert config.grid_size((3, 64, 64)) == (8, 4)
    assert config.grid_size((3, 1024, 1024)) == (2, 2)
