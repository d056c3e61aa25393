#!/bin/sh
# Says in one sentence what this machine lacks for building pygan, and the command that installs it.
#
#   sh scripts/check_machine.sh [PYTHON]      CXX names a compiler, as for CMake
#
# CMake and Ninja are not asked for: they come with the virtual environment.
python=${1:-python3}
oldest_gcc=12

fail() {
  echo "pygan: error: $1" >&2
  exit 2
}

# The command that installs the packages, by their names in Debian and Ubuntu.
install_command() {
  sudo=
  [ "$(id -u)" = 0 ] || sudo="sudo "
  if command -v apt-get >/dev/null 2>&1; then
    echo "${sudo}apt-get update && ${sudo}apt-get install $*"
  else
    echo "your package manager (its name on Debian and Ubuntu: $*)"
  fi
}

# The first of these commands that is here; fails where none is.
first_command() {
  for name in "$@"; do
    if command -v "$name" >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  return 1
}

version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

[ "$(uname -s)" = Linux ] || fail "pygan is built on Linux, and this is $(uname -s)"
# Not said by make itself, but by this script when it is run without it.
command -v make >/dev/null 2>&1 ||
  fail "make is missing; install it with: $(install_command make)"

# ---- Python

command -v "$python" >/dev/null 2>&1 ||
  fail "Python ($python) is missing; install it with: $(install_command python3 python3-venv)"
version=$(version_of "$python") || fail "$python does not run as a Python; name another with: make PYTHON=python3.11"
case $version in
  3.9 | 3.1[0-3]) ;;
  *)
    nearest=python3.13
    case $version in [012].* | 3.[0-8]) nearest=python3.9 ;; esac
    here=$(first_command python3.13 python3.12 python3.11 python3.10 python3.9) &&
      fail "$python is Python $version, and Paddle supports 3.9 to 3.13; name one that is here with: make PYTHON=$here"
    fail "$python is Python $version, and Paddle supports 3.9 to 3.13; install one and name it with make PYTHON=$nearest: $(install_command $nearest $nearest-venv)"
    ;;
esac
"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
  fail "Python's venv module is missing; install it with: $(install_command "python$version-venv")"

# ---- The C++ compiler; CXX may carry arguments, or a launcher in front.

cxx=${CXX:-$(first_command c++ g++ clang++)} ||
  fail "a C++ compiler is missing; install one with: $(install_command g++)"
command -v "${cxx%% *}" >/dev/null 2>&1 ||
  fail "the C++ compiler that CXX names ($cxx) is missing; unset CXX, or install one with: $(install_command g++)"

# Runs the compiler on standard input; its name is split into words.
compile() {
  # shellcheck disable=SC2086
  $cxx "$@" -x c++ - 2>/dev/null
}

gcc=$(echo 'gcc __GNUC__ __clang__' | compile -E -P | sed -n 's/^gcc \([0-9]*\) __clang__$/\1/p')
if [ "${gcc:-$oldest_gcc}" -lt "$oldest_gcc" ]; then
  old="the C++ compiler ($cxx) is GCC $gcc, and pygan needs GCC $oldest_gcc or newer"
  here=$(first_command g++-15 g++-14 g++-13 g++-12) &&
    fail "$old; name one that is here with: make CXX=$here"
  fail "$old (Debian 12 and Ubuntu 22.04 have it); install one and name it with make CXX=g++-$oldest_gcc: $(install_command g++-$oldest_gcc)"
fi
# A compiler may be there without the headers it reads.
printf '#include <omp.h>\n#include <vector>\n' | compile -std=c++17 -fopenmp -fsyntax-only ||
  fail "the C++ compiler ($cxx) lacks the headers of C++ or OpenMP; install them with: $(install_command g++)"

[ "$(uname -m)" = x86_64 ] ||
  echo "pygan: note: on $(uname -m) only the portable kernels are built; they are slower." >&2
