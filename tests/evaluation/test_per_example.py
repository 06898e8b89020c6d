"""What a network says of each example, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf.devices import sharing
from famus_tf.evaluation import per_example
from tests.evaluation.test_accuracy import _batches, _examples


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_is_said_of_each_example(replicas, two_replicas):
    """In the order of the examples, however many replicas share them."""
    strategy = two_replicas if replicas == 2 else tf.distribute.get_strategy()
    logits, labels, weight = _examples()
    weight[[3, 12]] = 0  # as of images that cannot be read
    scanner = per_example.make_scanner(strategy, lambda images: images)
    said = scanner(sharing.distribute_batches(strategy, _batches((logits, labels, weight))))
    counts = weight > 0
    rows = np.arange(len(labels))
    z = logits.astype(np.float64)
    probabilities = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    others = np.where(np.eye(z.shape[1], dtype=bool)[labels], -np.inf, z).max(axis=1)
    expected = {
        "loss": -np.log(probabilities[rows, labels]),
        "probability": probabilities[rows, labels],
        "margin": z[rows, labels] - others,
        "predicted_probability": probabilities.max(axis=1),
    }
    for name, values in expected.items():
        found = getattr(said, name)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[counts], values[counts], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(np.isnan(found), ~counts)
    np.testing.assert_array_equal(said.predicted, np.where(counts, z.argmax(axis=1), -1))
    rank = (z > z[rows, labels][:, np.newaxis]).sum(axis=1)
    np.testing.assert_array_equal(said.rank, np.where(counts, rank, -1))
