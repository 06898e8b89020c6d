"""Avg-Pool of Eq. 8 and its adjoint against NumPy; what counts as a layer."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import layers, segments


def network():
    images = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, name="conv")(images)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.DepthwiseConv2D(2, depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(4, name="dense")(x))


@pytest.fixture(scope="module")
def case():
    parts = segments.find_segments(network())
    gated = layers.find_gated_layers(parts)
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=v.shape).astype("float32") for part in parts for v in part.variables]
    return gated, gradients


def pooled_by_numpy(name, arrays):
    if name == "bn":
        return np.concatenate(arrays)
    if name == "depthwise":
        return arrays[0].mean((0, 1)).ravel()
    kernel, bias = arrays
    return np.concatenate([kernel.reshape(-1, kernel.shape[-1]).mean(0), bias])


def test_a_layer_is_a_kernel_with_its_bias_or_a_normalisations_gamma_and_beta(case):
    gated, gradients = case
    assert [layer.name for layer in gated] == ["conv", "bn", "depthwise", "dense"]
    assert [layer.width for layer in gated] == [6, 6, 6, 8]
    assert sorted(p for layer in gated for p in layer.positions) == list(range(len(gradients)))
    assert gated[0].cost == pytest.approx(1.0)
    assert all(low.cost >= high.cost for low, high in itertools.pairwise(gated))
    assert 0 < gated[-1].cost < 1


def test_avg_pool_and_its_transpose(case):
    gated, gradients = case
    for layer in gated:
        pooled = layers.avg_pool(layer, [tf.constant(g) for g in gradients])
        arrays = [gradients[position] for position in layer.positions]
        np.testing.assert_allclose(pooled, pooled_by_numpy(layer.name, arrays), rtol=1e-5, atol=1e-6)
        vector = np.random.default_rng(1).normal(size=layer.width).astype("float32")
        spread = layers.avg_pool_transpose(layer, tf.constant(vector), [tf.constant(g) for g in gradients])
        product = sum(float(np.sum(value * gradients[position])) for position, value in spread.items())
        assert product == pytest.approx(float(vector @ pooled.numpy()), rel=1e-4)


def test_lowest_selected_counts_from_one():
    for gates, expected in (([0, 1, 0, 1], 2), ([1, 1, 1, 1], 1), ([0, 0, 0, 0], 5)):
        assert int(layers.lowest_selected(tf.constant(gates, tf.float32))) == expected


def test_layers_of_one_name_in_nested_models_are_two_layers():
    def inner(name):
        images = keras.Input((4, 4, 2))
        return keras.Model(images, keras.layers.Conv2D(2, 1, name="conv")(images), name=name)

    images = keras.Input((4, 4, 2))
    x = keras.layers.Flatten()(inner("two")(inner("one")(images)))
    gated = layers.find_gated_layers(segments.find_segments(keras.Model(images, keras.layers.Dense(2)(x)), 1))
    assert len(gated) == 3
    assert [len(layer.positions) for layer in gated] == [2, 2, 2]


def test_activity_regularizers_are_refused():
    images = keras.Input((4,))
    dense = keras.layers.Dense(2, activity_regularizer="l2", name="loud")
    with pytest.raises(errors.InputError, match="'loud' has an activity_regularizer"):
        layers.find_gated_layers(segments.find_segments(keras.Model(images, dense(images))))
