"""scripts/check_machine.sh on machines made of fakes: a PATH without this machine's tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "check_machine.sh"
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]
TOOLS = ("id", "sed")
PYTHON = 'case "$2" in *print*) echo {version};; *ensurepip*) exit {no_venv};; esac'
COMPILER = 'case "$*" in *-E*) echo "gcc {version} {clang}";; *) exit {no_headers};; esac'


class Machine:
    """A folder of commands, and what the script says when it finds only those."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path is not None
            (folder / tool).symlink_to(path)
        self.add("uname", 'case "$1" in -s) echo Linux;; *) echo x86_64;; esac')
        self.add("apt-get", "exit 1")
        self.add("make", "exit 1")
        self.python()
        self.compiler()

    def add(self, name: str, body: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink()

    def python(self, name: str = "python3", version: str = "3.11", no_venv: int = 0) -> None:
        self.add(name, PYTHON.format(version=version, no_venv=no_venv))

    def compiler(
        self, name: str = "c++", version: int = 12, clang: str = "__clang__", no_headers: int = 0
    ) -> None:
        self.add(name, COMPILER.format(version=version, clang=clang, no_headers=no_headers))

    def check(self, shell: str, **environment: str) -> tuple[int, str]:
        path = shutil.which(shell)
        assert path is not None
        done = subprocess.run(
            [path, str(SCRIPT)],
            env={"PATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "bin")


def refused(result: tuple[int, str], *parts: str) -> None:
    """One line that has all the parts, and a failure."""
    code, text = result
    assert code == 2
    assert text.startswith("pygan: error: ")
    assert text.count("\n") == 1
    for part in parts:
        assert part in text


def test_complete_machine_passes(machine: Machine, shell: str) -> None:
    assert machine.check(shell) == (0, "")


@pytest.mark.parametrize(
    ("command", "packages"), [("make", "make"), ("python3", "python3 python3-venv"), ("c++", "g++")]
)
def test_missing_command(machine: Machine, shell: str, command: str, packages: str) -> None:
    machine.remove(command)
    sudo = "" if os.geteuid() == 0 else "sudo "
    refused(machine.check(shell), "is missing", f"{sudo}apt-get install {packages}\n")


def test_package_is_named_where_the_package_manager_is_unknown(
    machine: Machine, shell: str
) -> None:
    machine.remove("make", "apt-get")
    refused(machine.check(shell), "make is missing", "Debian and Ubuntu: make")


def test_missing_venv_module_is_that_of_the_python(machine: Machine, shell: str) -> None:
    machine.python(version="3.10", no_venv=1)
    refused(machine.check(shell), "venv module is missing", "install python3.10-venv")


@pytest.mark.parametrize(
    ("version", "nearest"), [("2.7", "3.9"), ("3.8", "3.9"), ("3.14", "3.13"), ("4.0", "3.13")]
)
def test_python_that_paddle_does_not_support(
    machine: Machine, shell: str, version: str, nearest: str
) -> None:
    machine.python(version=version)
    refused(machine.check(shell), f"is Python {version}", f"install python{nearest} ")
    machine.python(name="python3.12", version="3.12")
    refused(machine.check(shell), f"is Python {version}", "make PYTHON=python3.12\n")


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13"])
def test_python_that_paddle_supports(machine: Machine, shell: str, version: str) -> None:
    machine.python(version=version)
    assert machine.check(shell) == (0, "")


def test_broken_python(machine: Machine, shell: str) -> None:
    machine.add("python3", "exit 1")
    refused(machine.check(shell), "python3 does not run as a Python")


def test_old_gcc(machine: Machine, shell: str) -> None:
    machine.compiler(version=10)
    refused(machine.check(shell), "(c++) is GCC 10", "needs GCC 12", "install g++-12\n")
    machine.compiler(name="g++-13", version=13)
    refused(machine.check(shell), "(c++) is GCC 10", "make CXX=g++-13\n")
    assert machine.check(shell, CXX="g++-13") == (0, "")


def test_clang_is_not_taken_for_an_old_gcc(machine: Machine, shell: str) -> None:
    machine.compiler(version=4, clang="1")  # the GCC that Clang says it is compatible with
    assert machine.check(shell) == (0, "")


def test_compiler_without_headers(machine: Machine, shell: str) -> None:
    machine.compiler(no_headers=1)
    refused(machine.check(shell), "lacks the headers", "install g++\n")


def test_compiler_named_by_the_environment(machine: Machine, shell: str) -> None:
    refused(machine.check(shell, CXX="g++-99"), "CXX names (g++-99) is missing")
    assert machine.check(shell, CXX="c++ -m64") == (0, "")


def test_gcc_without_the_name_that_the_standard_gives_it(machine: Machine, shell: str) -> None:
    machine.remove("c++")
    machine.compiler(name="g++")
    assert machine.check(shell) == (0, "")


def test_portable_kernels_are_announced(machine: Machine, shell: str) -> None:
    machine.add("uname", 'case "$1" in -s) echo Linux;; *) echo aarch64;; esac')
    code, text = machine.check(shell)
    assert code == 0
    assert "note: on aarch64" in text


def test_other_systems(machine: Machine, shell: str) -> None:
    machine.add("uname", "echo Darwin")
    refused(machine.check(shell), "Linux", "Darwin")
