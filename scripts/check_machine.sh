#!/bin/sh
# Says in one sentence what this machine lacks for building pygan, and the command that installs it.
python=${1:-python3}

fail() {
  echo "pygan: error: $1" >&2
  exit 2
}

command -v "$python" >/dev/null 2>&1 ||
  fail "Python ($python) is missing. Install it with: sudo apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(not ((3, 9) <= sys.version_info[:2] <= (3, 13)))' ||
  fail "$("$python" --version) is not one Paddle supports (3.9 to 3.13). Name another with: make PYTHON=python3.11 ..."
"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
  fail "Python's venv module is missing. Install it with: sudo apt-get install python3-venv"
command -v "${CXX:-c++}" >/dev/null 2>&1 ||
  fail "a C++ compiler is missing. Install one with: sudo apt-get install g++"
[ "$(uname -m)" = x86_64 ] ||
  echo "pygan: note: on $(uname -m) only the portable kernels are built; they are slower." >&2
