"""Figures of `results.json` that need the true labels."""

import numpy as np
from sklearn import metrics

from famus_tf.reports import results


def test_auc_of_the_weights_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, 50).astype(np.float32)
    weights[:5] = np.nan
    given, true = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    parts = results.split_example_weights(weights, given, true)
    expected = metrics.roc_auc_score((given == true)[5:], weights[5:])
    np.testing.assert_allclose(results._auc(parts["clean"], parts["noisy"]), expected)
    assert results._auc(parts["clean"], parts["noisy"][:0]) is None
    assert results._auc((), ()) is None


def test_weights_of_probes_count_nowhere():
    parts = results.split_example_weights(np.array([1.0, 2.0, 9.0]), np.array([0, 1]), np.array([0, 0]))
    assert parts["clean"].tolist() == [1.0] and parts["noisy"].tolist() == [2.0]
    assert results.split_example_weights(np.array([1.0, 9.0]), np.array([0]), None)["all"].tolist() == [1.0]
