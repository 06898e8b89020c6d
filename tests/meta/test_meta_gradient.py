"""The meta gradient against nested tapes through the virtual step, Eq. 7 written out, and finite differences (float64).

The engine never differentiates through the network twice; the oracles do nothing else.
"""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.meta import layers, learners, objectives
from famus_tf.meta import meta_gradient as engine
from famus_tf.meta import segments as segmentation
from tests import small_networks
from tests.oracles import nested_tapes

ALPHA, LAYERS = 0.3, 7


def make_case():
    """A network with what the engine and the oracle take of it, and two batches of (images, labels)."""
    network = small_networks.shaken(small_networks.residual("float64"))
    segments = segmentation.find_segments(network)
    return types.SimpleNamespace(
        network=network,
        segments=segments,
        gated_layers=layers.find_gated_layers(segments),
        trained_variables=[v for segment in segments for v in segment.variables],
        training=small_networks.batch(3, 5),
        meta=small_networks.batch(4, 4),
    )


@pytest.fixture(scope="module")
def case():
    made = make_case()
    assert len(made.segments) >= 4 and len(made.gated_layers) == LAYERS
    return made


def make_learner(normalize=True):
    learner = learners.MWNet(hidden=6, normalize=normalize, seed=5, dtype="float64")
    learner.create_variables()
    return learner


def make_oracle(case, learner, gates, lambda_g=0.0):
    theta = nested_tapes.MWNet(learner.trainable_variables, normalize=learner.normalize)
    return nested_tapes.NestedTapes(case, theta, gates, ALPHA, lambda_g=lambda_g)


def logits_at(case, w):
    return make_oracle(case, make_learner(), np.ones(LAYERS)).logits(w, case.training[0])


def engine_gradient(case, learner, gates, lambda_g=0.0):
    """(g, u, gradient of theta) by the pieces of the engine."""
    forward = engine.RecordedForward(case.segments, case.training[0])
    theta = learner.parameters(None)

    def loss(logits, theta):
        return learner.loss(logits, case.training[1], theta)

    _, dz = engine.logit_gradient(lambda z: loss(z, theta), forward.logits)
    g = forward.backward(dz)
    w_hat = [w - ALPHA * gradient for w, gradient in zip(engine.weights_at(case.segments), g, strict=True)]
    meta = engine.RecordedForward(case.segments, case.meta[0], w_hat.__getitem__)
    _, dz = engine.logit_gradient(lambda z: softmax.mean_cross_entropy(case.meta[1], z), meta.logits)
    u = meta.backward(dz)
    gates, alpha = tf.constant(gates, tf.float64), tf.constant(ALPHA, tf.float64)
    last = layers.avg_pool(case.gated_layers[-1], g)
    directions = objectives.directions(case.gated_layers, gates, u, last, alpha, lambda_g)
    tangent = forward.tangent(directions.__getitem__)
    return g, u, engine.meta_gradient(loss, forward.logits, tangent, theta)


def _gate_vectors():
    generator, one = np.random.default_rng(11), np.eye(LAYERS)
    some = (generator.integers(0, 2, LAYERS).astype(float) for _ in range(3))
    return [np.ones(LAYERS), *some, one[0], one[-1]]


@pytest.mark.parametrize("normalize", [True, False])
def test_meta_gradient_equals_nested_tapes(case, normalize):
    learner = make_learner(normalize)
    for gates in _gate_vectors():
        expected = make_oracle(case, learner, gates).meta_train(case.training, case.meta).theta_gradient
        nested_tapes.assert_close(engine_gradient(case, learner, gates)[2], expected)


def test_unselected_layers_leave_the_meta_gradient(case):
    """The comparison above would mean little if the gates made no difference."""
    learner, one = make_learner(), np.eye(LAYERS)
    gradients = [
        nested_tapes.flat(engine_gradient(case, learner, gates)[2]) for gates in (np.ones(LAYERS), one[0], one[-1])
    ]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(gradients[a] - gradients[b]) > 1e-2 * np.linalg.norm(gradients[0])


@pytest.mark.parametrize("normalize", [True, False])
def test_meta_gradient_is_equation_7(case, normalize):
    """-alpha sum_i dW_i/dtheta <u, gradient of loss_i>, each example's gradient taken on its own."""
    learner = make_learner(normalize)
    _, u, actual = engine_gradient(case, learner, np.ones(LAYERS))
    oracle = make_oracle(case, learner, np.ones(LAYERS))
    w, theta = oracle.w, oracle.learner.theta
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(w)
        losses = nested_tapes.cross_entropies(case.training[1], oracle.logits(w, case.training[0]))
        each_loss = tf.unstack(losses)
    with tf.GradientTape(persistent=True) as weight_tape:
        weight_tape.watch(theta)
        each_weight = tf.unstack(oracle.learner.weights(losses, theta))
    expected = [np.zeros(t.shape) for t in theta]
    for loss, weight in zip(each_loss, each_weight, strict=True):
        agreement = sum(np.sum(a * b) for a, b in zip(u, tape.gradient(loss, w), strict=True))
        for total, part in zip(expected, weight_tape.gradient(weight, theta), strict=True):
            total -= ALPHA * agreement * part.numpy()
    nested_tapes.assert_close(actual, expected)


def test_last_layer_loss_equals_nested_tapes(case):
    """L_g of Eq. 11, for a classifier that is selected and one that is not; Avg-Pool works in float32."""
    learner = make_learner()
    for gates in (np.ones(LAYERS), 1 - np.eye(LAYERS)[-1]):
        with_gap = engine_gradient(case, learner, gates, lambda_g=0.7)[2]
        expected, without = (
            make_oracle(case, learner, gates, lambda_g).meta_train(case.training, case.meta).theta_gradient
            for lambda_g in (0.7, 0.0)
        )
        nested_tapes.assert_close(with_gap, expected, 1e-6)
        difference = max(np.max(np.abs(a - b)) for a, b in zip(expected, without, strict=True))
        assert difference > 1e-3 * max(np.max(np.abs(b)) for b in without)


def test_gate_gradient_is_minus_alpha_u_dot_g(case):
    """dL_c / dr_l at r = 1 of w_hat_l = w_l - alpha r_l g_l, by one tape over the gates."""
    learner = make_learner()
    g, u, _ = engine_gradient(case, learner, np.ones(LAYERS))
    actual = [-ALPHA * sum(np.sum(u[p] * g[p]) for p in layer.positions) for layer in case.gated_layers]
    expected = make_oracle(case, learner, np.ones(LAYERS)).step(case.training, case.meta).gate_gradient
    nested_tapes.assert_close([np.array(actual)], [expected])


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
    directions = [tf.constant(generator.standard_normal(v.shape)) for v in case.trained_variables]
    cotangent = tf.constant(generator.standard_normal((5, 3)))
    weights = [v.value + 0.1 for v in case.trained_variables].__getitem__

    def passes(lowest, weights):
        forward = engine.RecordedForward(case.segments, case.training[0], weights)
        return forward.backward(cotangent, lowest), forward.tangent(directions.__getitem__, lowest)

    full = engine.RecordedForward(case.segments, case.training[0])
    full_at = engine.RecordedForward(case.segments, case.training[0], weights)
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
    g, u = ([tf.constant(generator.standard_normal(v.shape)) for v in case.trained_variables] for _ in range(2))
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
        logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
        chain = segmentation.find_segments(keras.Model(image, logits))
        w, images, cotangent = (
            engine.weights_at(chain),
            tf.ones([8, size, size, width]),
            tf.ones([8, 3]),
        )

        @tf.function
        def step(images, lowest):
            forward = engine.RecordedForward(chain, images, lambda wanted: [2.0 * x for x in w[wanted]])
            u = forward.backward(cotangent, lowest)
            return [tf.reduce_sum(x) for x in u]

        found = []
        for lowest in (tf.constant(0), tf.constant(len(chain) - 1)):
            tries = []
            for _ in range(8):  # operations in parallel hold more at times; the least is what a pass cannot do without
                with tf.device("CPU:0"):
                    step(images, lowest)
                    before = tf.config.experimental.get_memory_info("CPU:0")["current"]
                    tf.config.experimental.reset_memory_stats("CPU:0")
                    step(images, lowest)
                tries.append(tf.config.experimental.get_memory_info("CPU:0")["peak"] - before)
            found.append(min(tries))
        return *found, images.numpy().nbytes, w[0].numpy().nbytes

    full, top, activation, _ = peaks(size=64, width=8)
    assert full - top > 2 * activation
    full, top, _, kernel = peaks(size=2, width=256)
    assert full - top > 2 * kernel


def test_backward_equals_one_tape_over_the_network(case):
    cotangent = tf.constant(np.random.default_rng(2).standard_normal((5, 3)))
    w = [tf.convert_to_tensor(v.value) for v in case.trained_variables]
    with tf.GradientTape() as tape:
        tape.watch(w)
        product = tf.reduce_sum(cotangent * logits_at(case, w))
    actual = engine.RecordedForward(case.segments, case.training[0]).backward(cotangent)
    nested_tapes.assert_close(actual, tape.gradient(product, w), 1e-12)


def test_tangent_equals_finite_difference_and_forward_mode(case):
    generator = np.random.default_rng(8)
    w = [tf.convert_to_tensor(v.value) for v in case.trained_variables]
    directions = [tf.constant(generator.standard_normal(v.shape)) for v in case.trained_variables]
    tangent = engine.RecordedForward(case.segments, case.training[0]).tangent(directions.__getitem__)
    step = 1e-6
    up, down = (logits_at(case, [a + sign * step * b for a, b in zip(w, directions, strict=True)]) for sign in (1, -1))
    np.testing.assert_allclose(tangent, (up - down) / (2 * step), rtol=1e-6, atol=1e-7)
    with tf.autodiff.ForwardAccumulator(w, directions) as accumulator:
        logits = logits_at(case, w)
    np.testing.assert_allclose(tangent, accumulator.jvp(logits), rtol=1e-11, atol=1e-11)


def test_only_the_pass_at_w_moves_batch_norm_statistics():
    case = make_case()
    before = [v.numpy() for v in case.network.non_trainable_variables]
    engine.RecordedForward(case.segments, case.training[0], [v.value + 1.0 for v in case.trained_variables].__getitem__)
    for v, old in zip(case.network.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(v, old)
    engine.RecordedForward(case.segments, case.training[0])
    stem = case.network.get_layer("conv1")(case.training[0]).numpy()
    statistics = case.network.get_layer("a_bn")
    # One step of momentum 0.9 from the initial mean 0 and variance 1, so once and not twice.
    np.testing.assert_allclose(statistics.moving_mean, 0.1 * stem.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(statistics.moving_variance, 0.9 + 0.1 * stem.var((0, 1, 2)), rtol=1e-12)


def test_meta_gradient_without_dependence_on_theta_is_zero():
    theta = [tf.ones([2, 3])]
    logits, tangent = tf.ones([4, 3]), tf.ones([4, 3])
    (gradient,) = engine.meta_gradient(lambda z, theta: tf.reduce_sum(z**2), logits, tangent, theta)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))
