"""Wide ResNets: depth, widths and size against the paper's formula."""

import itertools

import keras
import numpy as np
import pytest

from famus_tf import networks


def parameters(depth, widening, classes):
    """Trainable numbers of WRN-d-k for three-channel images, counted from Table 1 of the paper.

    3x3 kernels: the stem, and two in each of the (d - 4) / 6 blocks of a stage; 1x1 where a stage changes the width;
    gamma and beta in front of every 3x3 kernel but the stem and behind the last; the classifier with its bias.
    """
    stages = [16] + [width * widening for width in (16, 32, 64)]
    total = 9 * 3 * 16
    for before, width in itertools.pairwise(stages):
        blocks = (depth - 4) // 6
        total += 9 * before * width + before * width + (2 * blocks - 1) * 9 * width * width
        total += 2 * before + 2 * width * (2 * blocks - 1)
    return total + 2 * stages[-1] + stages[-1] * classes + classes


@pytest.mark.parametrize(
    ("name", "depth", "widening", "millions"), [("wrn28_10", 28, 10, 36.5), ("wrn40_2", 40, 2, 2.2)]
)
def test_size_and_depth(name, depth, widening, millions):
    network = networks.build(name, (32, 32, 3), 10, [100.0] * 3, [50.0] * 3)
    found = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert found == parameters(depth, widening, 10)
    assert found / 1e6 == pytest.approx(millions, abs=0.05)  # the paper's Tables 3 and 4
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == depth  # d = 6 N + 4: the stem, 2 N for each stage, and the three 1x1 shortcuts
    normalisations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in normalisations} == {(0.9, 1e-5)}


def test_output():
    network = networks.build("wrn40_2", (32, 32, 3), 7, [100.0] * 3, [50.0] * 3)
    logits = network(np.zeros((2, 32, 32, 3), np.uint8))
    assert logits.shape == (2, 7)
    assert logits.dtype == "float32"
    assert network.get_layer("stage3_block6_add").output.shape == (None, 8, 8, 128)
