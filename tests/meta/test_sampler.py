"""The batched samplers against one layer at a time in NumPy; selectors."""

import numpy as np
import pytest
import tensorflow as tf

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
