"""Which augmentations are drawn: their probabilities and distributions, with fixed seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pygan.nn.augment_sampling import AugmentParameters, _rectangles, sample
from pygan.nn.augment_settings import TRANSFORMS, AugmentSettings
from pygan.training import StepRandom

SHAPE = (3, 40, 100)
COUNT = 6000
SIGNIFICANCE = 1e-3  # of a single test; seeds are fixed, so they pass or fail for good


class BulkRandom:
    """Random numbers of many samples at once: faster than a stream for each."""

    def __init__(self, seed: int, count: int) -> None:
        self._seed, self._count = seed, count

    def __len__(self) -> int:
        return self._count

    def uniform(self, purpose: str, shape: list[int]) -> np.ndarray:
        return np.random.default_rng([self._seed, 0]).random((self._count, *shape))

    def normal(self, purpose: str, shape: list[int]) -> np.ndarray:
        seed = [self._seed, 1 + len(purpose)]
        return np.random.default_rng(seed).standard_normal((self._count, *shape), np.float32)


def draw(p: float = 1.0, count: int = COUNT, seed: int = 5, **options: object) -> AugmentParameters:
    settings = AugmentSettings(**options)  # type: ignore[arg-type]
    return sample(settings, p, SHAPE, BulkRandom(seed, count))


def assert_proportion(hits: np.ndarray, probability: float) -> None:
    found = stats.binomtest(int(hits.sum()), len(hits), probability)
    assert found.pvalue > SIGNIFICANCE, (hits.mean(), probability)


def assert_distribution(values: np.ndarray, law: object) -> None:
    assert stats.kstest(values, law.cdf).pvalue > SIGNIFICANCE  # type: ignore[attr-defined]


def uniform(limit: float) -> object:
    return stats.uniform(-limit, 2 * limit)


# Which images a transform of strength 1 changes, for p.
CHANGED = {
    "xflip": lambda a: a.xflip,
    "rotate90": lambda a: a.rotate90 != 0,
    "scale": lambda a: a.scale != 1,
    "rotate": lambda a: (a.rotate_pre != 0) | (a.rotate_post != 0),
    "aniso": lambda a: a.aniso != 1,
    "xfrac": lambda a: (a.xfrac != 0).any(axis=1),
    "brightness": lambda a: a.brightness != 0,
    "contrast": lambda a: a.contrast != 1,
    "lumaflip": lambda a: a.lumaflip,
    "hue": lambda a: a.hue != 0,
    "saturation": lambda a: a.saturation != 1,
    "noise": lambda a: a.noise != 0,
    "cutout": lambda a: (a.cutout[:, 1] > a.cutout[:, 0]) & (a.cutout[:, 3] > a.cutout[:, 2]),
}
SHARE = {"xflip": 0.5, "rotate90": 0.75, "lumaflip": 0.5}


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("name", sorted(CHANGED))
def test_each_transform_comes_with_its_probability_and_alone(name: str, p: float) -> None:
    for strength in (1.0, 0.5):
        found = draw(p, 2000, **{name: strength})
        assert_proportion(CHANGED[name](found), strength * p * SHARE.get(name, 1))
        for other, changed in CHANGED.items():
            assert other == name or not changed(found).any()
        assert (found.imgfilter == 1).all()
        assert not found.xint.any()


@pytest.mark.parametrize("p", [0.2, 0.8, 1.0])
def test_both_turns_have_the_law_that_leaves_an_image_upright_with_1_minus_p(p: float) -> None:
    found = draw(p, rotate=1.0)
    pre, post = found.rotate_pre != 0, found.rotate_post != 0
    one = 1 - np.sqrt(1 - p)
    assert_proportion(pre, one)
    assert_proportion(post, one)
    assert_proportion(pre & post, one**2)  # independent of each other
    assert_proportion(pre | post, p)
    for angle in (found.rotate_pre[pre], found.rotate_post[post]):
        assert_distribution(angle, uniform(np.pi))


def test_strengths_above_one_are_certain() -> None:
    assert (draw(0.5, 50, scale=3.0, rotate=3.0).scale != 1).all()
    assert (draw(0.5, 50, rotate=3.0).rotate_pre != 0).all()


def test_gates_of_different_transforms_are_independent() -> None:
    found = draw(0.5, **dict.fromkeys(TRANSFORMS, 1.0))
    hits = np.stack([changed(found) for changed in CHANGED.values()]).astype(float)
    bands = (found.imgfilter != 1).any(axis=1)[None]
    correlation = np.corrcoef(np.concatenate([hits, bands]))
    off_diagonal = correlation[np.triu_indices(len(correlation), 1)]
    assert np.abs(off_diagonal).max() < 4.5 / np.sqrt(COUNT)


def test_distributions_of_the_geometry() -> None:
    found = draw(xflip=1, rotate90=1, xint=1, scale=1, aniso=1, xfrac=1)
    assert stats.chisquare(np.bincount(found.xflip)).pvalue > SIGNIFICANCE
    assert stats.chisquare(np.bincount(found.rotate90, minlength=4)).pvalue > SIGNIFICANCE
    assert_distribution(np.log2(found.scale), stats.norm(0, 0.2))
    assert_distribution(np.log2(found.aniso), stats.norm(0, 0.2))
    for axis, size in enumerate((100, 40)):
        assert_distribution(found.xfrac[:, axis] / size, stats.norm(0, 0.125))
        # Whole numbers nearest to the uniform ones: the two at the ends have half the width.
        limit = size / 8
        steps = np.arange(-round(limit), round(limit) + 1)
        edges = np.clip(np.stack([steps - 0.5, steps + 0.5]), -limit, limit)
        expected = (edges[1] - edges[0]) / (2 * limit) * COUNT
        counts = [(found.xint[:, axis] == step).sum() for step in steps]
        assert sum(counts) == COUNT
        keep = expected > 0
        assert stats.chisquare(np.array(counts)[keep], expected[keep]).pvalue > SIGNIFICANCE
    assert abs(np.corrcoef(found.xfrac.T)[0, 1]) < 4 / np.sqrt(COUNT)
    assert abs(np.corrcoef(found.xint.T)[0, 1]) < 4 / np.sqrt(COUNT)


def test_distributions_of_the_colours_and_the_noise() -> None:
    found = draw(brightness=1, contrast=1, lumaflip=1, hue=1, saturation=1, noise=1)
    assert_distribution(found.brightness, stats.norm(0, 0.2))
    assert_distribution(np.log2(found.contrast), stats.norm(0, 0.5))
    assert stats.chisquare(np.bincount(found.lumaflip)).pvalue > SIGNIFICANCE
    assert_distribution(found.hue, uniform(np.pi))
    assert_distribution(np.log2(found.saturation), stats.norm(0, 1))
    assert_distribution(found.noise, stats.halfnorm(0, 0.1))


def test_noise_is_standard_normal_and_only_drawn_where_needed() -> None:
    found = draw(count=4, noise=1.0)
    assert found.noise_values is not None
    assert found.noise_values.shape == (4, *SHAPE)
    assert found.noise_values.dtype == np.float32
    assert_distribution(found.noise_values.reshape(-1), stats.norm(0, 1))
    assert draw(count=4, cutout=1.0).noise_values is None
    grey = sample(AugmentSettings(noise=1.0), 1, (1, 8, 9), StepRandom(0, "t", 0, range(3)))
    assert grey.noise_values is not None
    assert grey.noise_values.shape == (3, 1, 8, 9)
    assert {"noise_values", "noise", "hue"} < set(grey.arrays())


@pytest.mark.parametrize("p", [0.1, 1.0])
def test_octave_gains_keep_the_expected_power(p: float) -> None:
    found = draw(p, imgfilter=1.0)
    power = np.array([10, 1, 1, 1]) / 13
    untouched = (found.imgfilter == 1).all(axis=1)
    assert_proportion(untouched, (1 - p) ** 4)
    # With one band alone, its gain is t / sqrt(sum of power * t^2), so that the power stays 1.
    for band in range(4):
        bands = tuple(float(i == band) for i in range(4))
        alone = draw(p, imgfilter=1.0, imgfilter_bands=bands).imgfilter
        fired = (alone != 1).any(axis=1)
        assert_proportion(fired, p)
        assert (alone[fired] ** 2 @ power) == pytest.approx(1, abs=1e-12)
        ratio = alone[fired][:, band] / alone[fired][:, (band + 1) % 4]
        assert_distribution(np.log2(ratio), stats.norm(0, 1))
    # All four: the product of what each does alone, with the same random numbers.
    factors = [
        draw(p, imgfilter=1.0, imgfilter_bands=tuple(float(i == b) for i in range(4))).imgfilter
        for b in range(4)
    ]
    np.testing.assert_allclose(found.imgfilter, np.prod(factors, axis=0), rtol=1e-12)


def test_cutouts_are_the_pixels_near_a_uniform_centre() -> None:
    found = draw(cutout=1.0)
    widths, heights = (
        found.cutout[:, 1] - found.cutout[:, 0],
        found.cutout[:, 3] - found.cutout[:, 2],
    )
    assert (found.cutout >= 0).all()
    assert found.cutout[:, :2].max() == 100
    assert found.cutout[:, 2:].max() == 40
    for low, size, length in ((found.cutout[:, 0], 100, widths), (found.cutout[:, 2], 40, heights)):
        # Centres in the middle half of the image cut out half of its length.
        inner = (low > 0) & (low + length < size)
        assert set(np.unique(length[inner])) <= {size // 2, size // 2 - 1}
        assert_proportion(inner, 0.5 - 1 / size)
        # The first cut column follows the centre, which is uniform: floor(c * size - size / 4 + .5)
        starts = np.bincount(low[inner], minlength=size)[1 : size // 2]
        assert stats.chisquare(starts).pvalue > SIGNIFICANCE
        # A centre at the border cuts a quarter.
        assert length.min() == size // 4


def test_cutout_edges_against_the_distance_to_the_centre() -> None:
    centres = np.random.RandomState(0).rand(200, 2)
    for size in (0.5, 0.3, 0.0, 2.0):
        found = _rectangles(centres, size, np.array([7.0, 4.0]))
        for (c_x, c_y), (x0, x1, y0, y1) in zip(centres, found.astype(int)):
            for centre, low, high, count in ((c_x, x0, x1, 7), (c_y, y0, y1, 4)):
                near = np.abs((np.arange(count) + 0.5) / count - centre) < size / 2
                assert np.array_equal(np.nonzero(near)[0], np.arange(low, high))


def test_ranges_scale_the_transforms() -> None:
    options = {"scale": 1.0, "hue": 1.0, "xint": 1.0, "rotate": 1.0, "noise": 1.0}
    one = draw(count=50, **options)
    half = draw(
        count=50,
        scale_std=0.1,
        hue_max=0.5,
        rotate_max=0.5,
        noise_std=0.05,
        xint_max=0.0,
        **options,
    )
    np.testing.assert_allclose(np.log2(half.scale) * 2, np.log2(one.scale))
    np.testing.assert_allclose(half.hue * 2, one.hue)
    np.testing.assert_allclose(half.rotate_pre * 2, one.rotate_pre)
    np.testing.assert_allclose(half.noise * 2, one.noise)
    assert one.xint.any()
    assert not half.xint.any()


def test_a_transform_draws_the_same_whatever_the_others_do() -> None:
    everything = draw(0.7, 200, **dict.fromkeys(TRANSFORMS, 1.0))
    names = {"rotate": ["rotate_pre", "rotate_post"]}
    for name in TRANSFORMS:
        alone = draw(0.7, 200, **{name: 1.0})
        for array in names.get(name, [name]):
            np.testing.assert_array_equal(getattr(alone, array), getattr(everything, array))


def test_an_image_is_augmented_the_same_however_the_batch_is_split() -> None:
    settings = AugmentSettings.preset("bgcfnc")
    whole = sample(settings, 0.6, SHAPE, StepRandom(1, "D_main", 7, range(12))).arrays()
    for parts in (range(0, 12, 2), range(1, 12, 2), [11], [5, 3]):
        part = sample(settings, 0.6, SHAPE, StepRandom(1, "D_main", 7, parts)).arrays()
        for name, array in part.items():
            if name == "noise_values":  # where there is noise at all
                noisy = part["noise"] > 0
                np.testing.assert_array_equal(array[noisy], whole[name][parts][noisy])
            else:
                np.testing.assert_array_equal(array, whole[name][parts])
    other = sample(settings, 0.6, SHAPE, StepRandom(1, "D_main", 8, range(12))).arrays()
    assert not np.array_equal(other["hue"], whole["hue"])


def test_parameters_can_be_saved(tmp_path: Path) -> None:
    settings = AugmentSettings.preset("bgcfnc")
    found = sample(settings, 0.9, SHAPE, StepRandom(1, "s", 0, range(5)))
    np.savez(tmp_path / "parameters.npz", **found.arrays())
    with np.load(tmp_path / "parameters.npz") as arrays:
        again = AugmentParameters(**arrays)
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, getattr(again, name))
        assert array.dtype == getattr(again, name).dtype


def test_presets_are_the_sets_of_the_paper() -> None:
    def active(name: str) -> set[str]:
        settings = AugmentSettings.preset(name)
        return {t for t in TRANSFORMS if getattr(settings, t)}

    blit, geom = {"xflip", "rotate90", "xint"}, {"scale", "rotate", "aniso", "xfrac"}
    color = {"brightness", "contrast", "lumaflip", "hue", "saturation"}
    expected = {"blit": blit, "geom": geom, "color": color, "filter": {"imgfilter"}}
    expected |= {"noise": {"noise"}, "cutout": {"cutout"}, "bg": blit | geom}
    expected |= {"bgc": blit | geom | color, "bgcf": blit | geom | color | {"imgfilter"}}
    expected |= {"bgcfn": set(TRANSFORMS) - {"cutout"}, "bgcfnc": set(TRANSFORMS)}
    for name, transforms in expected.items():
        assert active(name) == transforms
    mixed = AugmentSettings.preset("blit", {"xflip": 0.0, "hue": 0.25})
    assert (mixed.xflip, mixed.rotate90, mixed.hue, mixed.scale) == (0, 1, 0.25, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AugmentSettings.preset("bcg"), "is 'bcg'; choose from: blit, geom"),
        (lambda: AugmentSettings.preset("bgc", {"zoom": 1.0}), "names zoom; the transforms are"),
        (lambda: AugmentSettings(hue=-1.0), "`hue` is -1.0; it must be 0 or more"),
        (lambda: AugmentSettings(scale=float("nan")), "`scale` is nan"),
        (lambda: AugmentSettings(imgfilter_bands=(1.0,)), "it must be four numbers"),  # type: ignore
        (lambda: draw(1.5), "`p` is 1.5; it must be from 0 to 1"),
    ],
)
def test_bad_settings_are_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
