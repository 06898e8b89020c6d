"""Running means of gradients against a loop; what is not finite; what is refused."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import validation_mean

M = 0.75


def make(momentum=M, dtypes=("float32", "float32", "float32")):
    """Two segments, of one and of two variables."""
    variables = [keras.Variable(np.zeros(3), dtype=dtype) for dtype in dtypes]
    segments = [types.SimpleNamespace(variables=variables[:1]), types.SimpleNamespace(variables=variables[1:])]
    steadied = validation_mean.ValidationMean(momentum)
    steadied.create_variables(segments)
    return steadied


def gradients(seed, dtype="float32"):
    return [tf.constant(part, dtype) for part in np.random.default_rng(seed).normal(size=(3, 3))]


def by_hand(seen):
    weights = M ** np.arange(len(seen))[::-1]
    return np.average(np.array(seen, float), axis=0, weights=weights)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_means_since_a_segment_was_last_not_reached(as_tensor):
    steadied, seen = make(), [[], [], []]
    for number, lowest in enumerate((0, 0, 1, 0, 0)):
        u = gradients(number)
        if lowest:
            u[0] = tf.zeros(3)
        found = steadied.of(u, tf.constant(lowest) if as_tensor else lowest)
        for place, (one, now) in enumerate(zip(found, u, strict=True)):
            seen[place] = [] if place < lowest else [*seen[place], now]
            expected = by_hand(seen[place]) if seen[place] else np.zeros(3)
            np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)
    assert [len(part) for part in seen] == [2, 5, 5]


def test_what_is_not_finite_is_handed_on_and_forgotten():
    steadied = make()
    first, last = gradients(0), gradients(1)
    broken = [first[0], tf.constant([1.0, np.nan, 0.0]), first[2]]
    steadied.of(first, 0)
    for one, other in zip(steadied.of(broken, 0), broken, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, before, now in zip(steadied.of(last, 0), first, last, strict=True):
        np.testing.assert_allclose(one, by_hand([before, now]), rtol=1e-5)


def test_without_momentum_there_is_nothing_to_keep():
    steadied, u = make(momentum=0.0), gradients(0)
    assert steadied.of(u, 0) is u and not steadied.variables


def test_a_checkpoint_holds_them(tmp_path):
    steadied, again = make(), make()
    for number in range(2):
        steadied.of(gradients(number), 0)
    file = tf.train.Checkpoint(steadied=steadied).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(steadied=again).read(file).assert_consumed()
    for found, expected in zip(again.of(gradients(2), 0), steadied.of(gradients(2), 0), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_types():
    """Means of float16 gradients are float32, those of float64 are float64; what is returned is as it came."""
    steadied = make(dtypes=("float32", "float64", "float16"))
    assert [variable.dtype for variable in steadied.variables[:3]] == ["float32", "float64", "float32"]
    u = [tf.cast(part, dtype) for part, dtype in zip(gradients(0), ("float16", "float64", "float16"), strict=True)]
    for one, other in zip(steadied.of(u, 0), u, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-3)


@pytest.mark.parametrize("momentum", [1.0, -0.1, float("nan"), "0.9", True])
def test_a_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(errors.InputError, match="validation_momentum"):
        validation_mean.ValidationMean(momentum)
