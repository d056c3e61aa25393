"""Pix2PixHD: sizes, agreement with a composition of Paddle's operators, gradients, errors."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import translation_oracle as oracle
from test_spade import count, label_map, normal, randomize

from pygan.models.multiscale_discriminator import MultiscaleDiscriminator
from pygan.models.pix2pixhd import CoarseToFineGenerator, FeatureEncoder, GlobalGenerator

TINY = {"base": 4, "downs": 2, "blocks": 2}


def test_parameter_counts_of_the_published_networks():
    with paddle.LazyGuard():  # no memory for 180 million numbers
        assert count(GlobalGenerator(35, 1)) == 182_546_755
        assert count(GlobalGenerator(35, 4)) == 182_556_163
        assert count(CoarseToFineGenerator(35, 1)) == 182_857_059
        assert count(CoarseToFineGenerator(35, 4)) == 182_871_171
        assert count(FeatureEncoder()) == 788_803
        for scales, expected in [(1, 2_801_601), (2, 5_603_202), (3, 8_404_803)]:
            assert count(MultiscaleDiscriminator(35, 4, scales=scales)) == expected


@pytest.mark.parametrize(("labels", "extra"), [(3, 0), (3, 2), (0, 3)])
def test_global_generator_against_the_composition(labels, extra):
    network = randomize(GlobalGenerator(labels, extra, 3, **TINY))
    ids = label_map(2, labels, (16, 20)) if labels else None
    maps = normal(2, extra, 16, 20) if extra else None
    x = maps if ids is None else oracle.dense(ids, labels, maps)
    images = network(ids, maps)
    assert images.shape == [2, 3, 16, 20]
    expected = oracle.global_generator(network, x)
    np.testing.assert_allclose(images.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("enhancers", [1, 2])
@pytest.mark.parametrize(("labels", "extra"), [(3, 1), (0, 3)])
def test_local_enhancer_against_the_composition(enhancers, labels, extra):
    network = randomize(
        CoarseToFineGenerator(labels, extra, 1, enhancers=enhancers, local_blocks=1, **TINY)
    )
    size = (network.multiple * 2, network.multiple * 3)
    ids, maps = label_map(2, labels, size) if labels else None, normal(2, extra, *size)
    x = maps if ids is None else oracle.dense(ids, labels, maps)
    images = network(ids, maps)
    assert images.shape == [2, 1, *size]
    expected = oracle.local_enhancer(network, x)
    np.testing.assert_allclose(images.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


def test_the_coarse_network_is_a_global_generator_of_more_channels():
    """So that a finer network takes over its weights by name."""
    network, alone = (CoarseToFineGenerator(3, 1, enhancers=n, **TINY) for n in (1, 0))
    ours = {k: v.shape for k, v in network.state_dict().items() if k.startswith("coarse.")}
    theirs = {k: v.shape for k, v in alone.state_dict().items()}
    assert ours == {k: v for k, v in theirs.items() if not k.startswith("coarse.image.")}
    labels, edges = label_map(1, 3, (8, 8)), paddle.rand([1, 1, 8, 8])
    images = alone(labels, edges)
    np.testing.assert_array_equal(images.numpy(), alone.coarse(labels, edges).numpy())
    assert alone.coarse_parameters() == []


def test_feature_encoder_against_the_composition():
    network = randomize(FeatureEncoder(base=2, downs=2))
    images = normal(2, 3, 16, 12)
    instances = label_map(2, 1_000_003, (4, 3)).tile([1, 4, 4])
    features = network(images, instances)
    expected = oracle.feature_encoder(network, images, instances)
    np.testing.assert_allclose(features.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_gradients_reach_every_parameter():
    network = randomize(CoarseToFineGenerator(3, 4, local_blocks=1, **TINY))
    encoder = randomize(FeatureEncoder(base=2, downs=2))
    labels, edges = label_map(1, 3, (32, 16), lowest=0), normal(1, 1, 32, 16)
    features = encoder(normal(1, 3, 32, 16), labels)
    images = network(labels, paddle.concat([edges, features], axis=1))
    (images * normal(1, 3, 32, 16, seed=1)).sum().backward()
    for part in (network, encoder):
        for name, parameter in part.named_parameters():
            cancelled = name.endswith("bias") and "image" not in name  # by the norm that follows
            assert parameter.grad is not None, name
            assert cancelled or abs(parameter.grad).max().item() > 0, name
    held = {id(p) for p in network.coarse_parameters()}
    names = {n.split(".")[0] for n, p in network.named_parameters() if id(p) in held}
    others = {n.split(".")[0] for n, p in network.named_parameters() if id(p) not in held}
    assert names == {"coarse"}
    assert others == {"enhancers", "image"}


def test_errors_say_what_is_legal():
    with pytest.raises(ValueError, match="18 x 16; both sides must be multiples of 4"):
        GlobalGenerator(3, 0, **TINY)(label_map(1, 3, (18, 16)))
    with pytest.raises(ValueError, match="multiples of 8"):
        CoarseToFineGenerator(3, 0, **TINY)(label_map(1, 3, (20, 16)))
    with pytest.raises(ValueError, match="divisible by 2 for each"):
        CoarseToFineGenerator(3, 0, enhancers=3, **TINY)
