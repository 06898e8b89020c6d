"""ResNet-50: size against the paper's table, output, too small images."""

import numpy as np
import pytest

from famus_tf import errors, networks


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
    with pytest.raises(errors.InputError, match=r"--network=resnet50: takes images of at least 32x32 .* found 28x28"):
        networks.build("resnet50", (28, 28, 1), 10, [0.0], [1.0])
