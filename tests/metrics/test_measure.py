"""Measurements: their names, protocols and needs, and that they are the formulas' values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from features import TinyExtractor
from PIL import Image

from pygan.algorithms.stylegan2 import StyleGAN2
from pygan.algorithms.stylegan2_config import StyleGAN2Config
from pygan.errors import InputError
from pygan.metrics.cache import StatisticsCache
from pygan.metrics.fid import fid
from pygan.metrics.inception_score import inception_score
from pygan.metrics.kid import kid
from pygan.metrics.measure import Options, measure
from pygan.metrics.names import feature_metric_name, parse_metrics
from pygan.metrics.precision_recall import precision_recall
from pygan.metrics.sources import GeneratedImages, RealImages, generated_images, open_images
from pygan.training.algorithm import DataSpec


def write(folder: Path, count: int, seed: int, labels: bool = False) -> RealImages:
    random = np.random.RandomState(seed)
    folder.mkdir()
    for i in range(count):
        pixels = random.randint(0, 256, (8, 6, 3)) * (0.3 + 0.7 * (i % 2))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03}.png")
    if labels:
        table = [[f"{i:03}.png", i % 2] for i in range(count)]
        (folder / "dataset.json").write_text(json.dumps({"labels": table}))
    return open_images(folder)


@pytest.fixture
def real(tmp_path: Path) -> RealImages:
    return write(tmp_path / "real", 40, seed=0, labels=True)


@pytest.fixture
def fake(tmp_path: Path) -> RealImages:
    return write(tmp_path / "fake", 30, seed=1)


def stylegan(count: int = 24, classes: tuple[int, ...] = (), **options: Any) -> GeneratedImages:
    small = {"channel_base": 64, "channel_max": 8, "z_dim": 4, "w_dim": 4, "mapping_layers": 1}
    config = StyleGAN2Config(**small)
    data = DataSpec((3, 8, 8), classes)
    paddle.seed(0)
    network = StyleGAN2.build("G", config, data)
    return generated_images(StyleGAN2, {"G": network}, config, data, count, **options)


def features(images: RealImages, output: str = "pool") -> np.ndarray:
    extractor = TinyExtractor()
    return np.concatenate([extractor(batch, [output])[output] for batch in images.batches(64)])


def test_values_are_those_of_the_formulas(real: RealImages, fake: RealImages) -> None:
    options = Options(ddof=0, kid_subsets=7, kid_subset_size=11, neighbours=2, splits=3)
    found = measure(
        fake,
        ["kid", "fid", "pr", "is"],
        real=real,
        extractor=TinyExtractor(),
        options=options,
        batch=7,
    )
    x, y = features(real), features(fake)
    both = precision_recall(real=x, fake=y, k=2)
    expected = {
        "kd_tiny": kid(real=x, fake=y, subsets=7, subset_size=11).mean,
        "fd_tiny": fid(real=x, fake=y, ddof=0),
        "precision_tiny": both.precision,
        "recall_tiny": both.recall,
        "is_tiny": inception_score(logits=features(fake, "logits"), splits=3).mean,
    }
    assert list(expected) == [one.metric for one in found]
    for one in found:
        assert one.value == pytest.approx(expected[one.metric], rel=1e-6)


def test_batches_make_no_difference(real: RealImages, fake: RealImages) -> None:
    values = []
    for batch in (1, 64):
        found = measure(fake, ["fid", "kid"], real=real, extractor=TinyExtractor(), batch=batch)
        values.append([one.value for one in found])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-4, atol=1e-7)


def test_the_protocol_is_complete(real: RealImages, fake: RealImages) -> None:
    (found,) = measure(fake, ["kid"], real=real, extractor=TinyExtractor())
    record = json.loads(json.dumps(found.to_dict()))
    assert record["metric"] == "kd_tiny"
    assert record["extractor"] == "tiny"
    assert record["sha256"] == "0" * 64
    assert record["output"] == "pool"
    assert record["resize"] == "quarters"
    assert record["subset_size"] == 30
    assert record["real"]["count"] == 40
    assert record["fake"]["count"] == 30
    (found,) = measure(stylegan(seed=5), ["fid"], real=real, extractor=TinyExtractor())
    record = found.to_dict()
    assert record["seed"] == 5
    assert record["fake"] == {"truncation": 1.0, "noise": "random", "count": 24}
    (found,) = measure(fake, ["is"], real=real, extractor=TinyExtractor())
    assert "real" not in found.protocol  # it does not depend on them


def test_only_one_network_and_resize_makes_a_fid() -> None:
    extractor = TinyExtractor()
    assert feature_metric_name("fid", extractor, "quarters") == "fd_tiny"
    assert feature_metric_name("kid", extractor, "bicubic") == "kd_tiny_quarters"
    extractor.name, extractor.resize = "inception-2015", "tf1-bilinear"
    for metric in ("fid", "kid", "is"):
        assert feature_metric_name(metric, extractor, "tf1-bilinear") == metric
    assert feature_metric_name("recall", extractor, "tf1-bilinear") == "recall_inception-2015"
    extractor.resize = "bicubic"
    found = feature_metric_name("fid", extractor, "tf1-bilinear")
    assert found == "fd_inception-2015_bicubic"


def test_another_resize_is_for_one_measurement(real: RealImages, fake: RealImages) -> None:
    extractor = TinyExtractor()
    (found,) = measure(fake, ["fid"], real=real, extractor=extractor, resize="bilinear")
    assert found.metric == "fd_tiny_bilinear"
    assert found.protocol["resize"] == "bilinear"
    assert extractor.resize == "quarters"


def test_real_statistics_are_computed_once(
    real: RealImages, fake: RealImages, tmp_path: Path
) -> None:
    def calls(names: list[str], **options: Any) -> int:
        extractor = TinyExtractor()
        cache = StatisticsCache(tmp_path / "cache")
        found = measure(
            fake, names, real=real, extractor=extractor, batch=10, cache=cache, **options
        )
        values.setdefault(tuple(names), set()).add(found[0].value)
        return extractor.calls

    values: dict[tuple[str, ...], set[float]] = {}
    assert calls(["fid"]) == 4 + 3
    assert calls(["fid"]) == 3
    assert calls(["kid"]) == 4 + 3  # moments are not enough
    assert calls(["kid"]) == 3
    assert calls(["fid"]) == 3  # features are
    assert calls(["fid"], resize="bilinear") == 4 + 3
    assert all(len(found) == 1 for found in values.values())


def test_a_generator_of_labelled_images(real: RealImages) -> None:
    arguments = {"real": real, "extractor": TinyExtractor()}
    names = ["fid", "ls"]
    found = measure(stylegan(64, classes=(3, 1)), names, **arguments, batch=9)
    assert [one.metric for one in found] == ["fd_tiny", "ls_z_tiny", "ls_w_tiny"]
    assert found[1].protocol["attributes"] == [0]  # of two classes one is enough
    assert all(1 <= one.value <= 2 for one in found[1:])
    again = measure(stylegan(64, classes=(3, 1)), names, **arguments, batch=64)
    assert [one.value for one in again] == pytest.approx([one.value for one in found], rel=1e-4)


class Distance:
    name, sha256 = "square", "1" * 64

    @staticmethod
    def distance(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        return paddle.square(a - b).mean(axis=[1, 2, 3])


def test_path_lengths() -> None:
    distance = Distance()
    names = ["ppl", "ppl_zfull", "ppl_wend_torch"]
    found = measure(stylegan(10), names, distance=distance)
    expected = ["ppl2_wend_square", "ppl_zfull_square", "ppl_wend_torch_square"]
    assert [one.metric for one in found] == expected
    assert found[1].protocol["space"] == "z"
    assert found[1].protocol["sampling"] == "full"
    assert found[1].protocol["crop"] == "tf"
    assert found[0].protocol["sha256"] == "1" * 64
    distance.name = "lpips-vgg"
    assert measure(stylegan(2), ["ppl"], distance=distance)[0].metric == "ppl2_wend"


def test_what_is_missing_is_named(real: RealImages, fake: RealImages) -> None:
    extractor = TinyExtractor()
    with pytest.raises(InputError, match="fid compares with real images: name them"):
        measure(fake, ["fid"], extractor=extractor)
    with pytest.raises(InputError, match="kid needs an extractor"):
        measure(fake, ["kid"], real=real)
    with pytest.raises(InputError, match="ppl needs a perceptual distance"):
        measure(stylegan(), ["ppl"])
    with pytest.raises(InputError, match="ppl2_zend measures the latent space w"):
        measure(fake, ["ppl2_zend"], distance=Distance())
    with pytest.raises(InputError, match="ls: the real images need labels"):
        measure(stylegan(), ["ls"], real=fake, extractor=extractor)
    with pytest.raises(InputError, match="there is no metric 'x'"):
        measure(fake, ["x"], real=real, extractor=extractor)
    with pytest.raises(InputError, match="batch: must be at least 1"):
        measure(fake, ["fid"], real=real, extractor=extractor, batch=0)
    del extractor.dims["logits"]
    with pytest.raises(InputError, match="tiny knows no classes"):
        measure(fake, ["is"], extractor=extractor)


@pytest.mark.parametrize(
    "options",
    [
        {"ddof": 2},
        {"kid_subsets": 0},
        {"kid_subset_size": 1},
        {"neighbours": 0},
        {"splits": 0},
        {"epsilon": 0.0},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=f"{name}: must be .*, got {value}"):
        Options(**options)


def test_too_few_images_are_refused_before_any_is_drawn(real: RealImages) -> None:
    extractor = TinyExtractor()
    for name, options in (
        ("fid", Options()),
        ("kid", Options(kid_subset_size=5)),
        ("pr", Options(neighbours=1)),
        ("is", Options(splits=2)),
    ):
        with pytest.raises(InputError, match=f"{name}: .* needs at least .* there are 1"):
            measure(stylegan(1), [name], real=real, extractor=extractor, options=options)
    assert extractor.calls == 0


def test_progress_reaches_the_end(real: RealImages) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    measure(
        stylegan(10),
        ["kid", "ppl"],
        real=real,
        extractor=TinyExtractor(),
        distance=Distance(),
        batch=4,
        progress=lambda what, done, total: told.setdefault(what, []).append((done, total)),
    )
    assert list(told) == ["real images", "generated images", "path lengths"]
    assert told["generated images"] == [(4, 10), (8, 10), (10, 10)]
    assert told["path lengths"][-1] == (10, 10)
    assert told["real images"][-1] == (40, 40)


def test_lists_of_names() -> None:
    assert parse_metrics("kid, fid,ppl,ppl_zend_torch") == ["kid", "fid", "ppl", "ppl_zend_torch"]
    for text in ("", "fid,", "FID", "ppl2_wend_torch", "ppl_xend", "fid50k"):
        with pytest.raises(InputError, match="is unknown here; choose from: fid"):
            parse_metrics(text)
    with pytest.raises(InputError, match="names a metric twice"):
        parse_metrics("fid,kid,fid")
    with pytest.raises(InputError, match=r"'ppl' is unknown here; choose from: fid$"):
        parse_metrics("ppl", ["fid"])
