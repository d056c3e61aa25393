"""Pix2PixHD: sizes, agreement with a composition of Paddle's operators, gradients, errors."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import translation_oracle as oracle
from test_spade import count, label_map, normal, randomize

from pygan.models.multiscale_discriminator import MultiscaleDiscriminator
from pygan.models.pix2pixhd import FeatureEncoder, GlobalGenerator, LocalEnhancer

TINY = {"base": 2, "downs": 2, "blocks": 2}


def test_parameter_counts_of_the_published_networks():
    with paddle.LazyGuard():  # no memory for 180 million numbers
        assert count(GlobalGenerator(35, 1)) == 182_546_755
        assert count(GlobalGenerator(35, 4)) == 182_556_163
        assert count(LocalEnhancer(35, 1)) == 182_857_059
        assert count(LocalEnhancer(35, 4)) == 182_871_171
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
        LocalEnhancer(labels, extra, 1, enhancers=enhancers, local_blocks=1, **TINY)
    )
    size = (network.multiple * 2, network.multiple * 3)
    ids, maps = label_map(2, labels, size) if labels else None, normal(2, extra, *size)
    x = maps if ids is None else oracle.dense(ids, labels, maps)
    images = network(ids, maps)
    assert images.shape == [2, 1, *size]
    expected = oracle.local_enhancer(network, x)
    np.testing.assert_allclose(images.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


def test_the_coarse_network_is_a_global_generator_of_more_channels():
    network = LocalEnhancer(3, 1, **TINY)
    alone = GlobalGenerator(3, 1, **{**TINY, "base": 4})
    ours, theirs = network.coarse.state_dict(), alone.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in theirs.items() if not k.startswith("image.")
    }


def test_feature_encoder_against_the_composition():
    network = randomize(FeatureEncoder(base=2, downs=2))
    images = normal(2, 3, 16, 12)
    instances = label_map(2, 1_000_003, (4, 3)).tile([1, 4, 4])
    features = network(images, instances)
    expected = oracle.feature_encoder(network, images, instances)
    np.testing.assert_allclose(features.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_gradients_reach_every_parameter():
    network = randomize(LocalEnhancer(3, 4, local_blocks=1, **TINY))
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
    local = {id(p) for p in network.local_parameters()}
    held = [n for n, p in network.named_parameters() if id(p) not in local]
    assert held
    assert all(name.startswith("coarse.") for name in held)


def test_errors_say_what_is_legal():
    with pytest.raises(ValueError, match="18 x 16; both sides must be multiples of 4"):
        GlobalGenerator(3, 0, **TINY)(label_map(1, 3, (18, 16)))
    with pytest.raises(ValueError, match="multiples of 8"):
        LocalEnhancer(3, 0, **TINY)(label_map(1, 3, (20, 16)))
    with pytest.raises(ValueError, match="use GlobalGenerator"):
        LocalEnhancer(3, 0, enhancers=0, **TINY)
