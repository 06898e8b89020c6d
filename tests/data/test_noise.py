"""Label noise against the transition matrices that the two conventions define."""

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data import noise


def _matrix(rate, num_classes, includes_true_label):
    """The transition matrix, written entry by entry."""
    matrix = np.zeros((num_classes, num_classes))
    for i in range(num_classes):
        for j in range(num_classes):
            if includes_true_label:
                matrix[i, j] = rate / num_classes + (1 - rate) * (i == j)
            else:
                matrix[i, j] = 1 - rate if i == j else rate / (num_classes - 1)
    return matrix


@pytest.mark.parametrize("includes_true_label", [True, False])
@pytest.mark.parametrize(("rate", "num_classes"), [(0.2, 4), (0.6, 10), (1.0, 3)])
def test_transitions_follow_the_matrix(rate, num_classes, includes_true_label):
    per_class = 40_000
    labels = np.repeat(np.arange(num_classes), per_class)
    noisy = noise.symmetric(labels, rate, num_classes, includes_true_label, np.random.default_rng(3))
    counts = np.zeros((num_classes, num_classes))
    np.add.at(counts, (labels, noisy), 1)
    expected = _matrix(rate, num_classes, includes_true_label)
    np.testing.assert_allclose(expected.sum(1), 1)
    # Five standard deviations of a binomial share.
    np.testing.assert_array_less(
        np.abs(counts / per_class - expected), 5 * np.sqrt(expected * (1 - expected) / per_class) + 1e-12
    )
    wrong = rate * (num_classes - 1) / num_classes if includes_true_label else rate
    assert np.mean(noisy != labels) == pytest.approx(wrong, abs=0.01)


def test_examples_are_drawn_independently():
    labels = np.zeros(200_000, np.int64)
    wrong = noise.symmetric(labels, 0.5, 10, False, np.random.default_rng(0)) != labels
    # An exact share of each class would have no variance; independent draws have that of a binomial.
    chunks = wrong.reshape(2000, 100).sum(1)
    assert chunks.var() == pytest.approx(25, rel=0.15)
    assert abs(np.corrcoef(wrong[:-1], wrong[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("includes_true_label", [True, False])
def test_dtype_input_and_reproducibility(includes_true_label):
    labels = np.arange(100, dtype=np.uint8) % 10
    before = labels.copy()
    first = noise.symmetric(labels, 0.4, 10, includes_true_label, np.random.default_rng(7))
    assert first.dtype == np.int32
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(
        first, noise.symmetric(labels, 0.4, 10, includes_true_label, np.random.default_rng(7))
    )
    unchanged = noise.symmetric(labels, 0.0, 10, includes_true_label, np.random.default_rng(7))
    np.testing.assert_array_equal(unchanged, labels)


def test_rate_one_without_the_true_label_leaves_none():
    labels = np.arange(1000) % 3
    assert not np.any(noise.symmetric(labels, 1.0, 3, False, np.random.default_rng(0)) == labels)


@pytest.mark.parametrize("rate", [-0.1, 1.01, float("nan")])
def test_rate_outside_the_unit_interval(rate):
    with pytest.raises(errors.InputError, match=f"noise rate is {rate}"):
        noise.symmetric(np.zeros(3, np.int32), rate, 10, True, np.random.default_rng(0))


def test_labels_that_are_no_class_ids():
    rng = np.random.default_rng(0)
    with pytest.raises(errors.InputError, match="from 0 to 10, expected class ids from 0 to 9"):
        noise.symmetric(np.array([0, 10]), 0.1, 10, True, rng)
    with pytest.raises(errors.InputError, match="float64"):
        noise.symmetric(np.array([0.0, 1.0]), 0.1, 10, True, rng)
    with pytest.raises(errors.InputError, match="1 classes"):
        noise.symmetric(np.array([0, 0]), 0.1, 1, False, rng)
