"""Starting from other weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import toy
from programs import checkpoint_arrays, checkpoint_bytes, newest_checkpoint, run_toy
from safetensors.numpy import load_file, save_file

from pygan.training.checkpoint import save
from pygan.training.loop import Trainer
from pygan.training.options import resolve
from pygan.training.transfer import Source, read_source, transfer

OPTIONS = ("--kimg", 0.08, "--tick", 0.04)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "run"
    assert run_toy("train", folder, *OPTIONS) == 0
    return folder


def trainer(tmp_path: Path, source: Source, **options: object) -> Trainer:
    given = {"data": "memory", "out": str(tmp_path / "new"), **options}
    config = resolve(toy.ToyConfig, given, 4, 1, source.config)
    return Trainer(config, toy.Toy, toy.MemoryDataset(), source=source)


@pytest.mark.parametrize("kind", ["run", "checkpoint"])
def test_weights_and_averages_come_along_and_nothing_else(
    run: Path, tmp_path: Path, kind: str
) -> None:
    source = read_source(run if kind == "run" else newest_checkpoint(run))
    assert source.networks.keys() == {"G", "D", "G_ema"}
    new = trainer(tmp_path, source)
    for name, network in (*new.networks.items(), ("G_ema", new.averages["G"])):
        for key, value in network.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), source.networks[name][key])
    assert (new.iteration, new.nimg, new.algorithm.mean.item()) == (0, 0, 0.0)
    assert not any(opt.state_dict().get("moment1_0") for opt in new.optimizers.values())
    assert new.transferred == [
        f"transfer: {n} takes 5 of 5 tensors from {source.path}" for n in ("G", "D")
    ]


def test_a_single_file_serves_network_and_average(run: Path, tmp_path: Path) -> None:
    source = read_source(newest_checkpoint(run) / "G_ema.safetensors")
    new = trainer(tmp_path, source)
    expected = source.networks["G_ema"]["second.weight"]
    for network in (new.networks["G"], new.averages["G"]):
        np.testing.assert_array_equal(network.second.weight.numpy(), expected)
    assert new.transferred[1].startswith("transfer: D starts afresh")


def test_what_does_not_fit_starts_afresh_and_is_told(run: Path, tmp_path: Path) -> None:
    known = read_source(run)
    arrays = {name: dict(part) for name, part in known.networks.items()}
    for name in ("G", "G_ema"):
        arrays[name]["second.weight"] = arrays[name]["second.weight"][:, :3]
        del arrays[name]["first.bias"]
        arrays[name]["third.weight"] = np.zeros(3, dtype=np.float32)
    source = Source("there", arrays, known.config)
    new = trainer(tmp_path, source)
    fresh = trainer(tmp_path, Source("there", {"D": arrays["D"]}, known.config))
    for networks in (new.networks, new.averages):
        network, other = networks["G"], fresh.networks["G"]
        np.testing.assert_array_equal(network.second.weight.numpy(), other.second.weight.numpy())
        np.testing.assert_array_equal(
            network.first.weight.numpy(),
            arrays["G"]["first.weight"]
            if networks is new.networks
            else arrays["G_ema"]["first.weight"],
        )
    assert new.transferred == [
        "transfer: G takes 3 of 5 tensors from there",
        "transfer: G starts afresh in first: not there",
        "transfer: G starts afresh in second.weight ([8, 16] here, [8, 3] there): another shape",
        "transfer: G has no use for third",
        "transfer: D takes 5 of 5 tensors from there",
    ]
    strict = resolve(toy.ToyConfig, {"data": "m", "out": "o", "resume_strict": True}, 4, 1)
    new.config = strict
    with pytest.raises(ValueError, match="--resume-strict: G takes 3 of 5 tensors"):
        transfer(new, source)


def test_a_source_of_nothing_in_common_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.safetensors"
    weights = newest_checkpoint(run) / "G.safetensors"
    save_file({"w": np.zeros(3)}, path, {"pygan": '{"file": "G"}'})
    assert run_toy("train", tmp_path / "new", "--resume", path) == 2
    assert f"no tensor of {path}" in capsys.readouterr().err
    assert load_file(weights)
    assert run_toy("train", tmp_path / "new", "--resume", tmp_path / "missing") == 2
    assert "neither a run with a checkpoint nor a checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_transfer_resumes_without_its_source(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, whole, cut = tmp_path / "source", tmp_path / "whole", tmp_path / "cut"
    shutil.copytree(run, source)
    words = (*OPTIONS, "--resume", source, "--snapshot", 1)
    assert run_toy("train", whole, *words) == 0
    assert "transfer: D takes 5 of 5" in (whole / "log.txt").read_text()
    assert run_toy("train", cut, *words) == 0
    shutil.rmtree(source)
    # As if it was killed at its start: only the checkpoint of iteration 0 is there.
    for folder in sorted((cut / "checkpoints").iterdir())[1:]:
        shutil.rmtree(folder)
    assert newest_checkpoint(cut).name == "iter-00000000"
    assert run_toy("resume", cut) == 0
    assert checkpoint_bytes(cut) == checkpoint_bytes(whole)
    assert any((a != 0).any() for n, a in checkpoint_arrays(cut).items() if "moment" in n)
    shutil.rmtree(cut / "checkpoints")
    assert run_toy("resume", cut) == 2
    assert "its first checkpoint is gone" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["run", "checkpoint"])
def test_the_whole_state_goes_on_elsewhere(run: Path, tmp_path: Path, kind: str) -> None:
    whole, fork = tmp_path / "whole", tmp_path / "fork"
    assert run_toy("train", whole, *OPTIONS, "--kimg", 0.16) == 0
    source = run if kind == "run" else newest_checkpoint(run)
    words = ("--resume", source, "--resume-state", "--kimg", 0.16)
    assert run_toy("train", fork, *words) == 0
    expected, found = checkpoint_arrays(whole), checkpoint_arrays(fork)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert newest_checkpoint(fork).name == newest_checkpoint(whole).name
    text = (fork / "config.yaml").read_text()
    assert "\ntick: 0.04\n" in text  # the option of the run that it goes on from
    assert f"going on from {source}: 0.080 kimg, 10 iterations" in (fork / "log.txt").read_text()
    # It needs the other run no more.
    for folder in sorted((fork / "checkpoints").iterdir())[1:]:
        shutil.rmtree(folder)
    assert newest_checkpoint(fork).name == "iter-00000010"
    assert run_toy("resume", fork) == 0
    np.testing.assert_equal(checkpoint_arrays(fork), expected)


def test_a_state_that_cannot_go_on_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: object) -> str:
        assert run_toy("train", tmp_path / "new", *OPTIONS, "--resume-state", *words) == 2
        assert not (tmp_path / "new").exists()
        return capsys.readouterr().err

    assert "--resume-state: must be used with --resume" in refused()
    file = newest_checkpoint(run) / "G.safetensors"
    assert f"--resume-state: {file} has weights only" in refused("--resume", file)
    assert "has seen 0.08 kimg already, got 0.08" in refused("--resume", run)
    words = ("--resume", run, "--kimg", 1)
    assert "first.weight has shape [4, 8], the network has [4, 9]" in refused(*words, "--width", 9)
    saved = read_source(run)
    assert saved.checkpoint is not None
    weights = {name: saved.checkpoint.arrays(name) for name in ("G", "D", "G_ema")}
    imported = tmp_path / "imported"
    manifest = {k: v for k, v in saved.checkpoint.manifest.items() if k not in ("format", "files")}
    save(imported / "checkpoints", 0, weights, manifest, 1)
    message = "lacks D_optimizer.safetensors, G_optimizer.safetensors, state.safetensors; leave"
    assert message in refused("--resume", imported, "--kimg", 1)
    files = {**weights, **{n: {} for n in ("G_optimizer", "D_optimizer", "state")}}
    save(tmp_path / "other" / "checkpoints", 0, files, {**manifest, "algorithm": "dcgan"}, 1)
    message = "is of dcgan, not of toy; leave the option out to take the weights alone"
    assert message in refused("--resume", tmp_path / "other", "--kimg", 1)
