"""Ladders of resolutions."""

import pytest

from pygan.nn import block_name, channels_at, resolution_pyramid


@pytest.mark.parametrize(
    ("resolution", "base", "steps"),
    [
        (32, (4, 4), 4),
        (1024, (4, 4), 9),
        ((32, 48), (4, 6), 4),
        ((384, 512), (3, 4), 8),
        ((512, 384), (4, 3), 8),
        (28, (7, 7), 3),
        (48, (3, 3), 5),
        ((8, 128), (4, 64), 2),
    ],
)
def test_pyramid(resolution, base, steps):
    sizes = resolution_pyramid(resolution)
    assert sizes[0] == base
    assert len(sizes) == steps
    assert sizes[-1] == ((resolution, resolution) if isinstance(resolution, int) else resolution)
    for (h, w), larger in zip(sizes, sizes[1:]):
        assert larger == (2 * h, 2 * w)


@pytest.mark.parametrize("resolution", [4, 33, 500, (1080, 1920), (0, 8), -8, (8, 8, 8)])
def test_pyramid_rejects(resolution):
    with pytest.raises(ValueError, match="resolution"):
        resolution_pyramid(resolution)


def test_block_names():
    assert block_name((16, 16)) == "b16"
    assert block_name((4, 6)) == "b4x6"


def test_channels_follow_the_published_rule():
    sides = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    full = [channels_at((r, r), 32768, 512) for r in sides]
    assert full == [512, 512, 512, 512, 512, 256, 128, 64, 32]
    half = [channels_at((r, r), 16384, 512) for r in sides]
    assert half == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert channels_at((384, 512), 32768, 512) == 64
    with pytest.raises(ValueError, match="channel_base"):
        channels_at((64, 64), 32, 512)
