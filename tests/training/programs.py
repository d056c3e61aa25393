"""Starting training programs and comparing what they leave behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np
import toy

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).with_name("toy.py")


def environment() -> dict[str, str]:
    """The environment of a child process: this pygan, as many threads as here."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def run_toy(*arguments: Any) -> int:
    """Runs the toy in this process, which saves importing Paddle; returns the exit code."""
    return toy.main([str(argument) for argument in arguments])


def spawn(*arguments: Any, **variables: Optional[str]) -> subprocess.Popen[str]:
    """Starts Python with these arguments; None removes a variable from its environment."""
    changed = {**environment(), **variables}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={name: value for name, value in changed.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """Waits for a process that must end with this exit code; returns what it wrote."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
    return out, err


def launch(*arguments: Any, log_dir: Path, processes: int = 2) -> None:
    """Runs a Python file in several processes by way of Paddle's launcher."""
    process = spawn_launcher(*arguments, log_dir=log_dir, processes=processes)
    out, err = process.communicate(timeout=180)
    logs = "\n".join(path.read_text() for path in log_dir.glob("workerlog.*"))
    assert process.returncode == 0, f"{out}\n{err}\n{logs}"


def spawn_launcher(*arguments: Any, log_dir: Path, processes: int = 2) -> subprocess.Popen[str]:
    """Starts Paddle's launcher for a Python file."""
    launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", processes]
    return spawn(*launcher, "--backend", "gloo", "--log_dir", log_dir, *arguments)


def wait_until_larger(path: Path, size: int) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.stat().st_size <= size:
        assert time.monotonic() < deadline, f"{path} does not grow"
        time.sleep(0.002)


def wait_until_holds(path: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{path} does not say {text!r}"
        time.sleep(0.01)


def newest_checkpoint(run: Path) -> Path:
    folders = sorted((run / "checkpoints").glob("iter-*"))
    return folders[-1] if folders else run


def kill_after_a_checkpoint(run: Path, *arguments: Any, seed: int = 1) -> None:
    """Starts a training program and kills it soon after its first checkpoint."""
    process = spawn(*arguments)
    deadline = time.monotonic() + 120
    while newest_checkpoint(run) == run:
        assert time.monotonic() < deadline, "no checkpoint"
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    process.communicate()


def checkpoint_bytes(run: Path) -> dict[str, bytes]:
    """Name -> content of all files of the newest checkpoint."""
    folder = newest_checkpoint(run)
    return {f"{folder.name}/{path.name}": path.read_bytes() for path in folder.iterdir()}


def checkpoint_arrays(run: Path) -> dict[str, np.ndarray]:
    """All arrays of the newest checkpoint."""
    from safetensors.numpy import load_file

    arrays = {}
    for path in newest_checkpoint(run).glob("*.safetensors"):
        arrays.update({f"{path.stem}/{k}": v for k, v in load_file(str(path)).items()})
    return arrays


def assert_same_weights(
    run: Path, other: Path, rtol: float = 1e-4, atol: float = 1e-6, except_for: str = ""
) -> dict[str, np.ndarray]:
    """The newest checkpoints of two runs agree up to rounding; returns the first one's arrays."""
    left, right = checkpoint_arrays(run), checkpoint_arrays(other)
    assert left.keys() == right.keys()
    for name in left:
        if not except_for or except_for not in name:
            np.testing.assert_allclose(left[name], right[name], rtol=rtol, atol=atol, err_msg=name)
    return left
