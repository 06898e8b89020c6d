"""The learners' weights, losses and updates against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import batches, learners


@pytest.fixture(params=[True, False], ids=["normalised", "mean"])
def learner(request):
    made = learners.MWNet(hidden=5, normalize=request.param, weight_decay=0.01, dtype="float64")
    made.create_variables()
    return made


def by_numpy(learner, logits, labels):
    """Weights V, cross-entropies and the loss."""
    weight1, bias1, weight2, bias2 = (v.numpy() for v in learner.trainable_variables)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    hidden = np.maximum(losses[:, None] @ weight1 + bias1, 0)
    v = 1 / (1 + np.exp(-(hidden @ weight2 + bias2)[:, 0]))
    total = (v * losses).sum()
    return v, losses, total / v.sum() if learner.normalize else total / len(labels)


def data():
    rng = np.random.default_rng(2)
    return rng.normal(size=(6, 4)) * 2, rng.integers(0, 4, 6)


def test_start_is_uniform_in_the_references_limits():
    made = learners.MWNet()
    made.create_variables()
    shapes = [tuple(v.shape) for v in made.trainable_variables]
    assert shapes == [(1, 100), (100,), (100, 1), (1,)]
    weight1, _, weight2, _ = (v.numpy() for v in made.trainable_variables)
    assert 0.9 < np.abs(weight1).max() <= 1.0
    assert 0.08 < np.abs(weight2).max() <= 0.1


def test_loss_and_weights(learner):
    logits, labels = data()
    v, _, expected = by_numpy(learner, logits, labels)
    theta = learner.parameters(None)
    found = learner.loss(tf.constant(logits), tf.constant(labels), theta)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    onehot = tf.constant(np.eye(4)[labels])
    np.testing.assert_allclose(learner.loss(tf.constant(logits), onehot, theta), expected, rtol=1e-10)
    weights = v * 6 / v.sum() if learner.normalize else v
    np.testing.assert_allclose(
        learner.example_weights(tf.constant(logits), tf.constant(labels), theta), weights, rtol=1e-5
    )


def test_the_loss_that_enters_psi_is_detached(learner):
    logits, labels = data()
    v, _, _ = by_numpy(learner, logits, labels)
    tensor = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = learner.loss(tensor, tf.constant(labels), learner.parameters(None))
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    share = v / v.sum() if learner.normalize else v / 6
    np.testing.assert_allclose(tape.gradient(loss, tensor), share[:, None] * (softmax - np.eye(4)[labels]), rtol=1e-9)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_update_is_one_optimizer_step_with_weight_decay(learner, name):
    optimizers = {"sgd": keras.optimizers.SGD(0.3), "adam": keras.optimizers.Adam(0.3)}
    learner.compile(optimizers[name])
    before = [v.numpy() for v in learner.trainable_variables]
    gradient = [np.random.default_rng(k).normal(size=b.shape) for k, b in enumerate(before)]
    theta = learner.update(learner.parameters(None), [tf.constant(g) for g in gradient])
    for new, old, g in zip(theta, before, gradient, strict=True):
        total = g + 0.01 * old
        # Adam's first step: m / (sqrt(v) + epsilon) with both corrections is g / (|g| + epsilon).
        step = total if name == "sgd" else total / (np.abs(total) + 1e-7)
        # Keras computes Adam's corrections in float32.
        np.testing.assert_allclose(new, old - 0.3 * step, rtol=0, atol=3e-5)
    for new, variable in zip(theta, learner.trainable_variables, strict=True):
        np.testing.assert_array_equal(new, variable.numpy())


def test_no_weight_left_gives_no_loss_and_no_nan():
    made = learners.MWNet(hidden=3, dtype="float64")
    made.create_variables()
    theta = [tf.zeros_like(t) for t in made.parameters(None)]
    theta[3] = tf.constant([-1e4], tf.float64)  # sigmoid gives exactly 0
    logits, labels = data()
    assert float(made.loss(tf.constant(logits), tf.constant(labels), theta)) == 0.0
    np.testing.assert_array_equal(made.example_weights(tf.constant(logits), tf.constant(labels), theta), np.zeros(6))


def test_cross_entropy_has_no_parameters():
    made = learners.CrossEntropy()
    made.create_variables()
    logits, labels = data()
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    np.testing.assert_allclose(made.loss(tf.constant(logits), tf.constant(labels), []), losses.mean())
    assert made.parameters(None) == []
    assert not made.variables


def test_l2r_cuts_and_normalises():
    made = learners.L2R(dtype="float64")
    made.create_variables()
    logits, labels = data()
    (start,) = made.parameters((tf.zeros([6, 2, 2, 1]), labels))
    np.testing.assert_array_equal(start, np.zeros(6))
    assert float(made.loss(tf.constant(logits), tf.constant(labels), [start])) == 0.0
    gradient = np.array([0.5, -1.0, 0.0, -3.0, 2.0, -4.0])
    (weights,) = made.update([start], [tf.constant(gradient)])
    np.testing.assert_allclose(weights, [0, 1 / 8, 0, 3 / 8, 0, 4 / 8])
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(6), labels]
    found = made.loss(tf.constant(logits), tf.constant(labels), [weights])
    np.testing.assert_allclose(found, (weights.numpy() * losses).sum())
    np.testing.assert_allclose(made.example_weights(None, None, [weights]), 6 * weights.numpy(), rtol=1e-6)
    (none,) = made.update([start], [tf.constant(np.abs(gradient))])
    np.testing.assert_array_equal(none, np.zeros(6))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mlc_corrects_logits_clamps_and_normalises_columns(reduction):
    made = learners.MLC(4, reduction=reduction, dtype="float64")
    made.create_variables()
    made.compile(keras.optimizers.SGD(0.5, momentum=0.9))
    logits, labels = data()
    (start,) = made.parameters(None)
    np.testing.assert_array_equal(start, np.eye(4))
    rng = np.random.default_rng(4)
    gradient = 0.7 * rng.normal(size=(4, 4))
    gradient[:, 2] = 9.0  # leaves no positive entry in this column
    (matrix,) = made.update([start], [tf.constant(gradient)])
    expected = np.maximum(np.eye(4) - 0.5 * gradient, 0)
    sums = expected.sum(0)
    assert sums[2] == 0 and (np.delete(sums, 2) > 0).all()
    expected = expected / np.where(sums > 0, sums, 1)
    np.testing.assert_allclose(matrix, expected)
    z = logits @ expected
    losses = np.log(np.exp(z).sum(1)) - z[np.arange(6), labels]
    found = made.loss(tf.constant(logits), tf.constant(labels), [matrix])
    np.testing.assert_allclose(found, losses.sum() if reduction == "sum" else losses.mean())
    np.testing.assert_array_equal(made.example_weights(logits, labels, [matrix]), np.ones(6))


def test_mlc_refuses_another_reduction():
    with pytest.raises(errors.InputError, match=r"reduction='max'\): expected 'mean' or 'sum'"):
        learners.MLC(3, reduction="max")


@pytest.mark.parametrize("made", [lambda: learners.L2R(), lambda: learners.MLC(4, 0.25, "sum")])
def test_learners_rebuild_from_their_config(made):
    made = made()
    again = type(made).from_config(made.get_config())
    assert again.get_config() == made.get_config()


def test_class_aware_weights_are_those_of_the_family_of_the_class_size():
    made = learners.CMWNet([500, 480, 20, 30, 100, 0], families=3, hidden=5, dtype="float64")
    np.testing.assert_array_equal(made.family_of_class, [2, 2, 0, 0, 1, 0])
    made.create_variables()
    weight1, bias1, weight2, bias2 = (v.numpy() for v in made.trainable_variables)
    assert weight2.shape == (5, 3) and bias2.shape == (3,)
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(6, 6)) * 2, np.array([0, 1, 2, 3, 4, 5])
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(6), labels]
    values = 1 / (1 + np.exp(-(np.maximum(losses[:, None] @ weight1 + bias1, 0) @ weight2 + bias2)))
    expected = values[np.arange(6), [2, 2, 0, 0, 1, 0]]
    theta = made.parameters(None)
    found = made.loss(tf.constant(logits), tf.constant(labels), theta)
    np.testing.assert_allclose(found, np.average(losses, weights=expected), rtol=1e-10)
    mixed = tf.constant(np.eye(6)[labels] * 0.5 + np.eye(6)[labels[::-1]] * 0.5)
    shares = made.weigh_examples(tf.constant(logits), mixed, theta)
    soft = ((np.log(np.exp(logits).sum(1))[:, None] - logits) * mixed.numpy()).sum(1)
    values = 1 / (1 + np.exp(-(np.maximum(soft[:, None] @ weight1 + bias1, 0) @ weight2 + bias2)))
    families = np.array([2, 2, 0, 0, 1, 0])
    np.testing.assert_allclose(shares, (values[np.arange(6), families] + values[np.arange(6), families[::-1]]) / 2)


def test_one_family_is_mw_net():
    one, other = learners.CMWNet([5, 5, 5], hidden=5, seed=3), learners.MWNet(hidden=5, seed=3)
    assert one.outputs == 1
    logits, labels = tf.random.stateless_normal([4, 3], [1, 2]), tf.constant([0, 1, 2, 2])
    for made in (one, other):
        made.create_variables()
    expected = other.loss(logits, labels, other.parameters(None))
    assert one.loss(logits, labels, one.parameters(None)) == expected


@pytest.mark.parametrize(
    ("sizes", "families"),
    [
        ([], 3),
        ([3, -1], 3),
        ([3, 4], 0),
        ([3, 4], True),
        ([1.5, 2], 3),
        ([float("nan"), 1], 3),
        ([float("inf"), 1], 3),
        ("abc", 3),
    ],
)
def test_class_sizes_that_are_none_are_refused(sizes, families):
    with pytest.raises(errors.InputError, match="expected"):
        learners.CMWNet(sizes, families)


def test_soft_labels_are_mixed_with_the_running_predictions():
    made = learners.SoftLabels(5, 3, momentum=0.5, hidden=4)
    made.create_variables()
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 3)).astype(np.float32)
    index, labels = tf.constant([4, 0, 2, -1], tf.int64), np.array([0, 1, 2, 1])
    predictions = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    for step in range(2):
        made.remember(index, None, tf.constant(logits[step]), None)
    mean = (predictions[0] * 0.5 + predictions[1]) / 1.5
    log_p = np.log(predictions[2])
    given = -log_p[np.arange(4), labels]
    weight1, bias1, weight2, bias2 = (v.numpy() for v in made.trainable_variables)
    share = 1 / (1 + np.exp(-(np.maximum(given[:, None] @ weight1 + bias1, 0) @ weight2 + bias2)[:, 0]))
    share[3] = 1  # nobody knows which example it is
    theta = made.parameters(batches.Batch(None, None, index))
    shares = made.weigh_examples(tf.constant(logits[2]), tf.constant(labels), theta)
    np.testing.assert_allclose(shares, share, rtol=1e-5)
    targets = share[:, None] * np.eye(3)[labels] + (1 - share[:, None]) * mean
    expected = -(targets * log_p).sum(1).mean()
    np.testing.assert_allclose(made.loss(tf.constant(logits[2]), tf.constant(labels), theta), expected, rtol=1e-5)
    unseen = made.parameters(batches.Batch(None, None, tf.constant([1, 1, 3, 3], tf.int64)))
    np.testing.assert_allclose(made.loss(tf.constant(logits[2]), tf.constant(labels), unseen), given.mean(), rtol=1e-5)
    made.compile(keras.optimizers.SGD(1.0))
    gradient = [tf.ones_like(part) for part in theta]
    for number, (new, old) in enumerate(zip(made.update(theta, gradient), theta, strict=True)):
        np.testing.assert_allclose(new, old - (1.0 if number < 4 else 0.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [((5, 0), {}), ((5, 3.0), {}), ((5, "3"), {}), ((0, 3), {}), ((5, 3), {"normalize": True})],
)
def test_soft_labels_of_no_classes_are_refused(sizes, options):
    with pytest.raises(errors.InputError, match="expected"):
        learners.SoftLabels(*sizes, **options)


def test_soft_labels_have_no_other_loss():
    with pytest.raises(errors.InputError, match="expected None"):
        learners.SoftLabels(5, 3, loss=lambda labels, logits, step: logits)
