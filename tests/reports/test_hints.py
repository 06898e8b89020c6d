"""What is said of trainings that go wrong, and that nothing is said of those that do not."""

import types

import numpy as np
import pytest

from famus_tf.reports import hints

pytestmark = pytest.mark.quick
WEIGHTS = np.array([0.2, 1.8, np.nan, 1.0])


def epochs(count=6, **columns):
    """So many epochs, with these values of each: a list, or one for all."""
    rows = [{"epoch": number + 1} for number in range(count)]
    for name, values in columns.items():
        for number, row in enumerate(rows):
            row[name] = values[number] if isinstance(values, list) else values
    return rows


HEALTHY = {
    "meta_loss": [2.0, 1.5, 1.2, 1.0, 0.9, 0.8],
    "selected_layers": 1.4,
    "accuracy": [0.3, 0.4, 0.5, 0.6, 0.65, 0.7],
    "validation_accuracy": [0.3, 0.4, 0.5, 0.6, 0.61, 0.605],
}


def test_nothing_is_said_of_a_healthy_run():
    history = epochs(**HEALTHY)
    assert all(hints.of(history[:count], WEIGHTS) == {} for count in range(7))
    plain = {name: HEALTHY[name] for name in ("accuracy", "validation_accuracy")}
    assert hints.of(epochs(**plain), np.ones(4)) == {}  # without a meta step all weights are 1


@pytest.mark.parametrize("weights", [np.ones(5), np.array([1.0, 1.004, np.nan]), np.zeros(3)])
def test_weights_all_alike(weights):
    found = hints.of(epochs(**HEALTHY), weights)
    assert list(found) == ["weights"] and "all examples have about the same weight" in found["weights"]
    assert hints.of(epochs(**HEALTHY), weights, trusted=False) == {}
    assert hints.of(epochs(**HEALTHY), np.full(4, np.nan)) == {}


def test_nothing_selected():
    found = hints.of(epochs(**HEALTHY | {"selected_layers": 0.01}), WEIGHTS)
    assert list(found) == ["selection"] and "0.01 of a step" in found["selection"]


FALLING = {"validation_accuracy": [0.3, 0.6, 0.58, 0.57, 0.56, 0.55]}


def test_memorising():
    found = hints.of(epochs(**HEALTHY | FALLING | {"meta_loss": 1.0}), WEIGHTS)
    assert list(found) == ["memorising"]
    assert "fallen from 60.0% in epoch 2 to 55.0% while that on the training set rises" in found["memorising"]
    assert "the weights of epoch 2 are kept" in found["memorising"]


def test_overfitting_to_the_trusted_set():
    found = hints.of(epochs(**HEALTHY | FALLING), WEIGHTS)
    assert list(found) == ["trusted"] and "overfits to the trusted set" in found["trusted"]


def test_a_short_fall_is_none():
    """Of two epochs, or of one point."""
    assert hints.of(epochs(**HEALTHY | {"validation_accuracy": [0.3, 0.4, 0.5, 0.6, 0.5, 0.5]}), WEIGHTS) == {}
    assert hints.of(epochs(**HEALTHY | {"validation_accuracy": [0.3, 0.6, 0.59, 0.59, 0.59, 0.59]}), WEIGHTS) == {}


def test_each_is_said_once_and_of_each_network():
    said = []
    first = types.SimpleNamespace(history=epochs(**HEALTHY), example_weight=np.ones(4))
    second = types.SimpleNamespace(history=epochs(**HEALTHY), example_weight=WEIGHTS)
    callback = hints.Hints([(first, "network1"), (second, "network2")], said.extend)
    callback.on_epoch_end(5)
    callback.on_epoch_end(6)
    assert len(said) == 1 and said[0].startswith("hint: network1: all examples")
    second.example_weight = np.ones(4)
    callback.on_epoch_end(7)
    assert len(said) == 2 and said[1].startswith("hint: network2: ")
