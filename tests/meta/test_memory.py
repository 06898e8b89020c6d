"""Running means of examples: against NumPy, of any order of visits, on one replica and two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import memory

NAMES = ("a", "b")


def made(count=6, momentum=0.8):
    table = memory.ExampleMemory(count, NAMES, momentum)
    table.build()
    return table


def visits_of(seed=0, steps=7, count=6, rows=4):
    """For each step an index, values and which are known."""
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        index = generator.choice(count, rows, replace=False)
        yield index, generator.standard_normal((rows, 2)).astype(np.float32), generator.random((rows, 2)) < 0.7


def means_of(visits, count, momentum):
    """The weighted mean of each example's visits, one at a time."""
    seen = [[[] for _ in NAMES] for _ in range(count)]
    for index, values, known in visits:
        for row, place in enumerate(index):
            for column in range(2):
                if known[row, column]:
                    seen[place][column].append(values[row, column])
    means = np.zeros((count, 2))
    for place in range(count):
        for column, found in enumerate(seen[place]):
            weights = momentum ** np.arange(len(found))[::-1]
            means[place, column] = np.average(found, weights=weights) if found else 0.0
    return means, np.array([[len(found) for found in row] for row in seen])


@pytest.mark.parametrize("momentum", (0.0, 0.8, 0.99))
def test_means_are_those_of_the_visits(momentum):
    table = made(momentum=momentum)
    for index, values, known in visits_of():
        table.observe(tf.constant(index), tf.constant(values), tf.constant(known))
    expected, visits = means_of(visits_of(), 6, momentum)
    found, count = table.means()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(count, visits)


def test_twice_in_a_batch_is_one_visit_with_the_mean():
    table = made()
    table.observe(tf.constant([2, 2, 4]), tf.constant([[1.0, 5], [3, 5], [7, 5]]), tf.ones([3, 2], tf.bool))
    means, visits = table.means()
    np.testing.assert_allclose(means.numpy()[[2, 4]], [[2, 5], [7, 5]], rtol=1e-6)
    np.testing.assert_array_equal(visits[:, 0], [0, 0, 1, 0, 1, 0])


def test_positions_that_are_not_there_and_numbers_that_are_none_change_nothing():
    table = made()
    table.observe(tf.constant([0, 1]), tf.ones([2, 2]), tf.ones([2, 2], tf.bool))
    before = [part.numpy() for part in table.means()]
    table.observe(tf.constant([-1, 6]), tf.ones([2, 2]), tf.ones([2, 2], tf.bool))
    table.observe(tf.constant([0, 1]), tf.constant([[np.nan, np.inf], [-np.inf, np.nan]]), tf.ones([2, 2], tf.bool))
    for found, expected in zip(table.means(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_tables_are_float32_whatever_keras_computes_in():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        table = made()
    finally:
        keras.config.set_dtype_policy(before)
    table.observe(tf.range(6), tf.ones([6, 2]), tf.ones([6, 2], tf.bool))
    assert table.means()[0].dtype == tf.float32


def test_two_replicas_hold_what_one_does(two_replicas):
    one = made(momentum=0.5)
    with two_replicas.scope():
        two = made(momentum=0.5)
    for visit in visits_of():
        one.observe(*map(tf.constant, visit))

        @tf.function
        def step(parts):
            two.observe(*parts)

        halves = [[tf.constant(part[half]) for part in visit] for half in (slice(0, 2), slice(2, 4))]
        shared = two_replicas.experimental_distribute_values_from_function(
            lambda context, halves=halves: halves[context.replica_id_in_sync_group]
        )
        two_replicas.run(step, args=(shared,))
    for found, expected in zip(two.means(), one.means(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("count", "momentum"), ((0, 0.8), (2.5, 0.8), (True, 0.8), (5, 1.0), (5, -0.1)))
def test_numbers_out_of_their_range_are_refused(count, momentum):
    with pytest.raises(errors.InputError, match="expected"):
        memory.ExampleMemory(count, NAMES, momentum)


def test_tables_that_do_not_fit_are_refused_with_their_size(monkeypatch):
    def full(self, **kwargs):
        raise MemoryError

    monkeypatch.setattr(keras.layers.Layer, "add_weight", full)
    with pytest.raises(errors.InputError, match=r"running means of 1,000,000 examples: 16,000,000 bytes do not fit"):
        made(1_000_000)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.9999, 1 - 1e-7, 1 - 1e-12])
def test_momentum_as_near_to_1_as_one_likes_is_the_mean_of_all(momentum):
    table = made(momentum=momentum)
    for value in (5.0, 5.0, 5.0):
        table.observe(tf.range(6), tf.fill([6, 2], value), tf.ones([6, 2], tf.bool))
    np.testing.assert_allclose(table.means()[0], np.full((6, 2), 5.0), rtol=1e-5)


@pytest.mark.parametrize("count", [np.int64(6), np.array([6])[0]])
def test_numbers_of_numpy_are_numbers(count):
    assert memory.ExampleMemory(count, NAMES).num_examples == 6
