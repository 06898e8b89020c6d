"""Gumbel noise and the straight-through Gumbel-softmax against NumPy."""

import numpy as np
import pytest
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


@pytest.mark.slow
def test_balanced_noise_is_logistic_and_the_number_of_gates_steady():
    """Seen alone, each gate's noise is the difference of two Gumbel variables, whatever the others' logits are."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(9, 2)).astype("float32") * 2
    p = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    seeds = [tf.constant([3, step], tf.int64) for step in range(4000)]
    noise = np.array([gumbel.sample_balanced(tf.constant(logits), seed) for seed in seeds])
    assert not noise[..., 0].any() and np.isfinite(noise).all()
    for gate in noise[..., 1].T:
        assert stats.kstest(gate, "logistic").pvalue > 0.001
    on = np.argmax(logits + noise, axis=2)
    assert set(on.sum(axis=1)) == {np.floor(p.sum()), np.ceil(p.sum())}
    np.testing.assert_allclose(on.mean(axis=0), p, atol=0.03)
    assert len(np.unique(on, axis=0)) > 20  # not the same neighbours each time
    np.testing.assert_array_equal(gumbel.sample_balanced(tf.constant(logits), seeds[7]), noise[7])


def test_balanced_noise_of_gates_that_are_never_or_always_on():
    logits = tf.constant([[0.0, 60.0], [60.0, 0.0], [0.0, 200.0], [200.0, 0.0]])
    for step in range(50):
        noise = gumbel.sample_balanced(logits, tf.constant([1, step], tf.int64)).numpy()
        assert np.isfinite(noise).all()
        np.testing.assert_array_equal(np.argmax(logits + noise, axis=1), [1, 0, 1, 0])


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
