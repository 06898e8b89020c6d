"""What comes before a step of Algorithm 2: targets are refined and guessed, rows mixed, by the right networks."""

import types

import numpy as np
import pytest
import tensorflow as tf

from famus_tf.config.co_divide import CoDivideConfig
from famus_tf.methods import co_divide, mixmatch


@pytest.mark.parametrize("number", [0, 1])
def test_what_comes_before_a_step(number):
    """Refined by the network that is trained, in training mode, guessed by both; another draw in every step."""
    rng, modes = np.random.default_rng(0), []

    def make_network(weights):
        def network(images, training):
            modes.append((weights is kernels[number], training))
            return tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2)) @ weights / 50

        return network

    kernels = [tf.constant(rng.normal(size=(2, 3)), tf.float32) for _ in range(2)]
    networks = [make_network(kernel) for kernel in kernels]
    methods = [
        types.SimpleNamespace(networks=[network], optimizer=types.SimpleNamespace(iterations=tf.constant(5 + k)))
        for k, network in enumerate(networks)
    ]
    flags = CoDivideConfig()
    prepare = co_divide.make_prepare(methods, number, flags, seed=3)
    images, ids = tf.constant(rng.integers(0, 256, (4, 2, 6, 6, 2)), tf.uint8), tf.range(4, dtype=tf.int64)
    labelled = mixmatch.Labelled(images, tf.constant([0, 1, 2, 0]), tf.constant([0.9, 0.8, 0.7, 0.6]), ids)
    batch = mixmatch.TrainingBatch(labelled, mixmatch.Unlabelled(images[::-1], ids), tf.constant(0.5))
    own, other = (lambda x, k=k: networks[k](x, training=False) for k in (number, 1 - number))
    options = {"temperature": flags.temperature, "alpha": flags.mixup_alpha}
    seeds = tf.random.split(tf.constant([3 + number, 5 + number], tf.int64), num=2, alg="philox")
    mixed, meta = prepare(batch, labelled)
    assert modes == [(True, True), (False, False), (True, True)]  # the last one for the meta batch
    expected = mixmatch.training_batch(batch, own, other, lambda_u=25.0, seed=seeds[0], **options)
    swapped = mixmatch.training_batch(batch, other, own, lambda_u=25.0, seed=seeds[0], **options)
    for found, wanted in zip(tf.nest.flatten(mixed), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert np.abs(expected[1].targets - swapped[1].targets).max() > 1e-3
    expected = mixmatch.meta_batch(labelled, own, seed=seeds[1], **options)
    for found, wanted in zip(meta, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    again, none = prepare(batch, None)
    assert none is None
    np.testing.assert_array_equal(again[0], mixed[0])
    methods[number].optimizer.iterations += 1
    assert np.abs(prepare(batch, None)[0][0] - mixed[0]).max() > 1.0
    plain = (images[:, 0], tf.constant([0, 1, 2, 0]), ids)
    assert prepare(plain, None) == (plain, None)
