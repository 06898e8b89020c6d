"""The table of the examples: what is read and written by index, on one replica and two, and where it does not fit."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import example_table


def test_rows_move_by_the_index():
    table = example_table.ExampleTable(5, 2)
    table.move(tf.constant([3, 1]), tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    table.move(tf.constant([3]), tf.constant([[3.0, 0.0]]), momentum=0.75)
    np.testing.assert_allclose(table.numpy(), [[0, 0], [3, 4], [0, 0], [1.5, 1.5], [0, 0]])
    np.testing.assert_allclose(table.rows(tf.constant([3, 0, 3])), [[1.5, 1.5], [0, 0], [1.5, 1.5]])


def test_an_example_that_comes_twice_moves_once_by_the_mean():
    table = example_table.ExampleTable(3)
    table.move(tf.constant([1, 1, 2]), tf.constant([[2.0], [4.0], [5.0]]), momentum=0.5)
    np.testing.assert_allclose(table.numpy(), [0, 1.5, 2.5])


def test_strangers_and_what_is_not_finite_are_passed_over():
    table = example_table.ExampleTable(3, initial=-1.0)
    table.move(tf.constant([-1, 7, 0, 1]), tf.constant([[9.0], [9.0], [np.nan], [2.0]]))
    np.testing.assert_array_equal(table.numpy(), [-1, 2, -1])
    np.testing.assert_array_equal(table.rows(tf.constant([-1, 1, 9]))[:, 0], [-1, 2, -1])


def test_two_replicas_are_one(two_replicas):
    index = np.array([0, 4, 2, 4, 1, 5])
    values = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    one = example_table.ExampleTable(6, 3)
    one.move(tf.constant(index), tf.constant(values), 0.3)
    with two_replicas.scope():
        two = example_table.ExampleTable(6, 3)

    @tf.function
    def move():
        def replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            rows = slice(3 * number, 3 * number + 3)
            two.move(tf.constant(index)[rows], tf.constant(values)[rows], 0.3)
            return two.rows(tf.constant(index))

        return two_replicas.run(replica)

    for rows in two_replicas.experimental_local_results(move()):
        np.testing.assert_allclose(rows, one.rows(tf.constant(index)), rtol=1e-6)
    np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=1e-6)
    two.fill(np.arange(18))
    np.testing.assert_array_equal(two.numpy(), np.arange(18).reshape(6, 3))


def test_a_table_that_does_not_fit_is_refused_with_its_bytes(monkeypatch):
    def no_memory(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(example_table.ExampleTable, "add_weight", no_memory)
    with pytest.raises(errors.InputError, match="a table of 2,400,000 examples: 9,600,000,000 bytes do not fit"):
        example_table.ExampleTable(2_400_000, 1000)
