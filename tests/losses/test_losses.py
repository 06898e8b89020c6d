"""Each loss against NumPy and, where there is one, Keras's; gradients against central differences; the schedules."""

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
_ONE_HOT = np.eye(4)[_LABELS]
_SOFT = _RNG.dirichlet(np.ones(4), 7)
_COUNTS = np.array([500, 60, 20, 3])


def _softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _focal(y, z, gamma=1.5):
    p = _softmax(z)
    return (y * (1 - p) ** gamma * -np.log(p)).sum(-1)


def _class_balanced_focal(y, z, gamma=1.5):
    """As `FocalLoss(weight=w)` beside LDAM: the cross-entropy is weighted first, and p is taken back from it."""
    weighted = (y @ _weights(0.9999))[:, None] * -np.log(_softmax(z))
    return (y * (1 - np.exp(-weighted)) ** gamma * weighted).sum(-1)


def _cross_entropy(y, z):
    return (y * -np.log(_softmax(z))).sum(-1)


def _of_keras(labels, logits, step):
    """A user's own function."""
    del step
    return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def _over_mean(weights):
    return weights * len(weights) / weights.sum()


def _sigmoid_focal(y, z, gamma=1.5):
    p = 1 / (1 + np.exp(-z))
    return (y * (1 - p) ** gamma * -np.log(p) + (1 - y) * p**gamma * -np.log(1 - p)).sum(-1)


def _weights(beta):
    w = np.array([(1 - beta) / (1 - beta ** int(n)) for n in _COUNTS])
    return w / w.sum() * 4


def _ldam(y, z, scale=30.0):
    margins = _COUNTS**-0.25
    margins = 0.5 * margins / margins.max()
    return (y * -np.log(_softmax(z - scale * y * margins))).sum(-1)


CASES = {
    "focal": (losses.Focal(1.5), _focal),
    "sigmoid focal": (losses.SigmoidFocal(1.5), _sigmoid_focal),
    "class-balanced focal": (
        losses.ClassWeighted(losses.Focal(1.5), losses.effective_number_weights(_COUNTS, 0.9999)),
        _class_balanced_focal,
    ),
    "class-balanced sigmoid focal": (
        losses.ClassWeighted(losses.SigmoidFocal(1.5), losses.effective_number_weights(_COUNTS, 0.9999)),
        lambda y, z: (y @ _weights(0.9999)) * _sigmoid_focal(y, z),
    ),
    "cross-entropy, reweighted": (
        losses.ClassWeighted(losses.CrossEntropy(), losses.effective_number_weights(_COUNTS, 0.9)),
        lambda y, z: _over_mean(y @ _weights(0.9)) * _cross_entropy(y, z),
    ),
    "ldam": (losses.LDAM(_COUNTS), _ldam),
    "ldam, reweighted": (
        losses.ClassWeighted(losses.LDAM(_COUNTS), losses.effective_number_weights(_COUNTS, 0.9)),
        lambda y, z: _over_mean(y @ _weights(0.9)) * _ldam(y, z),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    loss, oracle = CASES[name]
    logits = tf.constant(_LOGITS)
    for labels, y in ((_LABELS, _ONE_HOT), (_LABELS[:, np.newaxis], _ONE_HOT), (_ONE_HOT, _ONE_HOT), (_SOFT, _SOFT)):
        found = loss(tf.constant(labels), logits, tf.constant(5, tf.int64))
        np.testing.assert_allclose(found, oracle(y, _LOGITS), rtol=1e-9)
        assert found.dtype == tf.float64
    low = loss(tf.constant(_LABELS), tf.cast(logits, tf.bfloat16))
    assert low.dtype == tf.float32
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(loss(tf.constant(_LABELS), logits))
    gradient = tape.gradient(total, logits).numpy()
    for row, column in ((0, 0), (3, 1), (4, 3), (6, 2)):
        ends = []
        for shift in (1e-6, -1e-6):
            moved = _LOGITS.copy()
            moved[row, column] += shift
            ends.append(oracle(_ONE_HOT, moved).sum())
        np.testing.assert_allclose(gradient[row, column], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-9)


def test_keras_has_the_same_focal_losses_where_no_probability_is_tiny():
    logits = tf.constant(_LOGITS, tf.float32)
    theirs = keras.losses.categorical_focal_crossentropy(_ONE_HOT, _softmax(_LOGITS), alpha=1.0, gamma=2.0)
    np.testing.assert_allclose(losses.Focal(2.0)(tf.constant(_LABELS), logits), theirs, rtol=1e-4)
    theirs = keras.losses.binary_focal_crossentropy(_ONE_HOT, logits, gamma=2.0, from_logits=True)
    np.testing.assert_allclose(losses.SigmoidFocal(2.0)(tf.constant(_LABELS), logits), 4 * theirs, rtol=1e-4)


def test_limits_that_are_the_cross_entropy():
    labels, logits = tf.constant(_LABELS), tf.constant(_LOGITS)
    expected = softmax.cross_entropy(labels, logits)
    for loss in (
        losses.CrossEntropy(),
        losses.Focal(0.0),
        losses.LDAM(_COUNTS, max_margin=0.0, scale=1.0),
        losses.ClassWeighted(losses.Focal(0.0), losses.effective_number_weights(_COUNTS, 0.0)),
    ):
        np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-12)


def test_confidence_in_a_wrong_class_keeps_its_gradient():
    logits = tf.constant([[60.0, -60.0]])
    for loss, slope in ((losses.Focal(0.5), -1.0), (losses.SigmoidFocal(0.5), -1.0), (losses.LDAM([9, 4]), -1.0)):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(tf.constant([1]), logits)
        gradient = tape.gradient(value, logits).numpy()
        np.testing.assert_allclose(gradient[0, 1], slope, rtol=1e-3)
        assert np.isfinite(gradient).all() and np.isfinite(value.numpy()).all()
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(tf.constant([0]), logits)
        assert np.isfinite(tape.gradient(value, logits).numpy()).all()


def test_weights_of_the_effective_number():
    np.testing.assert_allclose(losses.effective_number_weights(_COUNTS, 0.9999), _weights(0.9999), rtol=1e-9)
    np.testing.assert_allclose(losses.effective_number_weights(_COUNTS, 0.0), np.ones(4))
    near_one = losses.effective_number_weights(_COUNTS, 1 - 1e-12)
    np.testing.assert_allclose(near_one, 4 / _COUNTS / (1 / _COUNTS).sum(), rtol=1e-6)


def test_margins_of_ldam():
    margins = losses.LDAM([10_000, 16, 1]).margins
    np.testing.assert_allclose(margins, [0.05, 0.25, 0.5])


@pytest.mark.parametrize("of", [losses.CrossEntropy(), _of_keras])
def test_weights_hold_from_their_step_on(of):
    loss = losses.ClassWeighted(of, [1.0, 2.0, 3.0, 4.0], first_step=10)
    labels, logits = tf.constant(_LABELS), tf.constant(_LOGITS)
    plain = softmax.cross_entropy(labels, logits)
    later, weights = tf.function(loss, autograph=False), _over_mean(_LABELS + 1)
    for step, factor in ((0, 1), (9, 1), (10, weights), (11, weights)):
        np.testing.assert_allclose(later(labels, logits, tf.constant(step)), plain * factor, rtol=1e-12)
    np.testing.assert_allclose(loss(labels, logits), plain * weights, rtol=1e-12)


def test_the_mean_of_weighted_losses_is_sum_w_l_over_sum_w():
    """`cross_entropy(weight=w)` of PyTorch; dividing by n instead would shrink the gradient where classes are small."""
    w, each = np.array([0.02, 0.1, 0.5, 3.38])[_LABELS], _cross_entropy(_ONE_HOT, _LOGITS)
    learner = learners.CrossEntropy(losses.ClassWeighted(losses.CrossEntropy(), [0.02, 0.1, 0.5, 3.38]))
    found = learner.loss(tf.constant(_LOGITS), tf.constant(_LABELS), [])
    np.testing.assert_allclose(found, (w * each).sum() / w.sum(), rtol=1e-9)


def test_weighted_losses_of_two_replicas_are_those_of_the_global_batch(two_replicas):
    """Each half has other classes, so that its own mean weight is another one."""
    learner = learners.CrossEntropy(losses.ClassWeighted(losses.LDAM(_COUNTS), [0.1, 0.2, 0.7, 3.0]))
    logits, labels = tf.constant(_LOGITS[:6]), tf.constant(np.sort(_LABELS[:6]))

    def share(context):
        half = slice(3 * context.replica_id_in_sync_group, 3 * context.replica_id_in_sync_group + 3)
        return logits[half], labels[half]

    shares = two_replicas.experimental_distribute_values_from_function(share)
    parts = two_replicas.run(tf.function(lambda batch: learner.loss(*batch, []), autograph=False), args=(shares,))
    found = sum(two_replicas.experimental_local_results(parts))
    np.testing.assert_allclose(found, learner.loss(logits, labels, []), rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_a_learner_with_it_is_saved_and_made_again(name):
    learner = learners.MWNet(loss=CASES[name][0], seed=3)
    again = learners.MWNet.from_config(learner.get_config())
    labels, logits = tf.constant(_LABELS), tf.constant(_LOGITS)
    np.testing.assert_array_equal(again.losses(logits, labels), learner.losses(logits, labels))


@pytest.mark.parametrize("normalize", [True, False])
def test_weights_multiply_the_loss_that_they_are_made_of(normalize):
    learner = learners.MWNet(loss=losses.LDAM(_COUNTS), normalize=normalize)
    learner.create_variables()
    theta = learner.parameters(None)
    each = _ldam(_ONE_HOT, _LOGITS)
    hidden = np.maximum(each[:, None] * theta[0].numpy() + theta[1].numpy(), 0)
    values = 1 / (1 + np.exp(-(hidden @ theta[2].numpy() + theta[3].numpy())))[:, 0]
    expected = (values * each).sum() / (values.sum() if normalize else 7)
    found = learner.loss(tf.constant(_LOGITS), tf.constant(_LABELS), theta)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    plain = learners.CrossEntropy(loss=losses.LDAM(_COUNTS))
    np.testing.assert_allclose(plain.loss(tf.constant(_LOGITS), tf.constant(_LABELS), []), each.mean(), rtol=1e-9)
    l2r = learners.L2R(loss=losses.LDAM(_COUNTS))
    np.testing.assert_allclose(
        l2r.loss(tf.constant(_LOGITS), tf.constant(_LABELS), [tf.fill([7], 0.1)]), 0.1 * each.sum(), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.Focal(-1), "gamma=-1: expected 0 or more"),
        (lambda: losses.LDAM([3, 0]), "class 1 has no training image"),
        (lambda: losses.effective_number_weights([3, 0], 0.9), "class 1 has no training image"),
        (lambda: losses.effective_number_weights([3, 2], 1.0), r"beta=1\.0: expected a number in \[0, 1\)"),
        (lambda: learners.MLC(4, loss=losses.Focal()), "MLC with another loss"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
