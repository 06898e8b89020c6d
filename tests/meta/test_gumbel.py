"""Gumbel noise and the straight-through Gumbel-softmax against NumPy."""

import numpy as np
import tensorflow as tf
from scipy import stats

from famus_tf.meta import gumbel


def test_noise_is_gumbel_and_a_function_of_the_seed():
    noise = gumbel.sample_gumbel([200_000], tf.constant([3, 5], tf.int64)).numpy()
    assert abs(noise.mean() - 0.57722) < 0.01
    assert abs(noise.var() - np.pi**2 / 6) < 0.03
    # P(noise < 0) = exp(-exp(0))
    assert abs((noise < 0).mean() - np.exp(-1)) < 0.005
    assert np.isfinite(noise).all()
    np.testing.assert_array_equal(noise, gumbel.sample_gumbel([200_000], tf.constant([3, 5], tf.int64)))
    assert (noise != gumbel.sample_gumbel([200_000], tf.constant([3, 6], tf.int64)).numpy()).mean() > 0.99


def test_balanced_noise_is_logistic_and_evenly_spread():
    """Seen alone, each gate's noise is the difference of two Gumbel variables; together they fill (0, 1) evenly."""
    rows, draws = 8, 4000
    noise = np.array([gumbel.sample_balanced(rows, tf.constant([3, step], tf.int64)) for step in range(draws)])
    assert not noise[..., 0].any() and np.isfinite(noise).all()
    uniform = 1.0 / (1.0 + np.exp(-noise[..., 1]))
    np.testing.assert_array_equal(np.sort(np.floor(uniform * rows).astype(int), axis=1), [range(rows)] * draws)
    for gate in uniform.T:
        assert stats.kstest(gate, "uniform").pvalue > 0.001
    # With one probability, 3 of 8, as many are on in every draw, each of them as often.
    on = noise[..., 1] + np.log(3 / 5) > 0
    assert set(on.sum(axis=1)) == {3}
    np.testing.assert_allclose(on.mean(axis=0), 3 / 8, atol=0.04)
    again = gumbel.sample_balanced(rows, tf.constant([3, 7], tf.int64))
    np.testing.assert_array_equal(again, noise[7])


def test_forward_is_one_hot_and_backward_is_the_softmax():
    rng = np.random.default_rng(0)
    logits, noise, cotangent = (rng.normal(size=(7, 2)).astype("float32") for _ in range(3))
    temperature = 5.0
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        out = gumbel.gumbel_softmax(variable, tf.constant(noise), temperature)
    np.testing.assert_allclose(out, np.eye(2)[np.argmax(logits + noise, 1)], atol=1e-6)
    exponentials = np.exp((logits + noise) / temperature)
    soft = exponentials / exponentials.sum(1, keepdims=True)
    jacobian = (np.eye(2)[None] * soft[:, :, None] - soft[:, :, None] * soft[:, None, :]) / temperature
    expected = np.einsum("nij,nj->ni", jacobian, cotangent)
    np.testing.assert_allclose(tape.gradient(out, variable, output_gradients=cotangent), expected, rtol=1e-4, atol=1e-7)


def test_frequency_of_samples_is_the_softmax_of_the_logits():
    logits = tf.constant([[0.0, 1.0]])
    noise = gumbel.sample_gumbel([50_000, 2], tf.constant([1, 2], tf.int64))
    on = gumbel.gumbel_softmax(tf.repeat(logits, 50_000, 0), noise, 5.0)[:, 1]
    assert abs(float(tf.reduce_mean(on)) - np.e / (1 + np.e)) < 0.01
