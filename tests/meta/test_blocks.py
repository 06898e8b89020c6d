"""Blocks by the networks' own names, counted from the papers' tables, and in networks without such names."""

import keras
import pytest

from famus_tf import networks
from famus_tf.meta import layers, segments, selectors
from tests import small_networks


def gated_layers(network):
    return layers.find_gated_layers(segments.find_segments(segments.as_functional(network)))


def build(name, size):
    return networks.build(name, (size, size, 3), 10, (0.0,) * 3, (1.0,) * 3, "float32")


def blocks_of(gated):
    return list(dict.fromkeys(layer.block for layer in gated if layer.block))


# (28 - 4) / 6 blocks in each of three stages, and so on: the papers' tables.
@pytest.mark.parametrize(
    ("name", "size", "count", "first", "last"),
    [
        ("small_preact", 8, 3, "stage1_block1", "stage3_block1"),
        ("preact_resnet18", 8, 8, "stage1_block1", "stage4_block2"),
        ("wrn28_10", 8, 12, "stage1_block1", "stage3_block4"),
        ("wrn40_2", 8, 18, "stage1_block1", "stage3_block6"),
        ("resnet32", 8, 15, "stage1_block1", "stage3_block5"),
        ("resnet50", 32, 16, "conv2_block1", "conv5_block3"),
        ("inception_resnet_v2", 75, 40, "block35_1", "block8_10"),
    ],
)
def test_each_network_has_the_blocks_of_its_paper(name, size, count, first, last):
    gated = gated_layers(build(name, size))
    blocks = blocks_of(gated)
    assert (len(blocks), blocks[0], blocks[-1]) == (count, first, last)
    for number, block in ((1, first), (count, last), (-2, last), (-1 - count, first)):
        selector = selectors.FixedBlock(number)
        selector.create_variables(gated)
        chosen = [layer for layer, gate in zip(gated, selector(None, None).numpy(), strict=True) if gate]
        assert {layer.block for layer in chosen} == {block}
        assert selector.lowest_segment(None) == min(layer.segment for layer in chosen)
    named = [layer.name for layer in gated if layer.block == last]
    if name == "wrn28_10":
        assert named == [f"stage3_block4_{part}" for part in ("a_bn", "conv1", "b_bn", "conv2")]
    if name == "resnet50":
        assert named == [f"conv5_block3_{part}_{kind}" for part in (1, 2, 3) for kind in ("conv", "bn")]
    if name == "inception_resnet_v2":  # four convolutions with a BatchNorm each, and one with a bias
        assert sum(name.startswith("conv2d") for name in named) == 4
        assert sum(name.startswith("batch_normalization") for name in named) == 4
        assert named[8:] == ["block8_10_conv"]


def test_a_network_without_such_names_has_a_block_for_each_piece_with_a_kernel():
    gated = gated_layers(small_networks.residual("float32"))
    assert [layer.name for layer in gated] == ["conv1", "a_bn", "conv2", "b_bn", "conv3", "c_bn", "classifier"]
    assert [layer.block for layer in gated] == ["conv1", "conv2", "conv2", "conv2", "conv3", "conv3", ""]


def test_a_nested_model_and_one_in_one_piece():
    inner_input = keras.Input((4, 4, 2))
    y = keras.layers.Conv2D(3, 1, name="block1_conv")(inner_input)
    inner = keras.Model(inner_input, keras.layers.Conv2D(3, 1, name="block2_conv")(y), name="inner")
    images = keras.Input((4, 4, 2))
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(inner(images)))
    gated = gated_layers(keras.Model(images, logits))
    assert [layer.block.rpartition("/")[2] for layer in gated] == ["block1", "block2", ""]
