"""Residual networks (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016)."""

import keras

from famus_tf.networks import applications, ends


def resnet50(input_shape, num_classes, mean, std, head="linear", pretrained="none"):
    """Keras's ResNet50, for images of 32 pixels or more (224 in the paper).

    Arguments and result as in `applications.build`.

    Raises:
      InputError: smaller images, or weights that cannot be had.
    """
    return applications.build("resnet50", input_shape, num_classes, mean, std, head, pretrained)


def resnet32(input_shape, num_classes, mean, std, head="linear"):
    """ResNet-32 for images of about 32x32 (section 4.2): widths 16, 32, 64, five blocks each; 0.46 million parameters.

    Where the width changes the shortcut takes every second pixel and fills up with channels of zeros (option A), on
    both sides, as in the code of LDAM and Meta-Weight-Net. Arguments and result as in `preact_resnet.preact_resnet18`.
    """
    images, x = ends.normalised_images(input_shape, mean, std)
    x = _convolution_and_norm(x, 16, 1, "stem")
    x = keras.layers.ReLU(name="stem_relu")(x)
    for stage, width in enumerate((16, 32, 64)):
        for block in range(5):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _block(x, width, stride, f"stage{stage + 1}_block{block + 1}")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, ends.classifier(num_classes, head)(x), name="resnet32")


def _block(x, width, stride, name):
    y = _convolution_and_norm(x, width, stride, f"{name}_conv1")
    y = _convolution_and_norm(keras.layers.ReLU(name=f"{name}_relu1")(y), width, 1, f"{name}_conv2")
    shortcut = x
    if stride != 1:
        missing = width - x.shape[-1]
        shortcut = keras.layers.AveragePooling2D(1, stride, name=f"{name}_subsample")(x)
        around = [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]]
        shortcut = keras.ops.pad(shortcut, around)
    y = keras.layers.Add(name=f"{name}_add")([y, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu2")(y)


def _convolution_and_norm(x, width, stride, name):
    x = keras.layers.Conv2D(
        width, 3, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
