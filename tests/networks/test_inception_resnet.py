"""Inception-ResNet-v2: size against the table of its convolutions, too small images."""

import numpy as np
import pytest

from famus_tf import errors, networks

# (height, width, channels in, channels out) of every convolution, after the figures of the paper's section 3.2 with
# the widths of the authors' released network; `ups` are the linear 1x1 convolutions that close a residual block.
STEM = [(3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 64), (1, 1, 64, 80), (3, 3, 80, 192)]
STEM += [(1, 1, 192, 96), (1, 1, 192, 48), (5, 5, 48, 64), (1, 1, 192, 64), (3, 3, 64, 96), (3, 3, 96, 96)]
STEM += [(1, 1, 192, 64)]
BLOCK_A = [(1, 1, 320, 32)] * 3 + [(3, 3, 32, 32), (3, 3, 32, 48), (3, 3, 48, 64)]
REDUCTION_A = [(3, 3, 320, 384), (1, 1, 320, 256), (3, 3, 256, 256), (3, 3, 256, 384)]
BLOCK_B = [(1, 1, 1088, 192), (1, 1, 1088, 128), (1, 7, 128, 160), (7, 1, 160, 192)]
REDUCTION_B = [(1, 1, 1088, 256)] * 3 + [(3, 3, 256, 384), (3, 3, 256, 288), (3, 3, 256, 288), (3, 3, 288, 320)]
BLOCK_C = [(1, 1, 2080, 192)] * 2 + [(1, 3, 192, 224), (3, 1, 224, 256)]
ALL = STEM + 10 * BLOCK_A + REDUCTION_A + 20 * BLOCK_B + REDUCTION_B + 10 * BLOCK_C + [(1, 1, 2080, 1536)]
UPS = 10 * [(128, 320)] + 20 * [(384, 1088)] + 10 * [(448, 2080)]


def test_size():
    network = networks.build("inception_resnet_v2", (75, 75, 3), 5, [100.0] * 3, [50.0] * 3)
    # Each of ALL has a BatchNorm without gamma behind it, each of UPS a bias.
    expected = sum(height * width * source * target + target for height, width, source, target in ALL)
    expected += sum(source * target + target for source, target in UPS) + 1536 * 5 + 5
    assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == expected
    assert network.outputs[0].shape == (None, 5)
    assert network.outputs[0].dtype == "float32"


def test_small_images():
    with pytest.raises(errors.InputError, match="inception_resnet_v2: takes images of at least 75x75 pixels, found 32"):
        networks.build("inception_resnet_v2", (32, 32, 3), 10, [0.0] * 3, [1.0] * 3)
