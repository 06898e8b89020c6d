"""Co-teaching and JoCoR against NumPy, and what they are where nothing is left out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.methods import two_networks
from famus_tf.methods.baselines import co_teaching, jocor
from famus_tf.training import step as steps
from tests import small_networks

N, CLASSES = 10, 3
_LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], np.int32)


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def _cross_entropies(logits):
    return -np.log(_softmax(logits))[np.arange(N), _LABELS]


def _logits(seed=0):
    return np.random.default_rng(seed).normal(size=(2, N, CLASSES)) * 2


def _smallest(losses, kept):
    return np.isin(np.arange(N), np.argsort(losses, kind="stable")[:kept])


@pytest.mark.parametrize(("rate", "kept"), [(0.0, 10), (0.25, 7), (0.4, 6), (0.9, 1), (0.999, 1)])
def test_the_smallest_losses_share_the_weight(rate, kept):
    losses = np.random.default_rng(1).uniform(size=N)
    found = two_networks.small_loss_weights(tf.constant(losses), tf.constant(rate, tf.float64)).numpy()
    np.testing.assert_array_equal(found, _smallest(losses, kept) * (N / kept))
    assert found.sum() == pytest.approx(N)


def test_equal_losses_and_what_is_no_number():
    rate = tf.constant(0.5, tf.float64)
    found = two_networks.small_loss_weights(tf.ones(4), rate)
    np.testing.assert_array_equal(found, [2, 2, 0, 0])
    found = two_networks.small_loss_weights(tf.constant([np.nan, 3.0, np.inf, 2.0]), rate)
    np.testing.assert_array_equal(found, [0, 2, 0, 2])


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_the_number_kept_is_exact(rate):
    """int((1 - 0.9) 10) would be 0, and int((1 - 0.7) 10) is 3 by luck."""
    found = two_networks.small_loss_weights(tf.range(10.0), tf.constant(rate, tf.float64)).numpy()
    assert (found > 0).sum() == round((1 - rate) * 10)


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [(4, [0, 0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6]), (1, [0.6] * 10), (2, [0, 0] + [0.6] * 8)],
)
def test_the_forget_rate_rises_by_the_epoch(ramp, expected):
    rate = two_networks.ForgetRate(0.6, ramp, steps_per_epoch=2)
    np.testing.assert_allclose([rate(tf.constant(step, tf.int64)) for step in range(10)], expected, atol=1e-12)


def _networks(batch_norm=False, dtype="float64"):
    made = []
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        made.append(small_networks.dense(dtype, batch_norm))
    return made


def _batch(seed=0, dtype=np.float64):
    images = np.random.default_rng(seed).normal(size=(N, 4)).astype(dtype)
    return tf.constant(images), tf.constant(_LABELS), tf.range(N, dtype=tf.int64)


def test_co_teaching_takes_the_others_examples():
    """The objective and its gradient by the logits, by hand."""
    logits, rate, kept = _logits(), tf.constant(0.4, tf.float64), 6
    method = co_teaching.CoTeaching(_networks())
    variables = [tf.Variable(part) for part in logits]
    with tf.GradientTape() as tape:
        loss, weights = method.objective(tf.constant(_LABELS), *variables, rate)
    losses = [_cross_entropies(part) for part in logits]
    chosen = [_smallest(each, kept) for each in losses]
    assert (chosen[0] != chosen[1]).any()
    expected = losses[0][chosen[1]].mean() + losses[1][chosen[0]].mean()
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(weights, (1.0 * chosen[0] + chosen[1]) / 2 * N / kept)
    for own, gradient in enumerate(tape.gradient(loss, variables)):
        by_hand = (_softmax(logits[own]) - np.eye(CLASSES)[_LABELS]) * chosen[1 - own][:, None] / kept
        np.testing.assert_allclose(gradient, by_hand, atol=1e-14)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_jocor_against_its_equation(weight):
    """j, what is chosen by it, and the gradient through both sides of both divergences by finite differences."""
    logits, kept = _logits(3), 7

    def objective(parts):
        p, q = (_softmax(part) for part in parts)
        divergence = (p * np.log(p / q)).sum(1) + (q * np.log(q / p)).sum(1)
        joint = (1 - weight) * (_cross_entropies(parts[0]) + _cross_entropies(parts[1])) + weight * divergence
        return joint, joint[_smallest(joint, kept)].mean()

    method = jocor.JoCoR(_networks(), joint_weight=weight)
    variables = [tf.Variable(part) for part in logits]
    with tf.GradientTape() as tape:
        loss, weights = method.objective(tf.constant(_LABELS), *variables, tf.constant(0.3, tf.float64))
    joint, expected = objective(logits)
    np.testing.assert_allclose(jocor.joint_losses(tf.constant(_LABELS), *variables, weight), joint, rtol=1e-10)
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(weights, _smallest(joint, kept) * N / kept)
    found = np.stack(tape.gradient(loss, variables))
    for place in [(0, 0, 0), (1, 4, 2), (0, 9, 1), (1, 2, 1), (0, 6, 2)]:
        step = np.zeros_like(logits)
        step[place] = 1e-6
        by_hand = (objective(logits + step)[1] - objective(logits - step)[1]) / 2e-6
        assert found[place] == pytest.approx(by_hand, abs=1e-8)


def test_equal_networks_agree_and_swapped_networks_swap_their_gradients():
    one, other = _logits()
    rate, labels = tf.constant(0.2, tf.float64), tf.constant(_LABELS)
    method = jocor.JoCoR(_networks(), joint_weight=1.0)
    same = [tf.Variable(one), tf.Variable(one)]
    with tf.GradientTape() as tape:
        loss, _ = method.objective(labels, *same, rate)
    assert float(loss) == 0.0
    for gradient in tape.gradient(loss, same):
        np.testing.assert_allclose(gradient, 0, atol=1e-15)
    method = jocor.JoCoR(_networks(), joint_weight=0.6)
    gradients = []
    for parts in ((one, other), (other, one)):
        variables = [tf.Variable(part) for part in parts]
        with tf.GradientTape() as tape:
            loss, _ = method.objective(labels, *variables, rate)
        gradients.append(tape.gradient(loss, variables))
    np.testing.assert_array_equal(gradients[0][0], gradients[1][1])
    np.testing.assert_array_equal(gradients[0][1], gradients[1][0])


def _cross_entropy(network):
    method = famus_tf.FaMUS(network, famus_tf.CrossEntropy(), weight_decay=1e-3)
    method.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    return method


@pytest.mark.filterwarnings("ignore:network")
@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda networks: co_teaching.CoTeaching(networks, weight_decay=1e-3),
        lambda networks: jocor.JoCoR(networks, weight_decay=1e-3, joint_weight=0.0),
    ],
    ids=["co_teaching", "jocor"],
)
def test_with_nothing_left_out_they_are_two_cross_entropy_trainings_to_the_bit(make, in_graph):
    method = make(_networks(batch_norm=True, dtype="float32"))
    method.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    alone = [_cross_entropy(network) for network in _networks(batch_norm=True, dtype="float32")]
    take = [one.step for one in (method, *alone)]
    if in_graph:
        strategy = tf.distribute.get_strategy()
        compiled = [steps.compile_step(strategy, one) for one in (method, *alone)]
        take = [lambda batch, step=step: step(batch, None) for step in compiled]
    for number in range(5):
        batch = _batch(number, np.float32)
        for step in take:
            step(batch) if in_graph else step(batch, with_meta=False)
    for pair, one in zip(method.networks, alone, strict=True):
        for found, expected in zip(pair.variables, one.network.variables, strict=True):
            np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=found.path)
    first, second = (network.trainable_variables[0].numpy() for network in method.networks)
    assert np.abs(first - second).max() > 0.1


def test_a_batch_of_the_wrong_labels_is_left_out():
    """On a problem that one network learns, a batch's wrong labels have no weight when it is learned."""
    method = co_teaching.CoTeaching(_networks(dtype="float32"), two_networks.ForgetRate(0.3, 3, 20))
    method.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    step = tf.function(method.step, autograph=False)
    rng = np.random.default_rng(0)
    trusted = []
    for number in range(300):
        right = rng.integers(0, CLASSES, 30)
        images = rng.normal(size=(30, 4)) * 0.3 + np.eye(CLASSES, 4)[right]
        labels = right.copy()
        labels[:9] = (labels[:9] + 1) % CLASSES
        batch = tf.constant(images, tf.float32), tf.constant(labels, tf.int32), tf.range(30, dtype=tf.int64)
        weight = step(batch)["example_weight"].numpy()
        if number >= 200:
            trusted.append([weight[:9].mean(), weight[9:].mean()])
    wrong, right = np.mean(trusted, axis=0)
    assert wrong < 0.2 and right == pytest.approx((30 - 9 * wrong) / 21, rel=1e-4)


def test_it_is_a_keras_model_too():
    """`fit`, `evaluate` and calls."""
    method = jocor.JoCoR(_networks(dtype="float32"), two_networks.ForgetRate(0.2, 2, 5))
    method.compile(keras.optimizers.SGD(0.1), metrics=["accuracy"])
    images, labels, _ = _batch(0, np.float32)
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(10)
    history = method.fit(batches, epochs=2, steps_per_epoch=5, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    np.testing.assert_allclose(history["kept_share"], [1.0, 0.8], rtol=1e-6)
    mean = sum(network(images) for network in method.networks) / 2
    np.testing.assert_allclose(method(images), mean, rtol=1e-6)
    found = method.evaluate(images, labels, verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx(np.mean(np.argmax(mean, 1) == _LABELS))
    assert set(found) == {"loss", "accuracy"}
