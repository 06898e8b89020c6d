"""The warm-up against its formula, alone and in front of another schedule."""

import keras
import numpy as np
import pytest

from famus_tf import learning_rates


@pytest.mark.parametrize(
    ("rate", "later"),
    [
        (0.2, lambda step: 0.2),
        (keras.optimizers.schedules.PiecewiseConstantDecay([6], [0.2, 0.02]), lambda step: 0.2 if step <= 6 else 0.02),
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
