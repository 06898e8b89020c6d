"""ResNet-50 and the ResNet-32 of CIFAR: size against the paper's table, output, too small images."""

import keras
import numpy as np
import pytest

from famus_tf import errors, networks
from famus_tf.meta import segments


def test_size_and_output():
    network = networks.build("resnet50", (32, 48, 1), 5, [100.0], [50.0])
    total, before = 49 * 64 + 64 + 2 * 64, 64  # Keras's kernels have a bias
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            kernels = [(1, before, width), (9, width, width), (1, width, 4 * width)]
            kernels += [(1, before, 4 * width)] if block == 0 else []
            total += sum(size * source * target + 3 * target for size, source, target in kernels)
            before = 4 * width
    total += before * 5 + 5
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == total
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 1), np.uint8)
    logits = network(images)
    assert (logits.shape, logits.dtype) == ((2, 5), "float32")
    normalised = network.get_layer("normalise")(images)
    np.testing.assert_allclose(normalised, (images - 100.0) / 50.0, rtol=1e-5, atol=1e-5)


def test_small_images():
    with pytest.raises(
        errors.InputError, match=r"option `network`=resnet50: takes images of at least 32x32 .* found 28x28"
    ):
        networks.build("resnet50", (28, 28, 1), 10, [0.0], [1.0])


def test_resnet32():
    network = networks.build("resnet32", (32, 32, 3), 10, [100.0] * 3, [50.0] * 3)
    # 31 kernels of 3x3 with gamma and beta, and the classifier; shortcuts have no weights.
    widths = [(3, 16), *[(16, 16)] * 10, (16, 32), *[(32, 32)] * 9, (32, 64), *[(64, 64)] * 9]
    assert len(widths) == 31
    total = sum(9 * before * after + 2 * after for before, after in widths) + 64 * 10 + 10
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == total
    assert total / 1e6 == pytest.approx(0.46, abs=0.005)  # the paper's Table 6
    assert network(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 10)
    assert network.get_layer("stage3_block5_add").output.shape == (None, 8, 8, 64)
    normalisations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in normalisations} == {(0.9, 1e-5)}


def test_shortcut_of_resnet32(tmp_path):
    """Every second pixel, zeros on both sides of the channels; the network survives being saved."""
    network = networks.build("resnet32", (8, 8, 3), 4, [0.0] * 3, [1.0] * 3)
    block, below = network.get_layer("stage2_block1_add"), network.get_layer("stage1_block5_relu2").output
    parts = keras.Model(network.inputs, [below, *block.input])
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    before, _, shortcut = (np.asarray(part) for part in parts(images))
    expected = np.zeros((2, 4, 4, 32), np.float32)
    expected[..., 8:24] = before[:, ::2, ::2]
    np.testing.assert_array_equal(shortcut, expected)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(images), network(images))


def test_segments_of_resnet32():
    network = networks.build("resnet32", (32, 32, 3), 10, [0.0] * 3, [1.0] * 3)
    found = segments.find_segments(network)
    assert 10 <= len(found) <= 17
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    x = images
    for segment in found:
        x = segment.model(x)
    np.testing.assert_array_equal(x, network(images))
