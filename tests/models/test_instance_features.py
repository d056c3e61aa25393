"""Features of instances against loops in numpy."""

from __future__ import annotations

import numpy as np
import paddle

from pygan.models.instance_features import FeatureBank, instance_pixels


def maps(seed=0, size=(2, 6, 7)):
    rng = np.random.RandomState(seed)
    labels = rng.randint(-1, 4, size).astype("int32")
    features = rng.standard_normal((size[0], 3, *size[1:])).astype("float32")
    return labels, features


def class_mean(labels, features, label):
    return np.moveaxis(features, 1, -1)[labels == label].mean(axis=0)


def test_sums_of_classes():
    labels, features = maps()
    bank = FeatureBank(5, 2, 3)
    sums = bank.sums(paddle.to_tensor(features), paddle.to_tensor(labels)).numpy()
    assert sums.shape == (5, 4)
    for label in range(5):
        inside = np.moveaxis(features, 1, -1)[labels == label]
        np.testing.assert_allclose(sums[label, :3], inside.sum(axis=0), rtol=1e-5, atol=1e-5)
        assert sums[label, 3] == len(inside)


def test_running_means_begin_with_the_first_batch():
    bank = FeatureBank(5, 2, 3)
    expected = {}
    for seed in range(3):
        labels, features = maps(seed)
        if seed == 1:
            labels[labels == 2] = 1  # class 2 is not there
        bank.follow(bank.sums(paddle.to_tensor(features), paddle.to_tensor(labels)))
        for label in np.unique(labels[labels >= 0]):
            mean = class_mean(labels, features, label)
            old = expected.get(label)
            expected[label] = mean if old is None else old + 0.01 * (mean - old)
    assert bank.counts.numpy().tolist() == [1, 1, 1, 1, 0]
    for label, mean in expected.items():
        np.testing.assert_allclose(bank.centres.numpy()[label, 0], mean, rtol=1e-4, atol=1e-6)
    assert not bank.centres.numpy()[:, 1].any()


def test_instances_and_their_classes():
    labels = np.array([[0, 0, 1], [2, 2, 1]], "int32")
    instances = np.array([[7, 7, -3], [7, 7, -3]], "int32")
    found = instance_pixels(labels, instances)
    assert [label for label, _ in found] == [1, 2]  # of the middle pixel: the third of four
    np.testing.assert_array_equal(found[1][1][0], [0, 0, 1, 1])
    np.testing.assert_array_equal(found[1][1][1], [0, 1, 0, 1])


def test_every_instance_has_one_centre_of_its_class():
    rng = np.random.RandomState(0)
    labels = rng.randint(-1, 3, (2, 4, 4)).repeat(3, 1).repeat(3, 2).astype("int32")
    instances = np.arange(32).reshape(2, 4, 4).repeat(3, 1).repeat(3, 2).astype("int32")
    bank = FeatureBank(3, 4, 2)
    centres = [rng.uniform(-1, 1, (count, 2)) for count in (4, 2, 0)]
    bank.set_centres(centres)
    found = bank.choose(paddle.to_tensor(labels), paddle.to_tensor(instances), [3, 4]).numpy()
    assert found.shape == (2, 2, 12, 12)
    used = set()
    for n in range(2):
        for i in range(4):
            for j in range(4):
                block = found[n, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].reshape(2, -1)
                assert (block == block[:, :1]).all()
                label = labels[n, 3 * i, 3 * j]
                if label in (-1, 2):
                    assert not block.any()
                else:
                    near = abs(centres[label] - block[:, 0]).max(axis=1)
                    assert near.min() < 1e-6
                    used.add((label, int(near.argmin())))
    assert len(used) == 6  # all of them, in 32 draws
    again = bank.choose(paddle.to_tensor(labels[1:]), paddle.to_tensor(instances[1:]), [4])
    np.testing.assert_array_equal(again.numpy(), found[1:])
