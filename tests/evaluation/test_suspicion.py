"""How far labels are distrusted, against loops over the examples."""

import types

import numpy as np
import pytest

from famus_tf.evaluation import suspicion


def history(probability, score):
    return types.SimpleNamespace(probability=np.float32(probability), score=np.float32(score))


@pytest.mark.parametrize("which", ["both", "no score known", "score not wanted"])
def test_means_are_standardised_within_the_classes_and_added(which):
    with_score = which == "both"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    probability, score = rng.random(60), rng.normal(size=60)
    probability[labels == 2] *= 0.1  # a hard class
    probability[7] = score[9] = np.nan
    if which == "no score known":
        score[:] = np.nan
    z = np.zeros(60)
    for values in (probability, score) if with_score else (probability,):
        centred = np.array([v - np.nanmean(values[labels == k]) for v, k in zip(values, labels, strict=True)])
        z += np.nan_to_num(centred / np.nanstd(centred))
    found = suspicion.of_history(history(probability, score), labels, 3, which != "score not wanted")
    np.testing.assert_allclose(found, 1 / (1 + np.exp(2.5 * z / z.std())), rtol=1e-4)
    assert found[labels == 2].mean() == pytest.approx(found[labels == 0].mean(), abs=0.1)


def test_of_examples_without_a_visit_nothing_is_known():
    nothing = np.full(5, np.nan)
    np.testing.assert_array_equal(suspicion.of_history(history(nothing, nothing), np.zeros(5, int), 2), 0.5)
    np.testing.assert_array_equal(suspicion.of_history(history(np.ones(5), nothing), np.zeros(5, int), 2), 0.5)


def test_quality_counts_the_wrong_labels_at_the_top():
    rng = np.random.default_rng(1)
    values, wrong = rng.random(300).round(1), rng.random(300) < 0.3
    found = suspicion.quality(values, wrong, at=(10, 300, 301))
    pairs = [(a > b) + 0.5 * (a == b) for a in values[wrong] for b in values[~wrong]]
    assert found["auc"] == pytest.approx(np.mean(pairs))
    order = sorted(range(300), key=lambda i: (-values[i], i))
    assert found["precision"] == {"10": np.mean(wrong[order[:10]]), "300": pytest.approx(wrong.mean())}
    assert suspicion.quality(values, np.zeros(300, bool))["auc"] is None


def test_the_order_of_all_signs_with_the_values_of_the_first():
    learned = np.array([0.1, 0.9, 0.4, 0.7])
    first, second = np.array([3.0, 0.0, 2.0, 1.0]), np.array([np.nan, 5.0, 9.0, 7.0])
    # Ranks: 1 4 2 3; 4 1 3 2; 2.5 1 4 2.5, the unknown one in the middle. Means: 2.5, 2, 3, 2.5.
    np.testing.assert_array_equal(suspicion.together(learned, [first, second]), [0.4, 0.1, 0.9, 0.7])
    np.testing.assert_array_equal(suspicion.together(learned, []), learned)
    np.testing.assert_array_equal(suspicion.together(learned, [np.full(4, np.nan)]), learned)


def test_weights_that_tell_examples_apart():
    assert suspicion.is_told_by(np.array([0.1, 1.9, np.nan]))
    assert not suspicion.is_told_by(np.array([1.0, 1.02, np.nan]))
    assert not suspicion.is_told_by(np.full(3, np.nan))
