"""Steps that are differentiated through, against finite differences in NumPy; the mixtures; the command."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special
from sklearn import discriminant_analysis

from benchmarks import horizon

RATE = 0.3


def by_hand(kernel, windows, meta, trust, freed):
    """Softmax regression in float64."""
    velocity = np.zeros_like(kernel)
    for (x, y), values in zip(windows, trust, strict=True):
        error = special.softmax(x @ kernel, axis=1) - np.eye(3)[y]
        if freed:
            error /= np.linalg.norm(error, axis=1, keepdims=True)
        velocity = 0.9 * velocity + x.T @ (error * (values / values.sum())[:, np.newaxis])
        kernel = kernel - RATE * velocity
    x, y = meta
    return -special.log_softmax(x @ kernel, axis=1)[np.arange(len(y)), y].mean()


@pytest.mark.parametrize("freed", [False, True])
def test_gradient_through_three_steps(freed):
    rng = np.random.default_rng(0)
    windows = [(rng.normal(size=(6, 4)), rng.integers(0, 3, 6)) for _ in range(3)]
    meta = rng.normal(size=(5, 4)), rng.integers(0, 3, 5)
    trust = rng.uniform(0.2, 1.0, (3, 6))
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    kernel = rng.normal(size=(4, 3))
    values = [tf.constant(one, tf.float32) for one in trust]
    as_tensors = [(tf.constant(x, tf.float32), tf.constant(y)) for x, y in (*windows, meta)]
    with tf.GradientTape() as tape:
        tape.watch(values)
        weights = [tf.constant(kernel, tf.float32)]
        loss = horizon.unrolled(network, weights, as_tensors[:-1], as_tensors[-1], values, RATE, freed)
    found = np.stack(tape.gradient(loss, values))
    assert float(loss) == pytest.approx(by_hand(kernel, windows, meta, trust, freed), rel=1e-5)
    if freed:  # the length of the error is no function of the weights there, so finite differences would not do
        assert np.isfinite(found).all() and np.abs(found).max() > 1e-4
        return
    for place in np.ndindex(trust.shape):
        moved = np.zeros_like(trust)
        moved[place] = 1e-6
        ends = [by_hand(kernel, windows, meta, trust + sign * moved, freed) for sign in (1, -1)]
        assert found[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3, abs=1e-5)


def test_mixtures():
    rng = np.random.default_rng(1)
    is_right = rng.random(2000) < 0.6
    rows = rng.normal(size=(2000, 3)) + np.outer(is_right, [1.0, 0.3, 0.0])
    rows[:, 1] += 0.5 * rows[:, 2]
    aucs, fisher = horizon.mixtures(rows, is_right)
    analysis = discriminant_analysis.LinearDiscriminantAnalysis().fit(rows, is_right)
    expected = analysis.coef_[0]
    assert (expected > 0).tolist() == [True, True, False]  # so the third is held at 0
    assert fisher[2] == 0.0 and fisher[0] / fisher[1] == pytest.approx(1.0 / 0.3 * 1.25, rel=0.3)
    assert aucs[-1] == max(aucs) and aucs[1] > aucs[2] > 0.5 and aucs[0] == horizon.auc_of(rows, np.ones(3), is_right)


SMALL = ("--train_limit=64", "--epochs=3", "--batch_size=16", "--meta_batch_size=8", "--windows=2", "--horizons=2")


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    assert horizon.main(["digits", *SMALL, "--at=3", f"--json={tmp_path / 'out.json'}"]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["inputs"] == ["score", "probability", "loss"]
    (pause,) = found["pauses"]
    assert sum(pause["probes_mixture"]) == pytest.approx(1.0) and 0 < pause["probes"] < 1
    assert np.ptp(pause["probes_mixture"]) > 1e-3  # there are probes, which say something
    assert pause["epoch"] == 3 and pause["rate"] > 0 and set(pause["alone"]) == set(found["inputs"])
    assert [row["freed"] for row in pause["horizons"]] == [False, True]
    for row in pause["horizons"]:
        assert np.isfinite(row["pull"]).all() and np.abs(row["pull"]).max() > 0
        assert row["moved"] != [1, 1, 1] and min(row["moved"]) >= 0 and 0 < row["auc"] < 1
    assert "pull over 2, freed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--at=x", "positive whole numbers"),
        ("--windows=1", "2 or more"),
        ("--method=mw_net", "expected --method=memory_weight_net"),
        ("--at=41", "at most the 40 epochs"),
    ],
)
def test_mistakes_are_one_sentence(capsys, argument, said):
    assert horizon.main(["digits", argument]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("horizon")]
    assert said in line
