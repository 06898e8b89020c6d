"""What tells probes from the others: against SciPy's non-negative least squares and NumPy, and on made-up noise."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from famus_tf.meta import discriminant, moments


def by_numpy(values, classes, is_probe, known, shrinkage):
    """The definition, class by class."""
    others = known & ~is_probe
    centred, difference, weight = values.copy(), np.zeros(values.shape[1]), 0
    for label in np.unique(classes):
        members = classes == label
        mean = values[members & others].mean(0)
        centred[members] -= mean
        if (members & known & is_probe).any():
            size = (members & others).sum()
            difference += size * (values[members & known & is_probe].mean(0) - mean)
            weight += size
    difference /= weight
    covariance = centred[others].T @ centred[others] / others.sum()
    little = 1e-6 * np.eye(len(covariance))
    equal = np.sqrt(difference @ np.linalg.inv(covariance + little) @ difference / covariance.sum())
    penalty = shrinkage / (known & is_probe).sum()
    matrix = covariance + (penalty + 1e-6) * np.eye(len(covariance))
    vector = difference + penalty * equal
    factor = np.linalg.cholesky(matrix)
    # |F' a - F^-1 b|^2 is a A a - 2 b a and a constant.
    return scipy.optimize.nnls(factor.T, np.linalg.solve(factor, vector))[0]


def data(seed, inputs=3, count=400, probes=60, num_classes=4):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, inputs)) @ rng.standard_normal((inputs, inputs))
    is_probe = np.arange(count) >= count - probes
    values[is_probe] += rng.standard_normal(inputs)
    return values.astype(np.float32), rng.integers(0, num_classes, count), is_probe, rng.random(count) < 0.8


def found_for(values, classes, is_probe, known, shrinkage, num_classes=4):
    groups = tf.constant(classes, tf.int32)
    others, probes = (
        moments.unpack(
            moments.sums(tf.constant(values), tf.constant(known & part), groups, num_classes), values.shape[1]
        )
        for part in (~is_probe, is_probe)
    )
    scale = tf.ones([values.shape[1]], tf.float64)
    return discriminant.within_classes(others, probes, scale, shrinkage).numpy()


@pytest.mark.parametrize("inputs", [1, 2, 4])
@pytest.mark.parametrize("shrinkage", [0.0, 100.0])
def test_it_is_the_least_of_the_definition(inputs, shrinkage):
    zeros = 0
    for seed in range(12):
        case = data(seed, inputs)
        expected = by_numpy(*case, shrinkage)
        found = found_for(*case, shrinkage)
        zeros += (expected == 0).sum()
        if expected.sum() > 0:
            np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)
        else:
            np.testing.assert_array_equal(found, np.ones(inputs))
    assert zeros > 0, "choose other seeds"


def test_class_c_has_no_probes_or_no_others():
    values, classes, is_probe, known = data(3)
    classes[is_probe & (classes == 2)] = 1
    np.testing.assert_allclose(
        found_for(values, classes, is_probe, known, 10.0), by_numpy(values, classes, is_probe, known, 10.0), rtol=2e-3
    )
    alone = found_for(values, np.where(is_probe, 3, classes % 3), is_probe, known, 10.0)
    np.testing.assert_array_equal(alone, np.ones(3))


def test_nothing_known_is_equal_parts():
    values, classes, is_probe, known = data(0)
    np.testing.assert_array_equal(found_for(values, classes, is_probe, known & False, 100.0), np.ones(3))
    np.testing.assert_array_equal(found_for(values * 0, classes, is_probe, known, 100.0), np.ones(3))


@pytest.mark.parametrize(("probes", "most"), [(1, 0.4), (10, 0.5)])
def test_few_probes_that_differ_by_chance_choose_no_input(probes, most):
    """Probes drawn as the others are; whatever the signs of the differences, the inputs stay much alike."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal((1000, 3)).astype(np.float32)
        is_probe = np.arange(1000) >= 1000 - probes
        classes = np.arange(1000) % 2
        found = found_for(values, classes, is_probe, np.ones(1000, bool), 100.0, num_classes=2)
        assert found.max() / found.sum() < most


@pytest.mark.parametrize("informative", [0, 1])
def test_it_finds_which_input_knows_where_classes_differ_in_their_noise(informative):
    """One class has half of its labels wrong and lower values in the other input, whatever their labels are."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 4000)
    is_probe = np.arange(4000) >= 3600
    classes[is_probe] = rng.integers(0, 2, 400)
    wrong = (classes == 1) & (rng.random(4000) < 0.5) & ~is_probe
    values = rng.standard_normal((4000, 2)).astype(np.float32)
    values[:, informative] -= 2.0 * wrong
    values[:, 1 - informative] -= 1.5 * (classes == 1)
    found = found_for(values, classes, is_probe, np.ones(4000, bool), 100.0, num_classes=2)
    assert found[informative] > 2 * found[1 - informative]
