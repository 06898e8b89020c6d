"""Losses for wrong labels and the balanced softmax against NumPy; what they are in their limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors, losses
from famus_tf.losses import softmax
from famus_tf.meta import learners

_RNG = np.random.default_rng(0)
_LOGITS = _RNG.normal(0, 3, (7, 4))
_LABELS = np.array([0, 1, 2, 3, 3, 0, 2])
_SOFT = _RNG.dirichlet(np.ones(4), 7)
_COUNTS = np.array([500, 60, 20, 3])


def _p(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _ce(y, z):
    return -(y * np.log(_p(z))).sum(-1)


def _rce(y, z):
    return -(_p(z) * np.log(np.clip(y, 1e-4, 1))).sum(-1)


def _nce(y, z):
    every = [-np.log(_p(z))[:, k] for k in range(4)]
    return _ce(y, z) / np.sum(every, axis=0)


def _truncated(y, z):
    p = _p(z)
    return (y * np.where(p > 0.3, (1 - p**0.7) / 0.7, (1 - 0.3**0.7) / 0.7)).sum(-1)


CASES = {
    "label smoothing": (losses.LabelSmoothing(0.2), lambda y, z: _ce(0.8 * y + 0.05, z)),
    "sharpened": (losses.LabelSmoothing(-0.4), lambda y, z: _ce(1.4 * y - 0.1, z)),
    "soft bootstrapping": (losses.Bootstrapping(0.7), lambda y, z: _ce(0.7 * y + 0.3 * _p(z), z)),
    "hard bootstrapping": (
        losses.Bootstrapping(0.7, hard=True),
        lambda y, z: _ce(0.7 * y + 0.3 * np.eye(4)[z.argmax(-1)], z),
    ),
    "gce": (losses.GeneralizedCrossEntropy(0.7), lambda y, z: (y * (1 - _p(z) ** 0.7) / 0.7).sum(-1)),
    "truncated gce": (losses.GeneralizedCrossEntropy(0.7, 0.3), _truncated),
    "sce": (losses.SymmetricCrossEntropy(0.3, 2.0), lambda y, z: 0.3 * _ce(y, z) + 2 * _rce(y, z)),
    "nce + rce": (losses.ActivePassive(3.0, 0.5), lambda y, z: 3 * _nce(y, z) + 0.5 * _rce(y, z)),
    "balanced softmax": (losses.BalancedSoftmax(_COUNTS), lambda y, z: _ce(y, z + np.log(_COUNTS / 583))),
    "adjusted by half": (losses.BalancedSoftmax(_COUNTS, 0.5), lambda y, z: _ce(y, z + 0.5 * np.log(_COUNTS / 583))),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("soft", [False, True])
def test_each_is_its_equation(name, soft):
    loss, expected = CASES[name]
    labels, y = (_SOFT, _SOFT) if soft else (_LABELS, np.eye(4)[_LABELS])
    np.testing.assert_allclose(loss(tf.constant(labels), tf.constant(_LOGITS)), expected(y, _LOGITS), rtol=1e-10)
    again = type(loss).from_config(loss.get_config())
    np.testing.assert_array_equal(again(labels, _LOGITS.astype("float32")), loss(labels, _LOGITS.astype("float32")))


@pytest.mark.parametrize("name", [name for name in CASES if "bootstrapping" not in name])
def test_gradients_by_central_differences(name):
    loss = CASES[name][0]
    logits = tf.constant(_LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_sum(loss(_LABELS, logits))
    found = tape.gradient(value, logits).numpy()
    for place in np.ndindex(*_LOGITS.shape):
        moved = np.zeros_like(_LOGITS)
        moved[place] = 1e-5
        rise = tf.reduce_sum(loss(_LABELS, _LOGITS + moved)) - tf.reduce_sum(loss(_LABELS, _LOGITS - moved))
        assert found[place] == pytest.approx(float(rise) / 2e-5, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("hard", [False, True])
def test_bootstrapping_has_no_gradient_through_the_prediction(hard):
    logits = tf.constant(_LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_sum(losses.Bootstrapping(0.7, hard)(_LABELS, logits))
    p = _p(_LOGITS)
    q = np.eye(4)[_LOGITS.argmax(-1)] if hard else p
    expected = p - 0.7 * np.eye(4)[_LABELS] - 0.3 * q
    np.testing.assert_allclose(tape.gradient(value, logits), expected, atol=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        losses.LabelSmoothing(0.0),
        losses.Bootstrapping(1.0),
        losses.SymmetricCrossEntropy(1.0, 0.0),
        losses.BalancedSoftmax(_COUNTS, 0.0),
        losses.BalancedSoftmax([5, 5, 5, 5]),
        losses.GeneralizedCrossEntropy(1e-6),
    ],
)
def test_in_the_limit_it_is_the_cross_entropy(loss):
    expected = softmax.cross_entropy(tf.constant(_LABELS), tf.constant(_LOGITS))
    np.testing.assert_allclose(loss(_LABELS, _LOGITS), expected, rtol=1e-4)


def test_gce_at_one_is_the_absolute_error():
    expected = 1 - _p(_LOGITS)[np.arange(7), _LABELS]
    np.testing.assert_allclose(losses.GeneralizedCrossEntropy(1.0)(_LABELS, _LOGITS), expected, rtol=1e-10)


def test_over_all_labels_nce_sums_to_one_and_rce_to_a_constant():
    for alpha, beta, total in ((1.0, 0.0, 1.0), (0.0, 1.0, -3 * np.log(1e-4))):
        loss = losses.ActivePassive(alpha, beta)
        found = sum(loss(np.full(7, label), _LOGITS).numpy() for label in range(4))
        np.testing.assert_allclose(found, total, rtol=1e-6)


def test_confident_predictions_have_finite_losses_and_gradients():
    logits = tf.constant([[1000.0, 0.0, 0.0, 0.0], [0.0, 1000.0, 0.0, 0.0]])
    for name, (loss, _) in CASES.items():
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(np.array([0, 0]), logits)
        assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, logits)).all(), name


def test_a_label_that_is_no_class_shows():
    """Where TensorFlow's cross-entropy does not refuse it already."""
    for name in ("gce", "truncated gce", "nce + rce"):
        assert np.isnan(CASES[name][0](np.array([7] * 7), tf.constant(_LOGITS))).all(), name


@pytest.mark.parametrize("name", CASES)
def test_a_meta_learner_takes_it(name):
    learner = learners.MWNet(loss=CASES[name][0])
    learner.create_variables()
    learner = type(learner).from_config(learner.get_config())
    weighs = learner.weighed_by(tf.constant(_LOGITS), tf.constant(_LABELS))
    if name in ("gce", "truncated gce", "sce", "nce + rce"):
        np.testing.assert_allclose(weighs, _ce(np.eye(4)[_LABELS], _LOGITS), rtol=1e-6)
    else:
        np.testing.assert_allclose(weighs, learner.losses(tf.constant(_LOGITS), tf.constant(_LABELS)), rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: losses.LabelSmoothing(1.0),
        lambda: losses.Bootstrapping(1.5),
        lambda: losses.GeneralizedCrossEntropy(0.0),
        lambda: losses.GeneralizedCrossEntropy(0.5, 1.0),
        lambda: losses.SymmetricCrossEntropy(-1.0),
        lambda: losses.ActivePassive(1.0, -1.0),
        lambda: losses.BalancedSoftmax([3, 0]),
        lambda: losses.BalancedSoftmax([3, 1], -1.0),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises(errors.InputError, match="expected"):
        make()


def test_keras_smooths_alike():
    found = losses.LabelSmoothing(0.3)(_LABELS, _LOGITS)
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3, reduction=None)
    np.testing.assert_allclose(found, keras_loss(np.eye(4)[_LABELS], _LOGITS), rtol=1e-5)
