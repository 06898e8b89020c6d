"""A training that begins anew: weights, momenta, and the course of its rate."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from famus_tf.methods import restart
from famus_tf.training import learning_rates
from tests import small_networks


def test_it_takes_networks_and_momenta_back():
    networks = [small_networks.dense("float32", batch_norm=True) for _ in range(2)]
    optimizer = keras.optimizers.SGD(learning_rates.StepDecay(0.1, [3], 0.1), momentum=0.9)
    variables = [variable for network in networks for variable in network.trainable_variables]
    optimizer.build(variables)
    begin = restart.Restart(networks)
    before = [variable.numpy() for network in networks for variable in network.variables]
    networks[0](np.ones((4, 4), "float32"), training=True)  # moves BatchNorm's statistics
    for _ in range(2):
        optimizer.apply([tf.ones(variable.shape) for variable in variables], variables)
    begin(optimizer)
    after = [variable.numpy() for network in networks for variable in network.variables]
    for one, other in zip(after, before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(optimizer.iterations) == 2
    # Without momentum a step is the rate times the gradient.
    optimizer.apply([tf.ones(variable.shape) for variable in variables], variables)
    np.testing.assert_allclose(before[0] - variables[0].numpy(), 0.1, rtol=1e-4)


def test_forget_leaves_a_rate_that_is_a_number():
    variable = keras.Variable([1.0])
    optimizer = keras.optimizers.SGD(0.25, momentum=0.9)
    optimizer.build([variable])
    optimizer.apply([tf.ones([1])], [variable])
    restart.forget(optimizer)
    assert float(optimizer.learning_rate) == 0.25 and int(optimizer.iterations) == 1
    assert all(float(np.abs(slot.numpy()).max()) == 0 for slot in optimizer.variables if "momentum" in slot.path)


def test_each_round_takes_the_whole_course():
    course = keras.optimizers.schedules.CosineDecay(1.0, 100)
    rounds = restart.Rounds(course, [0, 20, 50], 100)
    for step, expected in ((0, 0), (10, 50), (19, 95), (20, 0), (35, 50), (50, 0), (75, 50), (99, 98)):
        assert float(rounds(tf.constant(step))) == pytest.approx(float(course(expected)), abs=1e-6)
    again = restart.Rounds.from_config(rounds.get_config())
    assert float(again(35)) == pytest.approx(float(course(50)), abs=1e-6)


def test_an_optimizer_gets_rounds_where_it_has_a_course():
    course = learning_rates.StepDecay(1.0, [50], 0.1)
    with_course, without = keras.optimizers.SGD(course), keras.optimizers.SGD(0.5)
    for optimizer in (with_course, without):
        restart.in_rounds(optimizer, [0, 40, 1000], 100)  # the last begins after the end
        optimizer.build([keras.Variable([1.0])])
    assert float(without.learning_rate) == 0.5
    rates = []
    for step in (0, 19, 20, 39, 40, 69, 70, 99):
        with_course.iterations.assign(step)
        rates.append(float(with_course.learning_rate))
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 1, 1, 0.1, 0.1])
    alone = keras.optimizers.SGD(course)
    restart.in_rounds(alone, [200], 100)
    assert isinstance(alone._learning_rate, learning_rates.StepDecay)
