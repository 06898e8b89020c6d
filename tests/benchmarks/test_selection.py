"""Figures of scores that are made up, against loops and scikit-learn; the command; its picture."""

import itertools
import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from sklearn import metrics

import famus_tf
from benchmarks import selection, selection_picture, selection_sampler
from famus_tf.meta import repeatability


def test_auc_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (40, 3)).astype(float)
    is_right = rng.random(40) < 0.6
    expected = [metrics.roc_auc_score(is_right, column) for column in scores.T]
    np.testing.assert_allclose(selection.auc(scores, is_right), expected)
    assert np.isnan(selection.auc(scores, np.ones(40, bool))).all()


def test_rank_correlation():
    rng = np.random.default_rng(1)
    one, other = rng.random(9), rng.random(9)
    assert selection.rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert selection.rank_correlation(one, np.ones(9)) is None


def test_figures_of_sets_of_layers():
    """Layer 0 knows the truth, layer 1 repeats an offset of each class, layer 2 is noise and large."""
    rng = np.random.default_rng(2)
    batches, n = 6, 80
    is_right = rng.random((batches, n)) < 0.5
    labels = rng.integers(0, 4, (batches, n))
    truth, offset = np.where(is_right, 1.0, -1.0), 2.0 * (labels - 1.5)
    columns = [truth, offset, np.zeros_like(truth)]
    noise = [0.5, 0.1, 5.0]
    first, second = (
        np.stack([c + s * rng.normal(size=c.shape) for c, s in zip(columns, noise, strict=True)], axis=-1)
        for _ in range(2)
    )
    measured = selection.Measured(first, second, labels, is_right)
    found = measured.figures(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]], bool))
    assert found["auc"][0] > 0.99 and abs(found["auc"][1] - 0.5) < 0.1 and found["auc"][3] < 0.75
    assert found["repeatability"][0] == pytest.approx(0.8, abs=0.05) and found["repeatability"][1] > 0.99
    assert found["repeatability_per_class"][1] < 0.2 < 0.7 < found["repeatability_per_class"][0]
    np.testing.assert_allclose(found["product"][:3], (first + second).mean((0, 1)))
    assert sum(measured.shares()) == pytest.approx(1.0) and np.argmax(measured.shares()) == 2
    unknown = selection.Measured(first, second, labels, None).figures(np.eye(3, dtype=bool))
    assert unknown["auc"] is None and unknown["repeatability_theta"] is None


def test_theta_of_a_layer_repeats_as_its_halves_point_the_same_way():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 4, 30, 2))
    second[..., 0] = first[..., 0]
    gradients = rng.normal(size=(4, 30, 5))
    measured = selection.Measured(first, second, np.zeros((4, 30), int), None, gradients)
    found = measured.figures(np.array([[1, 0], [0, 1], [1, 1]], bool))["repeatability_theta"]
    one, other = np.zeros((2, 4, 5))
    for batch, example in itertools.product(range(4), range(30)):
        one[batch] += first[batch, example, 1] * gradients[batch, example]
        other[batch] += second[batch, example, 1] * gradients[batch, example]
    by_hand = 2.0 * sum(a @ b for a, b in zip(one, other, strict=True)) / (np.sum(one**2) + np.sum(other**2))
    assert found[0] == pytest.approx(1.0) and found[1] == pytest.approx(by_hand) and found[1] < found[2] < 1.0


def test_the_gradient_of_theta_is_that_of_the_meta_step():
    """The layers' scores times the weights' gradients, against d/dtheta of <the training gradient, u>."""
    rng = np.random.default_rng(5)
    keras.utils.set_random_seed(5)
    inputs = keras.Input((6,))
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(8, activation="tanh")(inputs)))
    method = famus_tf.FaMUS(network, famus_tf.MWNet(), famus_tf.AllLayers())
    method.compile(optimizer=keras.optimizers.SGD(0.1))
    images, meta_images = (tf.constant(rng.normal(size=(n, 6)), tf.float32) for n in (10, 8))
    labels, meta_labels = (tf.constant(rng.integers(0, 3, n)) for n in (10, 8))
    dataset = types.SimpleNamespace(train_labels=labels.numpy(), train_true_labels=None)
    batches = [((images, labels, tf.range(10)), (meta_images, meta_labels))]
    measured = selection.make_measure(method, dataset, batches)()
    found = sum(half.sum(-1) for half in measured._halves)[0] @ measured._weight_gradients[0]
    variables, learner = method.network.trainable_variables, method.meta_learner
    theta = learner.parameters(None)
    with tf.GradientTape() as tape:
        u = tape.gradient(method.validation_loss(meta_labels, method.network(meta_images)), variables)
    with tf.GradientTape() as outer:
        outer.watch(theta)
        with tf.GradientTape() as inner:
            logits = method.network(images)
            loss = tf.reduce_sum(learner.example_weights(logits, labels, theta) * learner.losses(logits, labels))
        product = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(inner.gradient(loss, variables), u, strict=True)])
    expected = np.concatenate([part.numpy().ravel() for part in outer.gradient(product, theta)])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_the_sampler_learns_the_set_that_repeats_best_for_its_cost():
    """Against all sets of six layers."""
    rng = np.random.default_rng(4)
    for price in (0.0, 0.3):
        parts = rng.normal(size=(3, 200, 6))
        first, second = (parts[0] + scale * part for scale, part in zip((1.0, 1.0), parts[1:], strict=True))
        between, within = repeatability.moments(tf.constant(first), tf.constant(second), tf.ones([200, 1], tf.float64))
        costs = np.linspace(1.0, 0.1, 6)
        chosen = selection_sampler.learnt(between, within, costs, price)

        def worth(r, b, w, costs, price):
            r = np.asarray(r, float)
            return r @ b @ r / (r @ w @ r) - price * costs[r > 0].max()

        numbers = between.numpy(), within.numpy(), costs, price
        values = sorted(worth(r, *numbers) for r in itertools.product((0, 1), repeat=6) if any(r))
        assert worth(chosen, *numbers) >= values[-4]


SMALL = ("--train_limit=64", "--epochs=2", "--batch_size=16", "--meta_batch_size=8", "--meta_per_class=1")


def test_the_command(tmp_path, capsys):
    files = f"--json={tmp_path / 'out.json'}", f"--plot={tmp_path / 'out.png'}"
    assert selection.main(["digits", *SMALL, "--at=1,2", "--batches=2", *files]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert [pause["step"] for pause in found["pauses"]] == [4, 8] and len(found["layers"]) == 17
    last = found["pauses"][-1]
    for name in ("auc", "repeatability", "repeatability_per_class", "repeatability_theta", "product", "share"):
        assert len(last["layers"][name]) == 17 and np.isfinite(last["layers"][name]).all()
    assert last["segments"]["segment"] == sorted({layer["segment"] for layer in found["layers"]})
    assert last["sets"]["all layers"]["product"] == pytest.approx(sum(last["layers"]["product"]), rel=1e-4)
    parts = last["sampler_gradient"]
    assert all(value > 0 for of_one in parts.values() for value in of_one.values())
    assert parts["paper"]["L_r"] == parts["scale_free"]["L_r"] and 0.5 <= parts["scale_free"]["L_c"] <= 0.5 * 17**0.5
    assert (tmp_path / "out.png").stat().st_size > 10_000
    assert "| best by the truth" in capsys.readouterr().out


def test_a_picture_without_truth_has_no_auc(tmp_path):
    layers = [{"name": f"layer{number}"} for number in range(90)]
    values = {"auc": None, "repeatability": [0.1] * 90, "repeatability_per_class": [0.0] * 90}
    results = {"layers": layers, "pauses": [{"epoch": 3, "layers": values}]}
    selection_picture.draw(tmp_path / "out.png", results, "nobody knows")
    assert (tmp_path / "out.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--at=0", "positive whole numbers"),
        ("--batches=0", "positive whole numbers"),
        ("--method=cross_entropy", "a meta step"),
        ("--at=41", "at most the 40 epochs"),
    ],
)
def test_mistakes_are_one_sentence(capsys, argument, said):
    assert selection.main(["digits", argument]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("selection")]
    assert said in line
