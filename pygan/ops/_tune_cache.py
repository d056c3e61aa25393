"""Decisions of the tuner on disk: one JSON file per GPU, driver, Paddle and pygan.

Several processes may write the same file: each adds to what is there and replaces the file by a
rename, under a lock where the file system has locks. A file that is damaged counts as empty. What
cannot be written is lost with one warning; a run never stops for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SCHEMA = 1
_LOCK_SECONDS = 1.0


class TuneCache:
    """Entries by name, for each identity of a machine, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._warned = False

    def path(self, identity: Mapping[str, str]) -> Path:
        """The file of a machine."""
        text = json.dumps(dict(identity), sort_keys=True)
        words = re.sub(r"[^A-Za-z0-9]+", "-", identity.get("gpu", "gpu")).strip("-")[:60]
        return self._folder / f"{words}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"

    def read(self, identity: Mapping[str, str]) -> dict[str, Any]:
        """The valid entries of a machine; empty where there is no file, or a damaged one."""
        try:
            content = json.loads(self.path(identity).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(content, dict) or content.get("schema") != _SCHEMA:
            return {}
        if content.get("device") != dict(identity):
            return {}
        entries = content.get("entries")
        if not isinstance(entries, dict):
            return {}
        return {name: entry for name, entry in entries.items() if _is_valid(entry)}

    def add(self, identity: Mapping[str, str], name: str, entry: Mapping[str, Any]) -> None:
        """Add one entry to the file."""
        path = self.path(identity)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _lock(path.with_suffix(".lock")):
                entries = self.read(identity)
                entries[name] = dict(entry)
                content = {"schema": _SCHEMA, "device": dict(identity), "entries": entries}
                _replace(path, json.dumps(content, indent=1, sort_keys=True))
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"pygan cannot keep its timings in {self._folder} ({error}); each process will "
                    "time anew. Name a folder that can be written with PYGAN_TUNE_CACHE.",
                    stacklevel=2,
                )


def _is_valid(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("choice") not in ("native", "composition"):
        return False
    times = (entry.get("native_ms"), entry.get("composition_ms"))
    return all(
        isinstance(t, (int, float)) and not isinstance(t, bool) and 0 <= t < math.inf for t in times
    )


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Keep other writers out, as far as that is possible within a second.

    Without the lock, an entry of another process may get lost and will be timed again.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with path.open("w") as file:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    break
                time.sleep(0.01)
            except OSError:  # a file system without locks
                break
        yield  # closing the file unlocks it
