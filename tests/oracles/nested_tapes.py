"""The meta gradient by the engine, and by nested tapes through the virtual step, for any small float64 network."""

import types

import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.meta import layers, learners, objectives
from famus_tf.meta import meta_gradient as engine
from famus_tf.meta import segments as segmentation

ALPHA, CLASSES, N, M = 0.3, 3, 5, 4


def make_case(network):
    """A network with its segments, gated layers and variables (in the engine's order), and two batches."""
    generator = np.random.default_rng(3)
    segments = segmentation.find_segments(network)
    return types.SimpleNamespace(
        network=network,
        segments=segments,
        layers=layers.find_gated_layers(segments),
        variables=[v for segment in segments for v in segment.variables],
        images=tf.constant(generator.standard_normal((N, *network.input_shape[1:]))),
        labels=tf.constant([0, 2, 1, 1, 0]),
        meta_images=tf.constant(generator.standard_normal((M, *network.input_shape[1:]))),
        meta_labels=tf.constant([2, 0, 1, 2]),
    )


def logits_at(case, weights, images):
    """Phi(images; weights) of the whole network in training mode, without a change of state."""
    value_of = {id(v): w for v, w in zip(case.variables, weights, strict=True)}
    trainable = [value_of[id(v)] for v in case.network.trainable_variables]
    return case.network.stateless_call(
        trainable, [v.value for v in case.network.non_trainable_variables], images, training=True
    )[0]


def cross_entropy(labels, logits):
    """Written out, [n]."""
    return -tf.reduce_sum(tf.one_hot(labels, CLASSES, dtype=tf.float64) * tf.nn.log_softmax(logits), axis=1)


def make_learner(normalize, loss=None):
    """MW-Net in float64, on a loss of `famus_tf.losses` or the cross-entropy."""
    learner = learners.MWNet(hidden=6, normalize=normalize, seed=5, dtype="float64", loss=loss)
    learner.create_variables()
    return learner


def example_weights(losses, theta, normalize):
    """The weight W_i(theta) of each loss, with L_tra = sum_i W_i loss_i."""
    weight1, bias1, weight2, bias2 = theta
    values = tf.sigmoid(tf.nn.relu(losses[:, None] @ weight1 + bias1) @ weight2 + bias2)[:, 0]
    return values / tf.reduce_sum(values) if normalize else values / len(losses)


def engine_gradient(case, learner, gates, lambda_g=0.0):
    """(g, u, gradient of theta) by the pieces of the engine."""
    forward = engine.RecordedForward(case.segments, case.images)
    theta = learner.parameters(None)

    def loss(logits, theta):
        return learner.loss(logits, case.labels, theta)

    _, dz = engine.logit_gradient(lambda z: loss(z, theta), forward.logits)
    g = forward.backward(dz)
    w_hat = [w - ALPHA * gradient for w, gradient in zip(engine.weights_at(case.segments), g, strict=True)]
    meta = engine.RecordedForward(case.segments, case.meta_images, w_hat.__getitem__)
    _, dz = engine.logit_gradient(lambda z: tf.reduce_mean(softmax.cross_entropy(case.meta_labels, z)), meta.logits)
    u = meta.backward(dz)
    gates, alpha = tf.constant(gates, tf.float64), tf.constant(ALPHA, tf.float64)
    directions = objectives.directions(case.layers, gates, u, layers.avg_pool(case.layers[-1], g), alpha, lambda_g)
    tangent = forward.tangent(directions.__getitem__)
    return g, u, engine.meta_gradient(loss, forward.logits, tangent, theta)


def nested_gradient(case, theta, normalize, gates, lambda_g=0.0, loss=cross_entropy):
    """The same by nested tapes: gates that are off detach their layer's virtual update."""
    w = [tf.convert_to_tensor(v.value) for v in case.variables]
    gate_of = {p: gate for gate, layer in zip(gates, case.layers, strict=True) for p in layer.positions}
    with tf.GradientTape() as outer:
        outer.watch(theta)
        with tf.GradientTape() as inner:
            inner.watch(w)
            losses = loss(case.labels, logits_at(case, w, case.images))
            training_loss = tf.reduce_sum(example_weights(tf.stop_gradient(losses), theta, normalize) * losses)
        g = inner.gradient(training_loss, w)
        w_hat = [
            wl - ALPHA * (gl if gate_of[p] else tf.stop_gradient(gl))
            for p, (wl, gl) in enumerate(zip(w, g, strict=True))
        ]
        with tf.GradientTape() as meta_tape:
            meta_tape.watch(w_hat)
            objective = tf.reduce_mean(cross_entropy(case.meta_labels, logits_at(case, w_hat, case.meta_images)))
        if lambda_g:
            kernel, bias = (next(i for i, v in enumerate(case.variables) if v.path == f"classifier/{name}")
                            for name in ("kernel", "bias"))  # fmt: skip
            u = [tf.stop_gradient(x) for x in meta_tape.gradient(objective, [w_hat[kernel], w_hat[bias]])]
            gap = tf.concat([tf.reduce_mean(g[kernel] - u[0], axis=0), g[bias] - u[1]], axis=0)
            objective += lambda_g * tf.reduce_sum(gap**2)
    return outer.gradient(objective, theta)


def assert_close(actual, expected, tolerance=1e-9):
    scale = max(float(np.max(np.abs(e))) for e in expected)
    assert scale > 0
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * scale)
