"""Random numbers, data order and the formulas of the averages, against numpy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from pygan.training.ema import WeightAverage, ema_beta
from pygan.training.order import ImageOrder, strided_samples
from pygan.training.rng import StepRandom


def test_random_numbers_do_not_depend_on_the_split() -> None:
    whole = StepRandom(7, "G_main", 3, range(8))
    for stream in range(4):
        samples = strided_samples(8, 4, stream)
        part = StepRandom(7, "G_main", 3, samples)
        np.testing.assert_array_equal(part.normal("z", [5]), whole.normal("z", [5])[samples])
        np.testing.assert_array_equal(part.uniform("u"), whole.uniform("u")[samples])
        np.testing.assert_array_equal(part.integers("i", 1, 9), whole.integers("i", 1, 9)[samples])
        for ours, theirs in zip(
            part.normals("n", [(1, 4, 4), (1, 8, 8)]), whole.normals("n", [(1, 4, 4), (1, 8, 8)])
        ):
            np.testing.assert_array_equal(ours, theirs[samples])


def test_random_numbers_depend_on_everything_else() -> None:
    base = StepRandom(7, "G_main", 3, range(2)).normal("z", [16])
    others = [
        StepRandom(8, "G_main", 3, range(2)).normal("z", [16]),
        StepRandom(7, "D_main", 3, range(2)).normal("z", [16]),
        StepRandom(7, "G_main", 4, range(2)).normal("z", [16]),
        StepRandom(7, "G_main", 3, range(2, 4)).normal("z", [16]),
        StepRandom(7, "G_main", 3, range(2)).normal("y", [16]),
    ]
    numbers = np.concatenate([base, *others]).ravel()
    assert len(np.unique(numbers)) == numbers.size


def test_normal_numbers_are_normal() -> None:
    from scipy.stats import kstest

    drawn = StepRandom(0, "s", 0, range(50)).normal("z", [200])
    assert drawn.dtype == np.float32
    assert drawn.shape == (50, 200)
    assert kstest(drawn.ravel(), "norm").pvalue > 0.01
    correlation = np.corrcoef(drawn)[~np.eye(50, dtype=bool)]
    assert np.abs(correlation).max() < 0.4


def test_integers_cover_their_range_evenly() -> None:
    drawn = np.concatenate(
        [StepRandom(0, "s", i, range(50)).integers("i", 2, 6) for i in range(40)]
    )
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [2, 3, 4, 5]
    assert counts.min() > 400


def test_coins_are_fair_and_do_not_depend_on_the_split() -> None:
    random = StepRandom(3, "main", 5, range(4))
    shapes = [(3, 50), (7,), (1, 2, 300)]
    coins = random.coins("masks", shapes)
    assert [c.shape for c in coins] == [(4, *shape) for shape in shapes]
    whole = np.concatenate([c.reshape(4, -1) for c in coins], axis=1)
    assert set(np.unique(whole)) == {0, 1}
    assert abs(whole.mean() - 0.5) < 0.03
    assert len({row.tobytes() for row in whole}) == 4
    apart = StepRandom(3, "main", 5, [1, 3]).coins("masks", shapes)
    for together, part in zip(coins, apart):
        np.testing.assert_array_equal(together[[1, 3]], part)
    assert random.coins("masks", []) == []
    assert (random.coins("others", shapes)[0] != coins[0]).any()


def test_shared_numbers_are_those_of_all_phases() -> None:
    first, second = (StepRandom(3, phase, 5, range(2)).shared("dropout") for phase in "DG")
    np.testing.assert_array_equal(first.uniform("x"), second.uniform("x"))
    later = StepRandom(3, "D", 6, range(2)).shared("dropout")
    assert (later.uniform("x") != first.uniform("x")).all()


def test_first_gives_the_same_numbers_for_fewer_samples() -> None:
    random = StepRandom(0, "s", 0, [4, 8, 12])
    np.testing.assert_array_equal(random.first(2).normal("z", [3]), random.normal("z", [3])[:2])


def test_every_epoch_is_another_permutation() -> None:
    order = ImageOrder(23, seed=1)
    epochs = [order(range(start, start + 23)) for start in (0, 23, 46)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(23))
    assert epochs[0] != epochs[1] != epochs[2]
    assert ImageOrder(23, seed=2)(range(23)) != epochs[0]


def test_order_is_a_function_of_the_position() -> None:
    whole = ImageOrder(10, seed=3)(range(100))
    for start in (0, 7, 55, 30):
        assert ImageOrder(10, seed=3)(range(start, start + 12)) == whole[start : start + 12]


def test_streams_keep_the_groups_of_the_minibatch_deviation() -> None:
    batch, streams, group = 16, 2, 4
    groups = {frozenset(n for n in range(batch) if n % (batch // group) == g) for g in range(4)}
    dealt = set()
    for stream in range(streams):
        samples = list(strided_samples(batch, streams, stream))
        count = len(samples) // group
        dealt |= {frozenset(samples[g::count]) for g in range(count)}
    assert dealt == groups


@pytest.mark.parametrize(
    ("nimg", "rampup", "half_life"),
    [(0, None, 10_000), (50_000, None, 10_000), (50_000, 0.05, 2_500), (900_000, 0.05, 10_000)],
)
def test_ema_decays_by_half_in_a_half_life(
    nimg: int, rampup: float | None, half_life: float
) -> None:
    beta = ema_beta(32, nimg, 10, rampup)
    assert beta ** (half_life / 32) == pytest.approx(0.5)


def test_ema_with_rampup_starts_as_a_copy() -> None:
    assert ema_beta(32, 0, 10, 0.05) == 0


def test_without_an_average_the_copy_keeps_up() -> None:
    source = paddle.nn.Linear(3, 2)
    average = WeightAverage(source)
    source.weight.set_value(paddle.to_tensor([[np.nan, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    average.update(0.0)
    np.testing.assert_array_equal(average.network.weight.numpy(), source.weight.numpy())
    source.weight.set_value(paddle.ones([3, 2]))
    average.update(0.0)
    np.testing.assert_array_equal(average.network.weight.numpy(), np.ones([3, 2]))


def test_average_against_numpy() -> None:
    paddle.seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1D(4))
    network.register_buffer("count", paddle.zeros([1]))
    network.scalar = network.create_parameter([])
    before = {name: value.numpy() for name, value in network.state_dict().items()}
    average = WeightAverage(network)
    network(paddle.randn([8, 3]))  # moves the running statistics
    for parameter in network.parameters():
        parameter.set_value(parameter + 1)
    paddle.assign(paddle.ones([1]), output=network.count)
    for parameter in network.parameters():
        parameter.stop_gradient = True  # as the engine does in other networks' phases
    average.update(0.75)
    source = {name: value.numpy() for name, value in network.state_dict().items()}
    copied = {"count", "1._mean", "1._variance"}
    assert copied < set(source)
    for name, value in average.network.state_dict().items():
        weights = (0.0, 1.0) if name in copied else (0.75, 0.25)
        expected = weights[0] * before[name] + weights[1] * source[name]
        assert value.shape == network.state_dict()[name].shape
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-6, err_msg=name)
