"""The meta gradient against nested tapes through the virtual step, Eq. 7 written out, and finite differences (float64).

The engine never differentiates through the network twice; the oracles do nothing else.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf.meta import meta_gradient as engine
from famus_tf.meta import segments as segmentation
from tests.oracles import nested_tapes


@pytest.fixture(scope="module")
def case(residual_network):
    case = nested_tapes.make_case(residual_network("float64"))
    assert len(case.segments) >= 4 and len(case.layers) == 8
    return case


def _gate_vectors():
    generator = np.random.default_rng(11)
    return [np.ones(8), *(generator.integers(0, 2, 8).astype(float) for _ in range(3)), np.eye(8)[0], np.eye(8)[7]]


@pytest.mark.parametrize("normalize", [True, False])
def test_meta_gradient_equals_nested_tapes(case, normalize):
    learner = nested_tapes.make_learner(normalize)
    for gates in _gate_vectors():
        actual = nested_tapes.engine_gradient(case, learner, gates)[2]
        nested_tapes.assert_close(
            actual, nested_tapes.nested_gradient(case, learner.parameters(None), normalize, gates)
        )


def test_unselected_layers_leave_the_meta_gradient(case):
    """The comparison above would mean little if the gates made no difference."""
    learner = nested_tapes.make_learner(True)
    gradients = [np.concatenate([np.ravel(x) for x in nested_tapes.engine_gradient(case, learner, gates)[2]])
                 for gates in (np.ones(8), np.eye(8)[0], np.eye(8)[7])]  # fmt: skip
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(gradients[a] - gradients[b]) > 1e-2 * np.linalg.norm(gradients[0])


@pytest.mark.parametrize("normalize", [True, False])
def test_meta_gradient_is_equation_7(case, normalize):
    """-alpha sum_i dW_i/dtheta <u, gradient of loss_i>, each example's gradient taken on its own."""
    learner = nested_tapes.make_learner(normalize)
    _, u, actual = nested_tapes.engine_gradient(case, learner, np.ones(8))
    w = [tf.convert_to_tensor(v.value) for v in case.variables]
    theta = learner.parameters(None)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(w)
        losses = nested_tapes.cross_entropy(case.labels, nested_tapes.logits_at(case, w, case.images))
        each_loss = tf.unstack(losses)
    with tf.GradientTape(persistent=True) as weight_tape:
        weight_tape.watch(theta)
        each_weight = tf.unstack(nested_tapes.example_weights(losses, theta, normalize))
    expected = [np.zeros(t.shape) for t in theta]
    for loss, weight in zip(each_loss, each_weight, strict=True):
        agreement = sum(np.sum(a * b) for a, b in zip(u, tape.gradient(loss, w), strict=True))
        for total, part in zip(expected, weight_tape.gradient(weight, theta), strict=True):
            total -= nested_tapes.ALPHA * agreement * part.numpy()
    nested_tapes.assert_close(actual, expected)


def test_last_layer_loss_equals_nested_tapes(case):
    """L_g of Eq. 11, for a classifier that is selected and one that is not; Avg-Pool works in float32."""
    learner = nested_tapes.make_learner(True)
    for gates in (np.ones(8), 1 - np.eye(8)[7]):
        with_gap = nested_tapes.engine_gradient(case, learner, gates, lambda_g=0.7)[2]
        expected = nested_tapes.nested_gradient(case, learner.parameters(None), True, gates, lambda_g=0.7)
        nested_tapes.assert_close(with_gap, expected, 1e-6)
        without = nested_tapes.nested_gradient(case, learner.parameters(None), True, gates)
        difference = max(np.max(np.abs(a - b)) for a, b in zip(expected, without, strict=True))
        assert difference > 1e-3 * max(np.max(np.abs(b)) for b in without)


def test_gate_gradient_is_minus_alpha_u_dot_g(case):
    """dL_c / dr_l at r = 1 of w_hat_l = w_l - alpha r_l g_l, by one tape over the gates."""
    g, u, _ = nested_tapes.engine_gradient(case, nested_tapes.make_learner(True), np.ones(8))
    w = [tf.convert_to_tensor(v.value) for v in case.variables]
    r = tf.ones([8], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(r)
        w_hat = list(w)
        for number, layer in enumerate(case.layers):
            for p in layer.positions:
                w_hat[p] = w[p] - nested_tapes.ALPHA * r[number] * g[p]
        loss = tf.reduce_mean(
            nested_tapes.cross_entropy(case.meta_labels, nested_tapes.logits_at(case, w_hat, case.meta_images))
        )
    actual = [-nested_tapes.ALPHA * sum(np.sum(u[p] * g[p]) for p in layer.positions) for layer in case.layers]
    nested_tapes.assert_close([np.array(actual)], [tape.gradient(loss, r)])


def _masked(case, values, lowest):
    """`values` with zeros below segment `lowest`."""
    masked, position = [], 0
    for k, segment in enumerate(case.segments):
        for value in values[position : position + len(segment.variables)]:
            masked.append(value if k >= lowest else np.zeros_like(value))
        position += len(segment.variables)
    return masked


def test_chain_that_stops_early_equals_the_masked_full_chain(case):
    """For every depth, as an int outside a graph and as a tensor inside one, with weights of its own and without."""
    generator = np.random.default_rng(7)
    directions = [tf.constant(generator.standard_normal(v.shape)) for v in case.variables]
    cotangent = tf.constant(generator.standard_normal((nested_tapes.N, nested_tapes.CLASSES)))
    weights = [v.value + 0.1 for v in case.variables].__getitem__

    def passes(lowest, weights):
        forward = engine.RecordedForward(case.segments, case.images, weights)
        return forward.backward(cotangent, lowest), forward.tangent(directions.__getitem__, lowest)

    full = engine.RecordedForward(case.segments, case.images)
    full_at = engine.RecordedForward(case.segments, case.images, weights)
    traced = tf.function(lambda lowest: (passes(lowest, None), passes(lowest, weights)))
    depths = [*range(len(case.segments) + 1), 2**31 - 1]
    for lowest in depths:
        u, u_at = full.backward(cotangent), full_at.backward(cotangent)
        below = _masked(case, directions, lowest)
        expected = [
            (_masked(case, u, lowest), full.tangent(below.__getitem__)),
            (_masked(case, u_at, lowest), full_at.tangent(below.__getitem__)),
        ]
        by_int = (passes(lowest, None), passes(lowest, weights))
        by_tensor = traced(tf.constant(lowest, tf.int32))
        for actual in (by_int, by_tensor):
            for (actual_u, actual_tangent), (expected_u, expected_tangent) in zip(actual, expected, strict=True):
                for a, e in zip(actual_u, expected_u, strict=True):
                    np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-11)
                    assert np.any(e) or not np.any(a)
                np.testing.assert_allclose(actual_tangent, expected_tangent, rtol=1e-11, atol=1e-11)
    assert all(np.any(value) for value in u)  # what is zero above is zero because it was masked


def test_inner_products_stop_at_the_lowest_segment(case):
    generator = np.random.default_rng(9)
    g, u = ([tf.constant(generator.standard_normal(v.shape)) for v in case.variables] for _ in range(2))
    expected = [np.sum(a * b) for a, b in zip(g, u, strict=True)]
    traced = tf.function(lambda lowest: engine.inner_products(case.segments, g, u, lowest))
    for lowest in (*range(len(case.segments) + 1), 2**31 - 1):
        masked = _masked(case, expected, lowest)
        np.testing.assert_allclose(engine.inner_products(case.segments, g, u, lowest), masked, rtol=1e-12)
        np.testing.assert_allclose(traced(tf.constant(lowest, tf.int32)), masked, rtol=1e-12)


def test_segments_that_are_not_reached_keep_nothing_in_memory():
    """Peaks of the allocator for eight convolutions whose inputs, or for the wide ones weights, a full pass keeps."""

    def peaks(size, width):
        image = x = keras.Input((size, size, width))
        for _ in range(8):
            x = keras.layers.ReLU()(keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(x))
        logits = keras.layers.Dense(nested_tapes.CLASSES)(keras.layers.GlobalAveragePooling2D()(x))
        chain = segmentation.find_segments(keras.Model(image, logits))
        w, images, cotangent = (
            engine.weights_at(chain),
            tf.ones([8, size, size, width]),
            tf.ones([8, nested_tapes.CLASSES]),
        )

        @tf.function
        def step(images, lowest):
            forward = engine.RecordedForward(chain, images, lambda wanted: [2.0 * x for x in w[wanted]])
            u = forward.backward(cotangent, lowest)
            return [tf.reduce_sum(x) for x in u]

        found = []
        for lowest in (tf.constant(0), tf.constant(len(chain) - 1)):
            with tf.device("CPU:0"):
                step(images, lowest)
                before = tf.config.experimental.get_memory_info("CPU:0")["current"]
                tf.config.experimental.reset_memory_stats("CPU:0")
                step(images, lowest)
            found.append(tf.config.experimental.get_memory_info("CPU:0")["peak"] - before)
        return *found, images.numpy().nbytes, w[0].numpy().nbytes

    full, top, activation, _ = peaks(size=64, width=8)
    assert full - top > 2 * activation
    full, top, _, kernel = peaks(size=2, width=256)
    assert full - top > 2 * kernel


def test_backward_equals_one_tape_over_the_network(case):
    cotangent = tf.constant(np.random.default_rng(2).standard_normal((nested_tapes.N, nested_tapes.CLASSES)))
    w = [tf.convert_to_tensor(v.value) for v in case.variables]
    with tf.GradientTape() as tape:
        tape.watch(w)
        product = tf.reduce_sum(cotangent * nested_tapes.logits_at(case, w, case.images))
    actual = engine.RecordedForward(case.segments, case.images).backward(cotangent)
    nested_tapes.assert_close(actual, tape.gradient(product, w), 1e-12)


def test_tangent_equals_finite_difference_and_forward_mode(case):
    generator = np.random.default_rng(8)
    w = [tf.convert_to_tensor(v.value) for v in case.variables]
    directions = [tf.constant(generator.standard_normal(v.shape)) for v in case.variables]
    tangent = engine.RecordedForward(case.segments, case.images).tangent(directions.__getitem__)
    step = 1e-6
    up, down = (
        nested_tapes.logits_at(case, [a + sign * step * b for a, b in zip(w, directions, strict=True)], case.images)
        for sign in (1, -1)
    )
    np.testing.assert_allclose(tangent, (up - down) / (2 * step), rtol=1e-6, atol=1e-7)
    with tf.autodiff.ForwardAccumulator(w, directions) as accumulator:
        logits = nested_tapes.logits_at(case, w, case.images)
    np.testing.assert_allclose(tangent, accumulator.jvp(logits), rtol=1e-11, atol=1e-11)


def test_only_the_pass_at_w_moves_batch_norm_statistics(residual_network):
    case = nested_tapes.make_case(residual_network("float64"))
    before = [v.numpy() for v in case.network.non_trainable_variables]
    engine.RecordedForward(case.segments, case.images, [v.value + 1.0 for v in case.variables].__getitem__)
    for v, old in zip(case.network.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(v, old)
    engine.RecordedForward(case.segments, case.images)
    stem = case.network.get_layer("stem")(case.images).numpy()
    statistics = case.network.get_layer("block_a_bn")
    # One step of momentum 0.9 from the initial mean 0 and variance 1, so once and not twice.
    np.testing.assert_allclose(statistics.moving_mean, 0.1 * stem.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(statistics.moving_variance, 0.9 + 0.1 * stem.var((0, 1, 2)), rtol=1e-12)


def test_meta_gradient_without_dependence_on_theta_is_zero():
    theta = [tf.ones([2, 3])]
    logits, tangent = tf.ones([4, 3]), tf.ones([4, 3])
    (gradient,) = engine.meta_gradient(lambda z, theta: tf.reduce_sum(z**2), logits, tangent, theta)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))
