"""The losses of DivideMix against NumPy and central differences, on one replica and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import dividemix
from famus_tf.meta import learners

_RNG = np.random.default_rng(0)
_LOGITS = _RNG.normal(0, 2, (8, 4))
_TARGETS = _RNG.dirichlet(np.ones(4), 8)
_LABELS = np.array([0, 1, 2, 3, 3, 0, 2, 1])
_LABELLED = np.array([1, 0, 1, 1, 0, 0, 1, 0], bool)
_WEIGHT = 2.5


def _mixed():
    return dividemix.MixedLabels(tf.constant(_TARGETS), tf.constant(_LABELLED), tf.constant(_WEIGHT))


def _softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _cross_entropy(y, z):
    return -(y * np.log(_softmax(z))).sum(-1)


def _mixed_loss(z):
    return np.where(_LABELLED, 2 * _cross_entropy(_TARGETS, z), 2 * _WEIGHT * ((_softmax(z) - _TARGETS) ** 2).mean(-1))


def _plain_loss(z, y=None, confidence_penalty=0.7):
    p = _softmax(z)
    return _cross_entropy(np.eye(4)[_LABELS] if y is None else y, z) + confidence_penalty * (p * np.log(p)).sum(-1)


def _penalty(z):
    p = _softmax(z).mean(0)
    return (0.25 * np.log(0.25 / p)).sum()


def test_mixed_rows():
    loss = dividemix.SemiSupervised()
    found = loss(_mixed(), tf.constant(_LOGITS), tf.constant(5, tf.int64))
    np.testing.assert_allclose(found, _mixed_loss(_LOGITS), rtol=1e-9)
    assert found.dtype == tf.float64
    assert loss(_mixed(), tf.cast(_LOGITS, tf.bfloat16)).dtype == tf.float32
    np.testing.assert_allclose(tf.function(loss)(_mixed(), tf.constant(_LOGITS)), found, rtol=1e-12)
    seen = loss.weighed_by(_mixed(), tf.constant(_LOGITS), 5)
    np.testing.assert_allclose(seen, _cross_entropy(_TARGETS, _LOGITS), rtol=1e-9)


@pytest.mark.parametrize("confidence_penalty", [0.0, 0.7])
def test_plain_labels(confidence_penalty):
    loss = dividemix.SemiSupervised(confidence_penalty=confidence_penalty)
    logits = tf.constant(_LOGITS)
    for labels, y in ((_LABELS, np.eye(4)[_LABELS]), (_TARGETS, _TARGETS)):
        expected = _plain_loss(_LOGITS, y, confidence_penalty)
        for found in (loss(tf.constant(labels), logits), loss.weighed_by(tf.constant(labels), logits, 3)):
            np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert float(loss.penalty(tf.constant(_LABELS), logits)) == 0.0


def test_mean_over_rows_is_the_loss_of_dividemix():
    p = _softmax(_LOGITS)
    supervised = -np.mean(np.sum(_TARGETS[_LABELLED] * np.log(p[_LABELLED]), axis=1))
    unsupervised = np.mean((p[~_LABELLED] - _TARGETS[~_LABELLED]) ** 2)
    found = tf.reduce_mean(dividemix.SemiSupervised()(_mixed(), tf.constant(_LOGITS)))
    np.testing.assert_allclose(found, supervised + _WEIGHT * unsupervised, rtol=1e-9)


def test_penalty():
    logits = tf.constant(_LOGITS)
    np.testing.assert_allclose(dividemix.class_prior_penalty(logits), _penalty(_LOGITS), rtol=1e-9)
    for weight in (0.0, 1.0, 3.0):
        found = dividemix.SemiSupervised(prior_penalty=weight).penalty(_mixed(), logits)
        np.testing.assert_allclose(found, weight * _penalty(_LOGITS), rtol=1e-9)
    np.testing.assert_allclose(dividemix.class_prior_penalty(tf.eye(5) * 3.0), 0.0, atol=1e-6)
    assert dividemix.class_prior_penalty(tf.cast(logits, tf.bfloat16)).dtype == tf.float32


def test_penalty_of_a_class_that_nothing_is_in():
    logits = tf.constant([[500.0, -500.0, 400.0], [300.0, -700.0, 450.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = dividemix.class_prior_penalty(logits)
    np.testing.assert_allclose(value, -(2 * np.log(1.5) + np.log(3e-30)) / 3, rtol=1e-5)
    assert np.isfinite(tape.gradient(value, logits).numpy()).all()
    rare = tf.constant([[60.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(rare)
        value = dividemix.class_prior_penalty(rare)
    np.testing.assert_allclose(tape.gradient(value, rare), [[2 / 3, -1 / 3, -1 / 3]], rtol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_validation_loss(weight):
    loss = dividemix.validation_loss(weight)
    for labels, y in ((_LABELS, np.eye(4)[_LABELS]), (_TARGETS, _TARGETS)):
        expected = _cross_entropy(y, _LOGITS).mean() + weight * _penalty(_LOGITS)
        np.testing.assert_allclose(loss(tf.constant(labels), tf.constant(_LOGITS)), expected, rtol=1e-9)


GRADIENTS = {
    "mixed": (lambda z: tf.reduce_sum(dividemix.SemiSupervised()(_mixed(), z)), lambda z: _mixed_loss(z).sum()),
    "plain": (
        lambda z: tf.reduce_sum(dividemix.SemiSupervised(confidence_penalty=0.7)(tf.constant(_LABELS), z)),
        lambda z: _plain_loss(z).sum(),
    ),
    "penalty": (dividemix.class_prior_penalty, _penalty),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    loss, oracle = GRADIENTS[name]
    logits = tf.constant(_LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits)
    expected = np.zeros_like(_LOGITS)
    for place in np.ndindex(*_LOGITS.shape):
        shift = np.zeros_like(_LOGITS)
        shift[place] = 1e-6
        expected[place] = (oracle(_LOGITS + shift) - oracle(_LOGITS - shift)) / 2e-6
    np.testing.assert_allclose(tape.gradient(value, logits), expected, rtol=1e-5, atol=1e-8)


def test_penalty_on_two_replicas_is_that_on_one(two_replicas):
    """The shares sum to it, and so do the shares of its gradient; so do the validation loss's."""
    loss = dividemix.validation_loss(0.5)

    @tf.function(autograph=False)
    def both(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = dividemix.class_prior_penalty(logits)
        return value, tape.gradient(value, logits), loss(labels, logits)

    def share(context, values):
        return tf.constant(values[4 * context.replica_id_in_sync_group :][:4])

    shares = [
        two_replicas.experimental_distribute_values_from_function(lambda context, v=values: share(context, v))
        for values in (_LOGITS, _LABELS)
    ]
    run = tf.function(lambda *data: two_replicas.run(both, args=data), autograph=False)
    values, gradients, validation = (two_replicas.experimental_local_results(part) for part in run(*shares))
    expected = both(tf.constant(_LOGITS), tf.constant(_LABELS))
    np.testing.assert_allclose(sum(v.numpy() for v in values), expected[0], rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(gradients), expected[1], rtol=1e-9)
    np.testing.assert_allclose(sum(v.numpy() for v in validation), expected[2], rtol=1e-9)


def test_it_is_saved_and_made_again():
    loss = dividemix.SemiSupervised(prior_penalty=0.3, confidence_penalty=0.7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is dividemix.SemiSupervised
    assert again.get_config() == {"prior_penalty": 0.3, "confidence_penalty": 0.7}
    learner = learners.MWNet(loss=loss, seed=3)
    again = learners.MWNet.from_config(learner.get_config())
    for labels in (tf.constant(_LABELS), _mixed()):
        logits = tf.constant(_LOGITS)
        np.testing.assert_array_equal(again.losses(logits, labels), learner.losses(logits, labels))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dividemix.SemiSupervised(prior_penalty=-1), "prior_penalty=-1: expected 0 or more"),
        (lambda: dividemix.SemiSupervised(confidence_penalty=-2), "confidence_penalty=-2: expected 0 or more"),
        (lambda: dividemix.validation_loss(-1), "prior_penalty=-1: expected 0 or more"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
