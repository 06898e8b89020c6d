"""Pre-activation ResNets: size against a formula, the normalisation inside; names of networks."""

import numpy as np
import pytest

from famus_tf import errors, networks
from famus_tf.config import run


def parameters(widths, blocks, channels, classes):
    """Kernels, gamma and beta of a pre-activation ResNet, and the classifier."""
    total, before = 9 * channels * widths[0], widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            total += 2 * before + 9 * before * width + 2 * width + 9 * width * width
            if before != width or (stage > 0 and block == 0):
                total += before * width
            before = width
    return total + 2 * before + before * classes + classes


@pytest.mark.parametrize(
    ("name", "shape", "widths", "blocks"),
    [
        ("preact_resnet18", (32, 32, 3), (64, 128, 256, 512), 2),
        ("small_preact", (8, 8, 1), (16, 32, 64), 1),
        ("small_preact", (28, 28, 1), (16, 32, 64), 1),
    ],
)
def test_size_and_output(name, shape, widths, blocks):
    channels = shape[-1]
    network = networks.build(name, shape, 7, [100.0] * channels, [50.0] * channels)
    found = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert found == parameters(widths, blocks, channels, 7)
    logits = network(np.zeros((2, *shape), np.uint8))
    assert logits.shape == (2, 7)
    assert logits.dtype == "float32"


def test_normalisation_is_inside():
    network = networks.build("small_preact", (8, 8, 2), 3, [10.0, 20.0], [4.0, 5.0])
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 2), np.uint8)
    normalise = network.get_layer("normalise")
    expected = (images - np.array([10.0, 20.0])) / np.array([4.0, 5.0])
    np.testing.assert_allclose(normalise(images), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(network(images), network(images.astype("float32")))


def test_the_flag_names_every_builder():
    assert tuple(networks.BUILDERS) == run.NETWORKS


def test_unknown_name():
    with pytest.raises(errors.InputError, match="expected one of small_preact, preact_resnet18"):
        networks.build("vgg", (8, 8, 1), 10, [0.0], [1.0])
