"""cRT and the tau-normalised classifier, against NumPy."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config import config
from famus_tf.experiment import build_data, build_run
from famus_tf.methods import class_draws
from famus_tf.methods.baselines import crt, tau_norm
from famus_tf.networks import ends, parts
from tests import small_networks

_RNG = np.random.default_rng(0)


def _network():
    return small_networks.shaken(small_networks.convolutions(True, dropout=0))


def _images(count=24):
    return _RNG.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8), _RNG.integers(0, 10, count)


def test_crt_moves_the_classifier_alone_by_the_gradient_of_its_own_loss():
    network = _network()
    method = crt.CRT(network, weight_decay=0.1)
    method.compile(optimizer=keras.optimizers.SGD(0.5))
    images, labels = _images()
    head = network.layers[-1]
    kernel, bias = head.get_weights()
    before = [variable.numpy() for variable in network.weights]
    features = parts.of(network).features(images, training=False).numpy().astype(float)
    logits = features @ kernel + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    error = p / p.sum(1, keepdims=True) - np.eye(10)[labels]
    method.step((tf.constant(images), tf.constant(labels)))
    np.testing.assert_allclose(head.kernel, kernel - 0.5 * (features.T @ error / 24 + 0.1 * kernel), atol=1e-5)
    np.testing.assert_allclose(head.bias, bias - 0.5 * (error.mean(0) + 0.1 * bias), atol=1e-5)
    of_head = {id(variable) for variable in head.weights}
    for variable, value in zip(network.weights, before, strict=True):  # BatchNorm's statistics too
        if id(variable) not in of_head:
            np.testing.assert_array_equal(variable, value)


def test_crt_draws_all_classes_alike():
    labels = np.repeat([0, 2, 3], [800, 150, 50])
    method = crt.CRT(_network(), seed=4)
    draw, second = method.draws(0, labels)
    again, _ = method.draws(0, labels)
    other, _ = method.draws(1, labels)
    assert second is None and len(draw.positions) == 1000
    np.testing.assert_array_equal(draw.positions, again.positions)
    assert (draw.positions != other.positions).any()
    found = np.bincount(labels[class_draws.balanced_positions(labels, 30_000, np.random.default_rng(0))], minlength=4)
    np.testing.assert_allclose(found / 30_000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.01)


def test_columns_are_brought_to_one_length():
    kernel = np.array([[3.0, 0.0, 1.0], [4.0, 0.0, 0.0]])
    np.testing.assert_allclose(tau_norm.scaled(kernel, 1.0), [[0.6, 0, 1], [0.8, 0, 0]])
    np.testing.assert_allclose(tau_norm.scaled(kernel, 0.0), kernel)
    np.testing.assert_allclose(tau_norm.scaled(kernel, 0.5)[:, 0], np.array([3, 4]) / np.sqrt(5))


def test_tau_is_the_smallest_with_the_best_balanced_accuracy():
    """Two classes, one with a long column, which takes the other's examples until tau is large enough."""
    kernel = np.array([[8.0, 0.0], [0.0, 1.0]])
    features = np.array([[1.0, 0.1]] * 6 + [[0.5, 1.2]])
    labels = np.array([0] * 6 + [1])

    def balanced(tau):
        said = (features @ (kernel / np.linalg.norm(kernel, axis=0) ** tau)).argmax(1) == labels
        return (said[:6].mean() + said[6]) / 2

    found = tau_norm.best(features, labels, kernel)
    assert found == next(tau for tau in tau_norm.TAUS if balanced(tau) == 1.0) and 0 < found < 1
    with_nan = np.concatenate([features, [[np.nan, 0.0]]])
    assert tau_norm.best(with_nan, np.append(labels, 0), kernel) == found


@pytest.mark.parametrize("tau", [None, 0.7])
def test_tau_norm_normalises_once_and_trains_nothing(tau):
    network = _network()
    method = tau_norm.TauNorm(network, tau, weight_decay=0.1)
    method.compile(optimizer=keras.optimizers.SGD(0.5, momentum=0.9))
    images, labels = _images(60)
    kernel = network.layers[-1].kernel.numpy()

    def trusted(features):
        return features(images, training=False).numpy(), labels

    look = types.SimpleNamespace(trusted=trusted)
    method.begin_epoch(0, look)
    used = tau_norm.best(*trusted(parts.of(network).features), kernel) if tau is None else tau
    np.testing.assert_allclose(network.layers[-1].kernel, tau_norm.scaled(kernel, used), rtol=1e-6)
    assert not network.layers[-1].bias.numpy().any()
    before = [variable.numpy() for variable in network.weights]
    for epoch in range(2):
        method.begin_epoch(1 + epoch, look)
        method.step((tf.constant(images), tf.constant(labels)))
    for variable, value in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "crt"}, r"^--method=crt without --init_from: expected the run directory of a trained network$"),
        (
            {"method": "tau_norm", "init_from": "run", "meta_per_class": 0},
            r"^--method=tau_norm with --meta_per_class=0, without --tau: expected one of them$",
        ),
        ({"init_from": "run", "report_folds": 3}, r"^--report_folds=3 with --init_from=run, whose network may have"),
        ({"init_from": "run", "network": "resnet50", "pretrained": "imagenet"}, r"^--init_from=run with --pretrained"),
        ({"randaugment_count": 3}, r"^--randaugment_count=3 with --strong_augment=none: expected --strong_augment"),
    ],
)
def test_what_does_not_go_together(values, message):
    with pytest.raises(errors.InputError, match=message):
        config.from_values({"epochs": 3} | values)


def test_tau_norm_of_a_cosine_classifier_is_refused():
    images = keras.Input((8, 8, 1))
    logits = ends.CosineClassifier(3, name="head")(keras.layers.Flatten()(images))
    with pytest.raises(errors.InputError, match="ends in CosineClassifier 'head': expected a Dense layer"):
        tau_norm.TauNorm(keras.Model(images, logits))


def test_the_classifier_is_drawn_anew_and_the_rest_is_kept(tmp_path):
    first = _network()
    first.save(tmp_path / "net.keras")
    values = {"dataset": "digits", "epochs": 1, "network": str(tmp_path / "net.keras"), "method": "crt"}
    settings = config.from_values(values | {"init_from": str(tmp_path / "net.keras"), "meta_per_class": 0})
    dataset = build_data.make_dataset(settings.data, 0)
    method = build_run.make_method(settings, build_run.make_supervision(settings, dataset))
    for found, expected in zip(method.network.layers, first.layers, strict=True):
        for one, other in zip(found.get_weights()[:1], expected.get_weights()[:1], strict=True):
            same = np.array_equal(one, other)
            assert same == (found is not method.network.layers[-1]), found.name
