"""Options of commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

from pygan.errors import InputError


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are InputErrors."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def first_line(error: BaseException) -> str:
    """The first line of an exception's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
