"""L_r, the cost term, L_g's direction, the look-ahead's rate and cross-entropy against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax
from famus_tf.meta import layers, objectives


def test_expected_layers_loss_sees_every_gate():
    gates = tf.constant([1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(gates)
        loss = objectives.expected_layers_loss(gates, 3)
    assert float(loss) == (5 - 3) ** 2
    np.testing.assert_allclose(tape.gradient(loss, gates), np.full(6, 2 * (5 - 3)))


def test_traversal_cost():
    gates, costs = np.array([1, 0, 1], "float32"), np.array([1.0, 0.6, 0.2], "float32")
    np.testing.assert_allclose(objectives.traversal_cost(gates, costs), gates @ costs)


def test_reaching_cost_is_that_of_the_lowest_gate():
    """And its derivative, what turning a gate adds: by all 2^5 sets of gates, two layers being in one segment."""
    costs = np.array([1.0, 0.7, 0.7, 0.4, 0.1])
    for number in range(2**5):
        r = np.array([number >> bit & 1 for bit in range(5)], float)
        gates = tf.constant(r)
        with tf.GradientTape() as tape:
            tape.watch(gates)
            cost = objectives.reaching_cost(gates, tf.constant(costs))
        np.testing.assert_allclose(cost, (r * costs).max(), atol=1e-12)
        gained = []
        for layer in range(5):
            on, off = (np.where(np.arange(5) == layer, value, r) for value in (1.0, 0.0))
            gained.append((on * costs).max() - (off * costs).max())
        np.testing.assert_allclose(tape.gradient(cost, gates), gained, atol=1e-12)


def test_last_layer_gap_and_its_direction():
    rng = np.random.default_rng(0)
    g, u = ([rng.normal(size=(3, 3, 2, 4)), rng.normal(size=(5, 4)), rng.normal(size=4)] for _ in range(2))
    low = layers.GatedLayer("low", (0,), ((0, 1, 2),), 4, 0, 1.0)
    last = layers.GatedLayer("last", (1, 2), ((0,), ()), 8, 1, 0.2)
    as_tensors = [[tf.constant(t) for t in side] for side in (g, u)]
    gap = np.concatenate([g[1].mean(0) - u[1].mean(0), g[2] - u[2]])
    g_last = layers.avg_pool(last, as_tensors[0])
    np.testing.assert_allclose(g_last, np.concatenate([g[1].mean(0), g[2]]), rtol=1e-10)
    gates, alpha, lambda_g = tf.constant([1.0, 0.0]), tf.constant(0.5, tf.float64), 0.3
    v = objectives.directions([low, last], gates, as_tensors[1], g_last, alpha, lambda_g)
    np.testing.assert_allclose(v[0], -0.5 * u[0], rtol=1e-10)
    np.testing.assert_allclose(v[1], np.tile(2 * lambda_g * gap[:4] / 5, (5, 1)), rtol=1e-6)
    np.testing.assert_allclose(v[2], 2 * lambda_g * gap[4:], rtol=1e-6)
    for wanted in (slice(0, 1), slice(1, 3)):
        part = objectives.directions([low, last], gates, as_tensors[1], g_last, alpha, lambda_g, wanted)
        for mine, whole in zip(part, v[wanted], strict=True):
            np.testing.assert_array_equal(mine, whole)
    # Central differences of lambda_g L_g with respect to g.
    kernel = g[1].copy()
    losses = []
    for shift in (1e-5, -1e-5):
        kernel[2, 3] = g[1][2, 3] + shift
        losses.append(lambda_g * (((kernel.mean(0) - u[1].mean(0)) ** 2).sum() + ((g[2] - u[2]) ** 2).sum()))
    np.testing.assert_allclose(v[1][2, 3], (losses[0] - losses[1]) / 2e-5, rtol=1e-5)


def test_agreement_is_the_sum_over_each_layers_variables():
    gated = [layers.GatedLayer("a", (0, 1), ((0,), ()), 6, 0, 1.0), layers.GatedLayer("b", (2,), ((),), 4, 1, 0.5)]
    found = objectives.agreement(gated, [tf.constant(t) for t in (24.0, 5.0, 4.0)])
    np.testing.assert_allclose(found, [24 + 5, 4], rtol=1e-6)


def test_look_ahead_rate_is_the_derivative_of_the_step():
    """Central differences of one optimizer step, from a state with velocity, with respect to the gradient."""
    for options in ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}):
        ends = []
        for shift in (-1e-2, 1e-2):
            variable, optimizer = keras.Variable([1.0]), keras.optimizers.SGD(0.3, **options)
            optimizer.apply([tf.constant([0.7])], [variable])
            rate = objectives.look_ahead_rate(optimizer)
            optimizer.apply([tf.constant([0.2 + shift])], [variable])
            ends.append(float(variable.numpy()[0]))
        np.testing.assert_allclose(-rate, (ends[1] - ends[0]) / 2e-2, rtol=1e-3)


def test_look_ahead_rate_is_refused_for_steps_that_are_not_linear():
    for optimizer in (keras.optimizers.Adam(), keras.optimizers.SGD(0.1, clipnorm=1.0)):
        with pytest.raises(errors.InputError, match=r"expected keras.optimizers.SGD without clipping"):
            objectives.look_ahead_rate(optimizer)


def test_cross_entropy_of_ids_and_of_distributions():
    rng = np.random.default_rng(0)
    logits, ids = rng.normal(size=(6, 4)), rng.integers(0, 4, 6)
    expected = -(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(6), ids]
    np.testing.assert_allclose(softmax.cross_entropy(tf.constant(ids), tf.constant(logits)), expected, rtol=1e-10)
    onehot = tf.constant(np.eye(4)[ids], tf.float32)
    np.testing.assert_allclose(softmax.cross_entropy(onehot, tf.constant(logits)), expected, rtol=1e-6)
    half = softmax.cross_entropy(tf.constant(ids), tf.constant(logits, tf.bfloat16))
    assert half.dtype == tf.float32
    np.testing.assert_allclose(softmax.mean_cross_entropy(tf.constant(ids), tf.constant(logits)), expected.mean())


def test_labels_in_a_column_are_ids_and_other_shapes_are_refused():
    logits = tf.constant(np.random.default_rng(0).normal(size=(4, 3)))
    ids = tf.constant([0, 2, 1, 1])
    np.testing.assert_array_equal(softmax.cross_entropy(ids[:, tf.newaxis], logits), softmax.cross_entropy(ids, logits))
    for wrong in (tf.ones([4, 2]), tf.ones([4, 1]), tf.ones([4, 3, 1])):
        with pytest.raises(errors.InputError, match=r"class ids \[n\]"):
            softmax.cross_entropy(wrong, logits)
