"""The moments of groups of examples: against NumPy, by any order of visits, on one replica and two."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import grouped_memory, moments

COUNT, GROUPS = 12, 3


def made(**options):
    table = grouped_memory.GroupedMemory(COUNT, ("a", "b"), num_groups=GROUPS, **options)
    table.build()
    return table


def visits_of(steps, seed=0, rows=4):
    """Positions, some outside and some twice, values, which are known, and groups that change from visit to visit."""
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        index = generator.integers(-1, COUNT + 1, rows)
        values = 5 + generator.standard_normal((rows, 2)).astype(np.float32)
        yield index, values, generator.random((rows, 2)) < 0.8, generator.integers(0, GROUPS, rows)


def observe(table, visits):
    for visit in visits:
        table.observe_in_groups(*map(tf.constant, visit))


def by_numpy(table, visits):
    """Counts, sums and sums of products over the examples that count, by the means and the last group of each."""
    groups = np.zeros(COUNT, int)
    for index, _, _, new in visits:
        for row in reversed(range(len(index))):  # of two rows the first counts
            if 0 <= index[row] < COUNT:
                groups[index[row]] = new[row]
    means, visited = (part.numpy().astype(float) for part in table.means())
    inside = [(groups == k) & (visited >= table.least_visits).all(1) for k in range(GROUPS)]
    return (
        np.array([rows.sum() for rows in inside]),
        np.array([means[rows].sum(0) for rows in inside]),
        np.array([means[rows].T @ means[rows] for rows in inside]),
        groups,
    )


@pytest.mark.parametrize("least_visits", [1, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_after_any_visits_they_are_those_of_the_table(least_visits, momentum):
    table = made(least_visits=least_visits, momentum=momentum)
    for steps in (1, 5, 200):
        table = made(least_visits=least_visits, momentum=momentum)
        visits = list(visits_of(steps))
        observe(table, visits)
        *expected, groups = by_numpy(table, visits)
        for found, part in zip(table.moments(), expected, strict=True):
            np.testing.assert_allclose(found, part, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(table.group_of(tf.range(COUNT)), groups)
    assert table.moments().count.numpy().sum() == COUNT


@pytest.mark.parametrize("spike", [1e9, 1e30, -1e12, np.inf])
def test_a_huge_number_is_forgotten_as_others_are(spike):
    """In float64 the square of one loss of 1e9 would take the others' variance along for good."""
    table = made(momentum=0.5)
    visits = list(visits_of(300))
    visits[20][1][:, 0] = spike
    observe(table, visits)
    *expected, _ = by_numpy(table, visits)
    for found, part in zip(table.moments(), expected, strict=True):
        np.testing.assert_allclose(found, part, rtol=1e-5, atol=1e-5)


def test_a_strategy_of_one_device(tmp_path):
    """Its variables are written in place too."""
    expected, table = made(), None
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        table = made()
    visits = list(visits_of(5))
    observe(expected, visits)

    @tf.function
    def step(visit):
        table.observe_in_groups(*visit)

    for visit in visits:
        strategy.run(step, args=(tuple(map(tf.constant, visit)),))
    for found, part in zip(table.variables, expected.variables, strict=True):
        np.testing.assert_allclose(found.numpy(), part.numpy())


def test_means_and_covariances_of_groups():
    generator = np.random.default_rng(1)
    values, groups, counts = (
        generator.standard_normal((40, 3)),
        generator.integers(0, 3, 40),
        generator.random(40) < 0.7,
    )
    packed = moments.sums(tf.constant(values), tf.constant(counts), tf.constant(groups, tf.int32), 4)
    found = moments.unpack(packed, 3)
    means = np.array([values[counts & (groups == k)].mean(0) for k in range(3)])
    np.testing.assert_allclose(found.means()[:3], means)
    np.testing.assert_array_equal(found.means()[3], np.zeros(3))
    of_all = values[counts].mean(0)
    drawn = np.array([np.vstack([values[counts & (groups == k)], np.tile(of_all, (10, 1))]).mean(0) for k in range(3)])
    np.testing.assert_allclose(found.drawn_means(10.0)[:3], drawn)
    np.testing.assert_allclose(found.drawn_means(10.0)[3], of_all)
    centred = (values - drawn[groups])[counts]
    covariance = found.covariance(found.drawn_means(10.0))
    np.testing.assert_allclose(covariance, centred.T @ centred / counts.sum(), rtol=1e-10)
    merged = found.merged(2)
    np.testing.assert_allclose(merged.count, [(counts & (groups % 2 == k)).sum() for k in (0, 1)])
    np.testing.assert_allclose(merged.products[0], sum(np.outer(x, x) for x in values[counts & (groups != 1)]))
    np.testing.assert_array_equal(found.part(1, 3).total, found.total[1:3])


def test_two_replicas_hold_what_one_does(two_replicas):
    one = made(momentum=0.5)
    with two_replicas.scope():
        two = made(momentum=0.5)

    @tf.function
    def step(parts):
        two.observe_in_groups(*parts)

    for visit in visits_of(20):
        observe(one, [visit])
        halves = [[tf.constant(part[half]) for part in visit] for half in (slice(0, 2), slice(2, 4))]
        shared = two_replicas.experimental_distribute_values_from_function(
            lambda context, halves=halves: halves[context.replica_id_in_sync_group]
        )
        two_replicas.run(step, args=(shared,))
    for found, expected in zip(two.moments(), one.moments(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("options", [{"num_groups": 0}, {"num_groups": 1.5}, {"least_visits": 0}])
def test_numbers_out_of_their_range_are_refused(options):
    with pytest.raises(errors.InputError, match="expected"):
        grouped_memory.GroupedMemory(COUNT, ("a",), **options)
