"""Which layers the selectors select, and how deep the passes must go for them."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import layers, segments, selectors
from tests import small_networks


@pytest.fixture(scope="module")
def gated():
    """Seven layers: conv1 | a, conv2 | b, conv3 | c | classifier."""
    return layers.find_gated_layers(segments.find_segments(small_networks.residual("float32")))


def built(selector, gated):
    selector.create_variables(gated)
    return selector


def test_all_layers(gated):
    selector = built(selectors.AllLayers(), gated)
    gates = selector(None, tf.constant(0))
    np.testing.assert_array_equal(gates, np.ones(7))
    assert selector.lowest_segment(gates) == 0


def test_random_layers_draws_so_many_uniformly(gated):
    selector = built(selectors.RandomLayers(3, seed=5), gated)
    drawn = np.array([selector(None, tf.constant(step, tf.int64)) for step in range(600)])
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn.sum(1), np.full(600, 3))
    # 600 draws of probability 3/7: standard deviation 0.02.
    np.testing.assert_allclose(drawn.mean(0), np.full(7, 3 / 7), atol=0.08)
    assert len(np.unique(drawn, axis=0)) == 35  # all subsets of 3 of 7
    np.testing.assert_array_equal(selector(None, tf.constant(17, tf.int64)), drawn[17])
    other = built(selectors.RandomLayers(3, seed=6), gated)
    assert any(not np.array_equal(other(None, tf.constant(s, tf.int64)), drawn[s]) for s in range(5))


def test_random_layers_stop_at_the_lowest_drawn(gated):
    selector = built(selectors.RandomLayers(2), gated)
    for step in range(20):
        gates = selector(None, tf.constant(step, tf.int64))
        lowest = min(layer.segment for layer, gate in zip(gated, gates.numpy(), strict=True) if gate)
        assert int(selector.lowest_segment(gates)) == lowest


@pytest.mark.parametrize("count", [0, 8])
def test_random_layers_need_so_many_layers(gated, count):
    with pytest.raises(errors.InputError, match=f"{count} random layers: expected 1 to 7"):
        built(selectors.RandomLayers(count), gated)


def test_blocks_are_counted_from_both_ends_and_the_classifier_apart(gated):
    blocks = ["conv1", "conv2", "conv3"]
    for number, block in enumerate(blocks, start=1):
        for counted in (number, number - 2 - len(blocks)):
            selector = built(selectors.FixedBlock(counted), gated)
            gates = selector(None, tf.constant(0))
            np.testing.assert_array_equal(gates, [float(layer.block == block) for layer in gated])
            assert selector.lowest_segment(gates) == min(layer.segment for layer in gated if layer.block == block)
    classifier = built(selectors.FixedBlock(-1), gated)
    np.testing.assert_array_equal(classifier(None, tf.constant(0)), [0, 0, 0, 0, 0, 0, 1])
    assert classifier.lowest_segment(None) == gated[-1].segment


def test_a_block_by_the_start_of_names(gated):
    selector = built(selectors.FixedBlock("conv"), gated)
    names = [layer.name for layer, gate in zip(gated, selector(None, tf.constant(0)).numpy(), strict=True) if gate]
    assert names == ["conv1", "conv2", "conv3"]
    assert selector.lowest_segment(None) == 0


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (0, "block 0: expected 1 to 3 from the input, or from the top -1, the classifier, to -4"),
        (4, "block 4: expected 1 to 3"),
        (-5, "block -5: expected 1 to 3"),
        ("stage", "block 'stage': expected the start of a layer's name, one of conv1, a_bn, conv2"),
    ],
)
def test_a_block_that_is_not_there(gated, block, message):
    with pytest.raises(errors.InputError) as raised:
        built(selectors.FixedBlock(block), gated)
    assert message in str(raised.value)


@pytest.mark.parametrize("made", [lambda: selectors.RandomLayers(3, seed=2), lambda: selectors.FixedBlock("conv")])
def test_selectors_rebuild_from_their_config(made):
    made = made()
    assert type(made).from_config(made.get_config()).get_config() == made.get_config()
