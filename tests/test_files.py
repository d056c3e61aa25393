"""Files that appear complete or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pygan.files import replacing
from pygan.training.grid import save_png


def test_replaces_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".txt")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_cannot_be_encoded_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_png(np.zeros((4, 4, 5), dtype=np.uint8), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
