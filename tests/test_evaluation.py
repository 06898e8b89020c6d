"""Evaluation by class and by the classes' sizes, against NumPy."""

import numpy as np
import tensorflow as tf

from famus_tf import evaluation


def test_counts_by_class():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(30, 7)), rng.integers(0, 6, 30)  # class 6 has no image
    weight = np.ones(30, np.float32)
    weight[25:] = 0
    logits[27] = np.nan  # of what does not count nothing may come through

    def batches():
        for start in range(0, 30, 10):
            rows = slice(start, start + 10)
            yield tuple(tf.constant(part[rows]) for part in (np.float32(logits), np.int32(labels), weight))

    strategy = tf.distribute.get_strategy()
    found = evaluation.make_evaluator(strategy, lambda images: images)(batches())
    logits, labels = logits[:25], labels[:25]
    right = logits.argmax(1) == labels
    ranks = (logits > logits[np.arange(25), labels][:, None]).sum(1)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(25), labels]
    assert found["examples"] == 25
    np.testing.assert_allclose(found["accuracy"], right.mean())
    np.testing.assert_allclose(found["top5"], (ranks < 5).mean())
    np.testing.assert_allclose(found["loss"], losses.mean(), rtol=1e-6)
    for c in range(6):
        np.testing.assert_allclose(found["class_accuracy"][c], right[labels == c].mean())
    assert found["class_accuracy"][6] is None


def test_groups_of_classes():
    accuracies, counts = [0.9, 0.8, None, 0.6, 0.5, 0.1], np.array([500, 101, 100, 100, 20, 19])
    found = evaluation.by_class_size(accuracies, counts)
    expected = {"class_mean": 2.9 / 5, "many": 0.85, "medium": 0.55, "few": 0.1}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value)
    assert evaluation.by_class_size([0.5, 0.7], np.array([300, 200])) == {"class_mean": 0.6, "many": 0.6}
