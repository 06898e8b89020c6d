"""The functions cut out of a segment's trace against tapes in the open, for what layers may do inside."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf.meta import segments, traced_segment


class Steps(keras.layers.Layer):
    """A loop of unknown length and a conditional, whose gradients are functions of their own."""

    def call(self, x):
        count = tf.cast(tf.reduce_sum(tf.ones_like(x[:1, :1, :1, :1])), tf.int32) + 2
        x = tf.while_loop(lambda i, _: i < count, lambda i, y: (i + 1, tf.tanh(y) * 1.3), [0, x])[1]
        return tf.cond(tf.reduce_sum(x) > 1e6, lambda: x, lambda: x * x)


class Straight(keras.layers.Layer):
    """A gradient of its own: 3 x, and 0.5 backward."""

    def call(self, x):
        @tf.custom_gradient
        def straight(value):
            return 3.0 * value, lambda upstream: 0.5 * upstream

        return straight(x)


def body(name, x):
    """The middle of a network: images [n, 8, 8, 3] -> maps."""
    layers = keras.layers
    if name == "normalisation":  # three means and variances, constants that the graph captures
        x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], dtype=x.dtype)(x)
        return layers.BatchNormalization(dtype=x.dtype)(layers.Conv2D(4, 3, dtype=x.dtype)(x))
    x = layers.Conv2D(4, 3, dtype=x.dtype)(x)
    if name == "dropout":
        return layers.Conv2D(3, 1, dtype=x.dtype)(layers.Dropout(0.4, seed=3, dtype=x.dtype)(x))
    if name == "pooling":
        x = layers.MaxPooling2D(2, dtype=x.dtype)(x)
        return layers.Concatenate(dtype=x.dtype)([layers.AveragePooling2D(1, dtype=x.dtype)(x), x])
    if name == "separable":
        x = layers.SeparableConv2D(5, 3, dtype=x.dtype)(x)
        return layers.LayerNormalization(dtype=x.dtype)(layers.PReLU(dtype=x.dtype)(x))
    if name == "control_flow":
        return Steps(dtype=x.dtype)(x)
    return Straight(dtype=x.dtype)(x)


BODIES = ["normalisation", "dropout", "pooling", "separable", "control_flow", "custom_gradient"]


@pytest.mark.parametrize("differentiable_input", [True, False])
@pytest.mark.parametrize("name", BODIES)
def test_functions_equal_tapes(name, differentiable_input):
    images = keras.Input((8, 8, 3), dtype="float64")
    x = keras.layers.GlobalAveragePooling2D(dtype="float64")(body(name, images))
    model = keras.Model(images, keras.layers.Dense(2, dtype="float64")(x))
    segment = segments.Segment(model, list(model.trainable_variables), 1.0)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(5, 8, 8, 3)))
    weights = [tf.constant(v.numpy() + 0.3 * rng.normal(size=v.shape)) for v in segment.variables]
    states = [tf.convert_to_tensor(v.value) for v in model.non_trainable_variables]
    cotangent = tf.constant(rng.normal(size=(5, 2)))
    tangents = [tf.constant(rng.normal(size=t.shape)) for t in [*weights, x][: len(weights) + differentiable_input]]

    traced = traced_segment.TracedSegment(segment, x, differentiable_input)
    taped = traced_segment.TapedSegment(model, differentiable_input)
    output, changed, saved = traced.forward(x, weights, states)
    expected_output, expected_states, tape = taped.forward(x, weights, states)
    np.testing.assert_allclose(output, expected_output, rtol=1e-12)
    moved = [i for i, value in expected_states.items() if np.any(value.numpy() != states[i].numpy())]
    assert sorted(changed) == moved
    assert bool(moved) == (name in ("normalisation", "dropout"))
    for i in moved:
        np.testing.assert_allclose(changed[i], expected_states[i], rtol=1e-12)

    gradients, expected = traced.vjp(saved, cotangent), taped.vjp(tape, cotangent)
    assert len(gradients) == len(expected) == len(tangents)
    for a, b in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        assert np.any(b)
    tangent = traced.jvp(saved, tangents)
    np.testing.assert_allclose(tangent, taped.jvp(tape, tangents), rtol=1e-9, atol=1e-12)
    # <cotangent, J tangents> = <J^T cotangent, tangents>, whatever the gradient of a layer claims to be.
    product = sum(np.sum(a * t) for a, t in zip(gradients, tangents, strict=True))
    assert np.sum(cotangent * tangent) == pytest.approx(product, rel=1e-9)


def test_functions_hold_no_copy_of_the_other_passes():
    """A convolution runs once in forward, and twice in vjp and jvp: by the input and by the kernel."""
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.Conv2D(4, 3)(keras.layers.Conv2D(4, 3)(images)))
    segment = segments.Segment(model, list(model.trainable_variables), 1.0)
    traced = traced_segment.TracedSegment(segment, tf.zeros([2, 8, 8, 3]), True)
    counts = {}
    for name in ("forward", "vjp", "jvp"):
        operations = getattr(traced, f"_{name}").graph.get_operations()
        counts[name] = sum(operation.type.startswith("Conv2D") for operation in operations)
    assert counts == {"forward": 2, "vjp": 4, "jvp": 4}
