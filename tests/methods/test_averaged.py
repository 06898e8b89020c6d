"""Two networks as one: the mean of their logits, saved, loaded and exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf.evaluation import saved_model
from famus_tf.methods import averaged
from tests import small_networks


def _pair(seed=0):
    keras.utils.set_random_seed(seed)
    pair = [small_networks.residual("float32") for _ in range(2)]
    for network in pair:  # away from the means and variances that a new one has
        network(np.random.default_rng(seed).normal(1, 2, (8, 6, 6, 2)), training=True)
    return pair


def _images():
    return np.random.default_rng(3).integers(0, 256, (5, 6, 6, 2), np.uint8)


@pytest.fixture(scope="module")
def pair():
    return _pair()


def test_mean_of_logits(pair):
    both, images = averaged.Averaged(pair), _images()
    first, second = (network(images, training=False).numpy() for network in pair)
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_allclose(both(images), (first + second) / 2, rtol=1e-5, atol=1e-6)
    assert [id(v) for v in both.variables] == [id(v) for network in pair for v in network.variables]


def test_in_training_mode_both_are():
    pair = _pair(5)
    before = [network.get_layer("a_bn").moving_mean.numpy() for network in pair]
    both, images = averaged.Averaged(pair), _images()
    both(images)
    for network, mean in zip(pair, before, strict=True):
        np.testing.assert_array_equal(network.get_layer("a_bn").moving_mean, mean)
    both(images, training=True)
    for network, mean in zip(pair, before, strict=True):
        assert np.abs(network.get_layer("a_bn").moving_mean.numpy() - mean).max() > 1


def test_weights_are_saved_and_loaded_each_to_its_own(pair, tmp_path):
    """In one that was never called, as when a run is resumed."""
    path = str(tmp_path / "best.weights.h5")
    averaged.Averaged(pair).save_weights(path)
    others = _pair(1)
    averaged.Averaged(others).load_weights(path)
    for found, expected in zip(others, pair, strict=True):
        for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_is_exported_with_both_networks(pair, tmp_path):
    saved_model.export(averaged.Averaged(pair), tmp_path / "export", (6, 6, 2), ["a", "b", "c"])
    images = _images()
    found = tf.saved_model.load(str(tmp_path / "export")).signatures["serving_default"](images=tf.constant(images))
    expected = sum(network(images, training=False).numpy() for network in pair) / 2
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["class_id"], expected.argmax(1))
