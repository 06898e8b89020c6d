"""Which sets of layers repeat: the moments in NumPy, and the greedy choice against all subsets."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from famus_tf.meta import repeatability


def _scores(seed, n=40, layers=6, classes=3):
    """Two measurements of the same opinions with noise of its own in each; classes with offsets; [n, L] each."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    opinion = rng.normal(size=(n, 2)) @ rng.normal(size=(2, layers)) + rng.normal(size=(classes, layers))[y]
    scale = 10.0 ** rng.uniform(-2, 1, layers)
    noise = rng.uniform(0.2, 3, layers)
    first, second = (scale * (opinion + noise * rng.normal(size=(n, layers))) for _ in range(2))
    return first, second, np.eye(classes)[y]


def _rho(between, within, chosen):
    r = np.asarray(chosen, float)
    return r @ between @ r / (r @ within @ r)


@pytest.mark.parametrize("scale", [1.0, 1e-9])
@pytest.mark.parametrize("per_class", [False, True])
def test_moments_are_covariances_over_the_batch(per_class, scale):
    first, second, classes = _scores(0)
    groups = classes if per_class else np.ones([len(classes), 1])
    tensors = (tf.constant(scale * one, tf.float32) for one in (first, second))
    between, within = (one.numpy() for one in repeatability.moments(*tensors, tf.constant(groups, tf.float32)))
    centred = [one - groups @ np.linalg.lstsq(groups, one, rcond=None)[0] for one in (first, second)]
    cross = centred[0].T @ centred[1]
    expected = centred[0].T @ centred[0] + centred[1].T @ centred[1]
    np.testing.assert_allclose(within, expected / np.trace(expected), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(between, (cross + cross.T) / np.trace(expected), rtol=1e-3, atol=1e-6)
    # Where both halves are of one size, that is Pearson's correlation.
    alike = repeatability.of_layers(
        *repeatability.moments(*(tf.constant(one / one.std(0)) for one in (first, second)), groups)
    )
    if not per_class:
        expected = [np.corrcoef(one, other)[0, 1] for one, other in zip(first.T, second.T, strict=True)]
        np.testing.assert_allclose(alike, expected, rtol=1e-6)


def test_scores_that_are_all_alike_repeat_nothing():
    ones = tf.ones([5, 3])
    between, within = repeatability.moments(ones, ones, tf.ones([5, 1]))
    np.testing.assert_array_equal(repeatability.of_layers(between, within), np.zeros(3))
    np.testing.assert_array_equal(repeatability.choose(between, within, [0, 1, 1], [1.0, 0.5, 0.5], 0.1), np.zeros(3))


def _best(value, layers):
    sets = [np.array(one) for one in itertools.product([0, 1], repeat=layers) if any(one)]
    return max(map(value, sets))


def test_the_greedy_choice_is_near_the_best_of_all_subsets():
    """Never worse than the best layer alone; how often it is the best set is printed."""
    layers = 8
    segments = [0, 0, 1, 1, 2, 3, 3, 4]
    costs = np.array([1.0, 1.0, 0.8, 0.8, 0.5, 0.2, 0.2, 0.01])
    optimal = 0
    gaps = []
    for seed in range(60):
        first, second, _ = _scores(seed, layers=layers)
        ones = tf.ones([len(first), 1], tf.float64)
        between, within = (one.numpy() for one in repeatability.moments(tf.constant(first), tf.constant(second), ones))
        price = [0.0, 0.1, 0.5][seed % 3]

        def value(chosen, between=between, within=within, price=price):
            return _rho(between, within, chosen) - price * costs[np.asarray(chosen) > 0.5].max()

        chosen = repeatability.choose(between, within, segments, costs, price).numpy()
        assert set(np.unique(chosen)) <= {0.0, 1.0} and chosen.any()
        alone = max(value(one) for one in np.eye(layers))
        best = _best(value, layers)
        assert value(chosen) >= alone - 1e-9
        gaps.append(best - value(chosen))
        optimal += gaps[-1] < 1e-6
    print(f"the best set in {optimal} of {len(gaps)}, else {max(gaps):.3f} below it at most")
    assert optimal >= 0.6 * len(gaps) and max(gaps) < 0.05


def test_price_keeps_it_at_the_top_and_ties_go_to_the_cheap():
    within = np.eye(3)
    between = np.diag([0.9, 0.5, 0.85])
    costs = [1.0, 0.5, 0.0]
    segments = [0, 1, 2]
    np.testing.assert_array_equal(repeatability.choose(between, within, segments, costs, 0.1), [0, 0, 1])
    np.testing.assert_array_equal(repeatability.choose(between, within, segments, costs, 0.0), [1, 0, 0])
    equal = 0.5 * np.eye(3)
    np.testing.assert_array_equal(repeatability.choose(equal, within, segments, costs, 0.0), [0, 0, 1])
    # Layers that say the same with noise of their own are better together.
    shared = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.1]])
    both = shared + np.diag([0.5, 0.5, 0.9])
    np.testing.assert_array_equal(repeatability.choose(shared, both, segments, costs, 0.0), [1, 1, 0])
