"""Keras's own ResNet50 and InceptionResNetV2 are cut automatically, also where they come from a .keras file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import networks
from famus_tf.meta import layers, segments


def make(name):
    """Keras's network with random weights, images -> logits."""
    build, size = {
        "resnet50": (keras.applications.ResNet50, 64),
        "inception_resnet_v2": (keras.applications.InceptionResNetV2, 75),
    }[name]
    return build(weights=None, input_shape=(size, size, 3), classes=5, classifier_activation=None)


@pytest.mark.parametrize("name", ["resnet50", "inception_resnet_v2"])
def test_segments_are_of_similar_cost_and_compose_to_the_network(name):
    network = make(name)
    parts = segments.find_segments(network)
    assert 8 <= len(parts) <= segments.MAX_SEGMENTS + 1
    assert max(part.cost for part in parts) < 3 / segments.MAX_SEGMENTS
    images = composed = np.random.default_rng(0).normal(size=(2, *network.input_shape[1:])).astype("float32")
    for part in parts:
        composed = part.model(composed, training=False)
    np.testing.assert_array_equal(composed, network(images, training=False))
    gated = layers.find_gated_layers(parts)
    assert sum(len(layer.positions) for layer in gated) == len(network.trainable_variables)


@pytest.mark.slow
def test_three_steps_of_a_network_from_a_file(tmp_path):
    make("resnet50").save(tmp_path / "network.keras")
    network = networks.build(str(tmp_path / "network.keras"), (64, 64, 3), 5, [100.0] * 3, [50.0] * 3)
    trainer = famus_tf.FaMUS(network, selector=famus_tf.GradientSampler(4))
    trainer.compile(keras.optimizers.SGD(0.01))
    assert len(trainer.gated_layers) == 107  # 53 convolutions, as many BatchNorms, and the classifier
    step = tf.function(trainer.step, autograph=False)
    before = network.get_layer("conv1_conv").kernel.numpy()
    for seed in range(3):
        images = 255 * tf.random.stateless_uniform([2, 64, 64, 3], [seed, 0])
        records = step(((images, tf.constant([0, 3])), (images[::-1], tf.constant([1, 4]))))
        assert np.isfinite(records["loss"]) and np.isfinite(records["meta_loss"])
        assert 1 <= int(records["lowest_layer"]) <= 107
        assert tf.reduce_sum(records["gates"]) > 0
    assert np.abs(network.get_layer("conv1_conv").kernel - before).max() > 0
