"""The schedules against their formulas, alone and one in front of the other; what the flags make of them."""

import keras
import numpy as np
import pytest

from famus_tf.config import config
from famus_tf.experiment import build_optimizers
from famus_tf.training import learning_rates


@pytest.mark.parametrize(
    ("rate", "later"),
    [
        (0.2, lambda step: 0.2),
        (learning_rates.StepDecay(0.2, [6], 0.1), lambda step: 0.2 if step < 6 else 0.02),
    ],
)
def test_rises_and_then_is_as_it_would_be(rate, later):
    made = learning_rates.WarmUp(rate, 4)
    again = learning_rates.WarmUp.from_config(made.get_config())
    for step in range(10):
        expected = later(step) * min((step + 1) / 4, 1)
        np.testing.assert_allclose(made(step), expected, rtol=1e-6)
        np.testing.assert_allclose(again(step), expected, rtol=1e-6)


def test_an_optimizer_takes_it():
    optimizer = keras.optimizers.SGD(learning_rates.WarmUp(0.4, 2))
    weight = keras.Variable(1.0)
    optimizer.build([weight])
    for expected in (0.8, 0.4, 0.0):
        optimizer.apply([keras.ops.convert_to_tensor(1.0)], [weight])
        np.testing.assert_allclose(weight, expected, atol=1e-6)


def test_a_step_decays_at_its_boundary_and_not_after_it():
    made = learning_rates.StepDecay(0.1, [3, 5], 0.2)
    for schedule in (made, learning_rates.StepDecay.from_config(made.get_config())):
        found = [float(schedule(step)) for step in range(7)]
        np.testing.assert_allclose(found, [0.1, 0.1, 0.1, 0.02, 0.02, 0.004, 0.004], rtol=1e-6)


def rates_by_epoch(**flags):
    """alpha in each epoch of a run of Algorithm 2."""
    shared = {"algorithm": "co_divide", "meta_set": "pseudo_clean", "meta_per_class": 0, "meta_from_epoch": 1}
    made = config.from_values(shared | {"epochs": 8, "base_learning_rate": 0.8} | flags)
    return [build_optimizers.rate_of_epoch(made.optimization)(epoch) for epoch in range(8)]


def test_rates_by_epoch():
    found = rates_by_epoch(warmup_epochs=4, lr_schedule="constant")
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8], rtol=1e-6)
    found = rates_by_epoch(lr_boundaries=(2, 5), lr_decay=0.5)
    np.testing.assert_allclose(found, [0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2], rtol=1e-6)
    found = rates_by_epoch(lr_schedule="cosine")
    np.testing.assert_allclose(found, 0.4 * (1 + np.cos(np.pi * (np.arange(8) + 0.5) / 8)), rtol=1e-5)
    found = rates_by_epoch(warmup_epochs=2, lr_boundaries=(4,))
    np.testing.assert_allclose(found, [0.4, 0.8, 0.8, 0.8, 0.08, 0.08, 0.08, 0.08], rtol=1e-6)


@pytest.mark.parametrize(("length", "steps"), [({"epochs": 4}, 20), ({"train_steps": 80, "epochs": 0}, 2)])
def test_a_boundary_of_the_flags_is_the_first_step_with_the_new_rate(length, steps):
    flags = config.from_values({"lr_boundaries": (2,), "base_learning_rate": 0.5} | length).optimization
    schedule = build_optimizers.learning_rate(flags, 80, steps_per_epoch=10)
    np.testing.assert_allclose([float(schedule(t)) for t in (0, steps - 1, steps)], [0.5, 0.5, 0.05], rtol=1e-6)
