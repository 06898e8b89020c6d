"""Steps on mixed labels, with the losses of DivideMix and an L_c of one's own, against NumPy and nested tapes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf import losses
from famus_tf.losses import dividemix
from famus_tf.meta import learners
from tests import small_networks
from tests.oracles import nested_tapes

# Exact in float32, which optimizers hold their learning rates in.
ALPHA, BETA = 0.25, 8.0
CLASSES, ROWS, META_ROWS = 3, 8, 6
PRIOR_PENALTY, META_PENALTY, LAMBDA_U = 0.75, 0.5, 5.0
_LABELLED = np.arange(ROWS) < ROWS // 2


def _mixed(targets):
    return dividemix.MixedLabels(tf.constant(targets), tf.constant(_LABELLED), tf.constant(LAMBDA_U))


def _targets(rows, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(CLASSES), rows)


def _softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _make_learner(normalize=True):
    return learners.MWNet(
        hidden=6, normalize=normalize, seed=15, dtype="float64", loss=losses.SemiSupervised(PRIOR_PENALTY)
    )


def _parts_by_numpy(learner, logits, targets):
    """V by the cross-entropy of all rows; twice the CE, or twice lambda_u times the mean square; the penalty."""
    p = _softmax(logits)
    seen = -(targets * np.log(p)).sum(1)
    each = np.where(_LABELLED, 2 * seen, 2 * LAMBDA_U * ((p - targets) ** 2).mean(1))
    weight1, bias1, weight2, bias2 = (v.numpy() for v in learner.trainable_variables)
    v = 1 / (1 + np.exp(-(np.maximum(seen[:, None] @ weight1 + bias1, 0) @ weight2 + bias2)[:, 0]))
    return v, each, PRIOR_PENALTY * np.mean(np.log(1 / CLASSES / p.mean(0)))


@pytest.mark.parametrize("normalize", [True, False])
def test_weighted_loss_of_mixed_labels(normalize):
    learner, targets = _make_learner(normalize), _targets(ROWS)
    learner.create_variables()
    logits = np.random.default_rng(1).normal(0, 2, (ROWS, CLASSES))
    v, each, penalty = _parts_by_numpy(learner, logits, targets)
    assert np.ptp(v) > 1e-2 and penalty > 1e-3
    data, theta = (tf.constant(logits), _mixed(targets)), learner.parameters(None)
    weighted = (v * each).sum() / (v.sum() if normalize else ROWS)
    np.testing.assert_allclose(learner.loss(*data, theta), weighted + penalty, rtol=1e-9)
    weights = v * ROWS / v.sum() if normalize else v
    np.testing.assert_allclose(learner.example_weights(*data, theta), weights, rtol=1e-6)
    np.testing.assert_allclose(learner.plain_loss(*data), each.mean() + penalty, rtol=1e-9)
    plain = learners.CrossEntropy(losses.SemiSupervised(PRIOR_PENALTY))
    np.testing.assert_allclose(plain.loss(*data, []), each.mean() + penalty, rtol=1e-9)
    np.testing.assert_array_equal(plain.example_weights(*data, []), np.ones(ROWS))


def test_weighted_loss_of_plain_labels():
    """As in the warm-up, and as it would be with meta steps: no penalty, and V by the loss itself."""
    learner = learners.MWNet(hidden=6, seed=15, dtype="float64", loss=losses.SemiSupervised(PRIOR_PENALTY, 0.5))
    learner.create_variables()
    logits, labels = np.random.default_rng(1).normal(0, 2, (ROWS, CLASSES)), np.arange(ROWS) % CLASSES
    p = _softmax(logits)
    each = -np.log(p[np.arange(ROWS), labels]) + 0.5 * (p * np.log(p)).sum(1)
    np.testing.assert_allclose(learner.plain_loss(tf.constant(logits), tf.constant(labels)), each.mean(), rtol=1e-9)
    weight1, bias1, weight2, bias2 = (v.numpy() for v in learner.trainable_variables)
    v = 1 / (1 + np.exp(-(np.maximum(each[:, None] @ weight1 + bias1, 0) @ weight2 + bias2)[:, 0]))
    found = learner.loss(tf.constant(logits), tf.constant(labels), learner.parameters(None))
    np.testing.assert_allclose(found, (v * each).sum() / v.sum(), rtol=1e-9)


def test_a_loss_without_more_to_say_weighs_by_itself_and_adds_nothing():
    learner = learners.MWNet(loss=losses.Focal(2.0))
    logits, labels = tf.constant(np.random.default_rng(1).normal(0, 2, (ROWS, CLASSES))), tf.range(ROWS) % CLASSES
    np.testing.assert_array_equal(learner.weighed_by(logits, labels), learner.losses(logits, labels))
    assert float(learner.penalty(logits, labels)) == 0.0


def _penalty(logits):
    mean = tf.reduce_mean(tf.nn.softmax(logits), axis=0)
    return -tf.reduce_sum(tf.math.log(CLASSES * mean)) / CLASSES


def _losses(targets, logits):
    square = tf.reduce_mean((tf.nn.softmax(logits) - targets) ** 2, axis=1)
    return tf.where(_LABELLED, 2 * nested_tapes.cross_entropies(targets, logits), 2 * LAMBDA_U * square)


def _make_oracle(trainer, gates, normalize, schedule):
    learner = nested_tapes.MWNet(
        trainer.meta_learner.trainable_variables,
        BETA,
        normalize,
        _losses,
        weighed_by=nested_tapes.cross_entropies,
        penalty=lambda logits: PRIOR_PENALTY * _penalty(logits),
    )

    def validation_loss(targets, logits):
        return nested_tapes.mean_cross_entropy(targets, logits) + META_PENALTY * _penalty(logits)

    return nested_tapes.NestedTapes(trainer, learner, gates, ALPHA, schedule=schedule, validation_loss=validation_loss)


def _make_trainer(selector, normalize=True, meta_penalty=META_PENALTY, schedule="three_stage"):
    keras.utils.set_random_seed(7)
    trainer = famus_tf.FaMUS(
        small_networks.residual("float64"),
        meta_learner=_make_learner(normalize),
        selector=selector,
        lambda_g=0.0,
        schedule=schedule,
        **({} if meta_penalty is None else {"validation_loss": dividemix.validation_loss(meta_penalty)}),
    )
    trainer.compile(keras.optimizers.SGD(ALPHA), meta_optimizer=keras.optimizers.SGD(BETA))
    trainer.record_meta_gradient = True
    return trainer


def _data():
    rng = np.random.default_rng(2)
    images, meta_images = (tf.constant(rng.normal(size=(n, 6, 6, 2))) for n in (ROWS, META_ROWS))
    return (images, _targets(ROWS)), (meta_images, tf.constant(_targets(META_ROWS, seed=1)))


@pytest.mark.parametrize(
    ("selector", "gates", "normalize", "schedule"),
    [
        (famus_tf.AllLayers, [1] * 7, True, "three_stage"),
        (famus_tf.AllLayers, [1] * 7, False, "one_loop"),
        (lambda: famus_tf.FixedBlock(-1), [0] * 6 + [1], False, "three_stage"),
        (lambda: famus_tf.FixedBlock(-1), [0] * 6 + [1], True, "one_loop"),
    ],
)
def test_a_step_on_mixed_labels_equals_nested_tapes(selector, gates, normalize, schedule):
    trainer = _make_trainer(selector(), normalize, schedule=schedule)
    (images, targets), meta = _data()
    oracle = _make_oracle(trainer, gates, normalize, schedule)
    index = tf.range(ROWS, dtype=tf.int64)
    step = tf.function(trainer.step, autograph=False)
    records = step(((images, _mixed(targets), index), (*meta, index[:META_ROWS])))
    expected = oracle.step((images, tf.constant(targets)), meta)
    np.testing.assert_array_equal(records["gates"], gates)
    np.testing.assert_allclose(records["loss"], expected.loss, rtol=1e-9)
    np.testing.assert_allclose(records["meta_loss"], expected.meta_loss, rtol=1e-9)
    nested_tapes.assert_close([records["meta_gradient"].numpy()], [nested_tapes.flat(expected.theta_gradient)])
    pairs = [(trainer.trained_variables, oracle.w), (trainer.meta_learner.trainable_variables, oracle.learner.theta)]
    for found, expected in pairs:
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-8, atol=1e-10)


def test_what_l_c_is_decides_about_theta():
    """The comparison above would mean little if the penalty on meta predictions, or a target, made no difference."""
    (images, targets), meta = _data()

    def gradient(meta_penalty, meta_targets=meta[1]):
        trainer = _make_trainer(famus_tf.AllLayers(), meta_penalty=meta_penalty)
        return trainer.step(((images, _mixed(targets)), (meta[0], meta_targets)))["meta_gradient"].numpy()

    default, none, strong = (gradient(weight) for weight in (None, 0.0, 2.0))
    np.testing.assert_array_equal(default, none)  # the mean cross-entropy
    scale = np.abs(none).max()
    assert np.abs(strong - none).max() > 1e-2 * scale
    assert np.abs(gradient(0.0, meta[1][::-1]) - none).max() > 1e-2 * scale
