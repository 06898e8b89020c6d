"""Evaluation by class and by the classes' sizes, of several networks, and each example's loss, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf.devices import sharing
from famus_tf.evaluation import accuracy as evaluation


def _examples():
    """Logits as the images, of 30 examples in batches of 10; the last five do not count and hold what must not tell."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(30, 7)), rng.integers(0, 6, 30)  # class 6 has no image
    weight = np.ones(30, np.float32)
    weight[25:] = 0
    logits[27] = np.nan  # of what does not count nothing may come through
    return np.float32(logits), np.int32(labels), weight


def _batches(examples):
    dataset = tf.data.Dataset.from_tensor_slices(examples)
    return dataset.batch(10)


def _losses(logits, labels):
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]


def test_counts_by_class():
    logits, labels, _ = examples = _examples()
    strategy = tf.distribute.get_strategy()
    found = evaluation.make_evaluator(strategy, lambda images: images)(_batches(examples))
    logits, labels = logits[:25], labels[:25]
    right = logits.argmax(1) == labels
    ranks = (logits > logits[np.arange(25), labels][:, None]).sum(1)
    assert found["examples"] == 25
    np.testing.assert_allclose(found["accuracy"], right.mean())
    np.testing.assert_allclose(found["top5"], (ranks < 5).mean())
    np.testing.assert_allclose(found["loss"], _losses(logits, labels).mean(), rtol=1e-6)
    for c in range(6):
        np.testing.assert_allclose(found["class_accuracy"][c], right[labels == c].mean())
    assert found["class_accuracy"][6] is None


@pytest.mark.parametrize("replicas", [1, 2])
def test_several_logits_are_counted_each(replicas, two_replicas):
    strategy = two_replicas if replicas == 2 else tf.distribute.get_strategy()
    changes = [lambda images: images, lambda images: -images, lambda images: tf.roll(images, 1, axis=1)]
    evaluator = evaluation.make_evaluator(strategy, lambda images: [change(images) for change in changes])
    found = evaluator(sharing.distribute_batches(strategy, _batches(_examples())))
    alone = [evaluation.make_evaluator(tf.distribute.get_strategy(), one)(_batches(_examples())) for one in changes]
    assert len(found) == 3 and len({one["accuracy"] for one in alone}) > 1
    for one, expected in zip(found, alone, strict=True):
        assert one.keys() == expected.keys()
        for name in ("accuracy", "top5", "loss", "examples"):
            np.testing.assert_allclose(one[name], expected[name], rtol=1e-6)
        assert one["class_accuracy"] == expected["class_accuracy"]


def test_groups_of_classes():
    accuracies, counts = [0.9, 0.8, None, 0.6, 0.5, 0.1], np.array([500, 101, 100, 100, 20, 19])
    found = evaluation.by_class_size(accuracies, counts)
    expected = {"class_mean": 2.9 / 5, "many": 0.85, "medium": 0.55, "few": 0.1}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value)
    assert evaluation.by_class_size([0.5, 0.7], np.array([300, 200])) == {"class_mean": 0.6, "many": 0.6}
