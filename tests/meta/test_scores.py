"""The scores of all layers against each example's own gradient, one example at a time (float64)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.meta import layers, scores, segments
from tests import small_networks


class _Scaled(keras.layers.Layer):
    """A layer of one's own with two layers inside, called in turn."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = keras.layers.Dense(5, activation="tanh", dtype=self.dtype_policy)
        self.second = keras.layers.Dense(4, dtype=self.dtype_policy)

    def build(self, shape):
        self.first.build(shape)
        self.second.build((*shape[:-1], 5))
        super().build(shape)

    def call(self, x):
        return self.second(self.first(x))


def _of_many_kinds():
    """Layers called twice, in a nested model, in a `Sequential`, of one's own, with several kernels."""
    options = {"dtype": "float64"}
    images = keras.Input((6, 6, 2), **options)
    x = keras.layers.SeparableConv2D(4, 3, activation="tanh", **options)(images)
    inside = keras.Input((4, 4, 4), **options)
    y = keras.layers.DepthwiseConv2D(3, padding="same", **options)(inside)
    nested = keras.Model(inside, keras.layers.Conv2D(4, 1, activation="tanh", **options)(y), name="nested")
    x = keras.layers.Add(**options)([x, nested(x)])
    x = keras.layers.Reshape((16, 4), **options)(x)
    x = keras.layers.MultiHeadAttention(2, 3, **options)(x, x)
    x = keras.layers.LayerNormalization(**options)(x)
    x = keras.layers.GlobalAveragePooling1D(**options)(x)
    twice = keras.layers.Dense(4, activation="tanh", **options)
    x = _Scaled(**options)(twice(twice(x)))
    stack = keras.Sequential([keras.layers.Dense(5, activation="tanh", **options), keras.layers.Dense(4, **options)])
    return keras.Model(images, keras.layers.Dense(3, **options)(stack(x)))


def _whole():
    """A subclassed model without a graph of layers."""

    class Whole(keras.Model):
        def __init__(self):
            super().__init__(dtype="float64")
            self.inside = small_networks.residual("float64", batch_norm=False)

        def call(self, images):
            return 2.0 * self.inside(images)

    made = Whole()
    made.build((None, 6, 6, 2))
    return segments.as_functional(made)


NETWORKS = {
    "residual": lambda: small_networks.residual("float64", batch_norm=False),
    "many kinds": _of_many_kinds,
    "in one piece": _whole,
}


def _made(network):
    chain = segments.find_segments(network)
    return chain, layers.find_gated_layers(chain)


def _variables(chain):
    return [variable for segment in chain for variable in segment.variables]


def _directions(chain, count=2):
    rng = np.random.default_rng(7)
    return [[tf.constant(rng.normal(size=v.shape)) for v in _variables(chain)] for _ in range(count)]


def _losses(labels):
    return lambda logits: softmax.cross_entropy(labels, logits)


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_products_with_each_examples_own_gradient(name):
    network = small_networks.shaken(NETWORKS[name]())
    chain, gated = _made(network)
    images, labels = small_networks.batch(3, 5)
    directions = _directions(chain)
    found = scores.layer_scores(chain, gated, images, _losses(labels), directions)
    assert [one.shape for one in found] == [(5, len(gated))] * 2 and found[0].dtype == tf.float64
    for i in range(5):
        with tf.GradientTape() as tape:
            loss = softmax.cross_entropy(labels[i : i + 1], network(images[i : i + 1]))[0]
        g = tape.gradient(loss, [variable.value for variable in _variables(chain)])
        for one, u in zip(found, directions, strict=True):
            for number, layer in enumerate(gated):
                expected = sum(np.sum(u[p] * g[p]) for p in layer.positions)
                np.testing.assert_allclose(one[i, number], expected, rtol=1e-9, atol=1e-12, err_msg=layer.name)
    assert len(gated) >= 4 and np.all(np.abs(found[0]).max(0) > 1e-6)  # a score of every layer


def _state(network):
    return [variable.numpy() for variable in network.variables]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_with_batch_norm_they_sum_to_the_product_with_the_gradient_and_change_nothing(compiled):
    network = small_networks.shaken(small_networks.residual("float64"))
    chain, gated = _made(network)
    images, labels = small_networks.batch(3, 6)
    u = _directions(chain, 1)[0]
    before = _state(network)

    def measure(images):
        return scores.layer_scores(chain, gated, images, _losses(labels), [u])[0]

    found = (tf.function(measure, autograph=False) if compiled else measure)(images)
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(_losses(labels)(network(images, training=True)))
    g = tape.gradient(loss, [variable.value for variable in _variables(chain)])
    expected = [sum(np.sum(u[p] * g[p]) for p in layer.positions) for layer in gated]
    np.testing.assert_allclose(np.sum(found, axis=0), expected, rtol=1e-9, atol=1e-12)


def test_random_layers_draw_once_for_both_passes_and_whole_numbers_are_no_obstacle():
    keras.utils.set_random_seed(1)
    network = small_networks.convolutions(True)
    chain, gated = _made(network)
    images = tf.constant(np.random.default_rng(0).integers(0, 255, (4, 8, 8, 1)), tf.uint8)
    u = [tf.ones(variable.shape) for variable in _variables(chain)]
    labels = tf.constant([1, 2, 3, 4])
    before = _state(network)
    first, again = (scores.layer_scores(chain, gated, images, _losses(labels), [u])[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_halves_are_even_and_odd_and_sum_to_the_whole(batch_norm):
    network = small_networks.shaken(small_networks.residual("float64", batch_norm=batch_norm))
    chain, _ = _made(network)
    images, labels = small_networks.batch(4, 5)

    def loss_of(rows):
        with tf.GradientTape() as tape:
            losses = softmax.cross_entropy(labels, network(images, training=True))
            loss = tf.reduce_sum(tf.gather(losses, rows)) / 5
        return tape.gradient(loss, [variable.value for variable in _variables(chain)])

    before = _state(network)
    halves = scores.half_gradients(chain, images, lambda z: softmax.mean_cross_entropy(labels, z))
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    for found, rows in zip(halves, ([0, 2, 4], [1, 3]), strict=True):
        for one, expected in zip(found, loss_of(rows), strict=True):
            np.testing.assert_allclose(one, expected, rtol=1e-9, atol=1e-12)
