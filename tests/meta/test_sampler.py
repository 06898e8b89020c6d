"""The batched samplers against one layer at a time in NumPy; selectors."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import layers, sampler, selectors

WIDTHS = [5, 3, 5, 8, 3]


def gated():
    return [
        layers.GatedLayer(f"layer{k}", (k,), ((),), width, segment, 1.0 - 0.1 * k)
        for k, (width, segment) in enumerate(zip(WIDTHS, [0, 0, 1, 2, 3], strict=True))
    ]


@pytest.fixture
def samplers():
    made = sampler.LayerSamplers(hidden=6, seed=4)
    made.create_variables(WIDTHS)
    rng = np.random.default_rng(0)
    for variable in made.trainable_variables:
        variable.assign(0.4 * rng.normal(size=variable.shape))
    return made


def descriptors():
    rng = np.random.default_rng(1)
    return [1e-3 * rng.normal(size=width).astype("float32") for width in WIDTHS]


def test_logits_are_those_of_one_network_for_each_layer(samplers):
    found = samplers.logits([tf.constant(x) for x in descriptors()])
    values = {v.path.split("/")[-1]: v.numpy() for v in samplers.trainable_variables}
    place = {width: [k for k, w in enumerate(WIDTHS) if w == width] for width in WIDTHS}
    for layer, x in enumerate(descriptors()):
        width = WIDTHS[layer]
        fc1, bias1, slope, fc2, bias2 = (
            values[f"{name}_{width}"][place[width].index(layer)] for name in ("fc1", "bias1", "slope", "fc2", "bias2")
        )
        hidden = ((x - x.mean()) / (x.std() + 1e-9)) @ fc1 + bias1[0]
        hidden = np.where(hidden > 0, hidden, slope[0] * hidden)
        np.testing.assert_allclose(found[layer], hidden @ fc2 + bias2[0], rtol=1e-4, atol=1e-4)


def test_every_sampler_starts_differently_and_within_glorots_limit():
    made = sampler.LayerSamplers(hidden=6, seed=4)
    made.create_variables(WIDTHS)
    stack = next(v for v in made.trainable_variables if "fc1_5" in v.path).numpy()
    assert stack.shape == (2, 5, 6)
    assert np.abs(stack[0] - stack[1]).max() > 0.1
    assert 0.5 * np.sqrt(6 / 11) < np.abs(stack).max() <= np.sqrt(6 / 11)


def test_gates_are_a_function_of_the_step(samplers):
    inputs = [tf.constant(x) for x in descriptors()]
    first, again, later = (samplers(inputs, tf.constant(step, tf.int64)).numpy() for step in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(np.unique([first, later])) <= {0.0, 1.0}
    many = np.stack([samplers(inputs, tf.constant(step, tf.int64)).numpy() for step in range(30)])
    assert len(np.unique(many, axis=0)) > 1


def test_lowest_segment():
    selector = selectors.GradientSampler(2, hidden=4)
    selector.create_variables(gated())
    for gates, expected in (([0, 0, 1, 0, 1], 1), ([0, 1, 0, 0, 0], 0), ([0, 0, 0, 0, 1], 3)):
        assert int(selector.lowest_segment(tf.constant(gates, tf.float32))) == expected
    assert int(selector.lowest_segment(tf.zeros([5]))) > 3
    everything = selectors.AllLayers()
    everything.create_variables(gated())
    np.testing.assert_array_equal(everything([tf.zeros([1])], tf.constant(0)), np.ones(5))
    assert everything.lowest_segment(None) == 0
    assert not everything.trainable_variables


def test_configuration_round_trip():
    selector = selectors.GradientSampler(3, hidden=9, temperature=2.0, seed=5)
    again = selectors.GradientSampler.from_config(selector.get_config())
    assert again.get_config() == selector.get_config()
    assert (again.expected_layers, again.samplers.hidden, again.samplers.temperature) == (3, 9, 2.0)


def test_scale_free_samplers_have_inputs_of_one_length(samplers):
    inputs = [tf.constant(x) for x in descriptors()]
    scaled = sampler.LayerSamplers(hidden=6, seed=4, size=4.0)
    scaled.create_variables(WIDTHS)
    for variable, value in zip(scaled.trainable_variables, samplers.trainable_variables, strict=True):
        variable.assign(value)
        if "fc1" in variable.path:
            variable.assign(value * variable.shape[1] ** 0.5 / 4.0)
    np.testing.assert_allclose(scaled.logits(inputs), samplers.logits(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [4, 30, 200])
def test_scale_free_samplers_begin_with_the_gates_that_are_expected(count):
    """About K of L, whatever the widths are; the paper's with half of them."""
    rng = np.random.default_rng(0)
    widths = [int(2 ** rng.integers(3, 11)) for _ in range(count)]
    gated = [layers.GatedLayer(f"layer{k}", (k,), ((),), width, k, 1.0 - k / count) for k, width in enumerate(widths)]
    inputs = [tf.constant(rng.normal(size=width), tf.float32) for width in widths]
    means = {}
    for objective in selectors.OBJECTIVES:
        selector = selectors.GradientSampler(3, objective=objective)
        selector.create_variables(gated)
        gates = np.array([selector(inputs, tf.constant(step, tf.int64)) for step in range(200)])
        means[objective] = gates.sum(axis=1).mean()
    assert abs(means["scale_free"] - 3) < 0.8
    assert abs(means["paper"] - count / 2) < max(1.0, count / 10)


def test_where_no_gate_is_on_the_nearest_is():
    made = sampler.LayerSamplers(hidden=6, seed=4, balanced=True)
    made.create_variables(WIDTHS)
    for stack in made._stacks:
        stack["bias2"].assign([[[4.0, 0.0]]] * stack["bias2"].shape[0])
    inputs = [tf.constant(x) for x in descriptors()]
    with tf.GradientTape() as tape:
        gates = made(inputs, tf.constant(3, tf.int64))
        total = tf.reduce_sum(gates)
    made.balanced = False
    empty = made(inputs, tf.constant(3, tf.int64))
    assert set(empty.numpy()) == {0.0} and gates.numpy().sum() == 1
    assert all(gradient is not None for gradient in tape.gradient(total, made.trainable_variables))


def test_the_loss_in_units_of_its_running_size():
    """Whatever the scale of the products is; the last steps count most."""
    rng = np.random.default_rng(3)
    products = rng.normal(size=(6, 5))
    found = {}
    for scale in (1.0, 1e-9):
        selector = selectors.GradientSampler(2)
        selector.create_variables(gated())
        found[scale] = np.array([selector.loss_gradient(tf.constant(scale * row)) for row in products])
    np.testing.assert_allclose(found[1e-9], found[1.0], rtol=1e-5)
    squares = (products**2).max(axis=1)
    for step, row in enumerate(products):
        size = np.sqrt(np.average(squares[: step + 1], weights=0.99 ** np.arange(step, -1, -1)))
        np.testing.assert_allclose(found[1.0][step], 0.5 * row / size, rtol=1e-5)
    nothing = selectors.GradientSampler(2)
    nothing.create_variables(gated())
    np.testing.assert_array_equal(nothing.loss_gradient(tf.zeros([5])), np.zeros(5))
    paper = selectors.GradientSampler(2, objective="paper")
    np.testing.assert_array_equal(paper.loss_gradient(tf.constant(products[0])), products[0])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_products_that_are_no_numbers_teach_nothing(broken):
    products = np.random.default_rng(3).normal(size=(4, 5))
    one, other = (selectors.GradientSampler(2) for _ in range(2))
    for selector in (one, other):
        selector.create_variables(gated())
    row = tf.constant([0.1, broken, 0.0, 1.0, 0.3], tf.float64)
    for number, good in enumerate(products):
        if number in (0, 2):
            np.testing.assert_array_equal(one.loss_gradient(row), np.zeros(5))
        np.testing.assert_array_equal(one.loss_gradient(tf.constant(good)), other.loss_gradient(tf.constant(good)))
    paper = selectors.GradientSampler(2, objective="paper")
    np.testing.assert_array_equal(paper.loss_gradient(row), np.zeros(5))


def test_an_objective_that_there_is_not():
    with pytest.raises(errors.InputError, match=r"objective='fixed': expected one of scale_free, paper"):
        selectors.GradientSampler(2, objective="fixed")
