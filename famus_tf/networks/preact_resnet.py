"""Pre-activation residual networks (He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016)."""

import keras

from famus_tf.networks import ends

_KERNEL = "he_normal"


def preact_resnet18(input_shape, num_classes, mean, std, head="linear"):
    """PreAct ResNet-18 for images of about 32x32: a 3x3 stem, widths 64 to 512, two blocks each.

    Args:
      input_shape: (height, width, channels).
      num_classes: c.
      mean, std: per channel, in the images' units (0..255); normalisation is part of the network.
      head: the classifier, one of `ends.HEADS`.

    Returns:
      Functional `keras.Model` "preact_resnet18", images [n, *input_shape] of any number type -> logits float32 [n, c].
    """
    return pre_activation_network(
        "preact_resnet18",
        input_shape,
        num_classes,
        mean,
        std,
        head,
        widths=(64, 128, 256, 512),
        blocks=2,
        stem_width=64,
    )


def small_preact(input_shape, num_classes, mean, std, head="linear"):
    """A network of six convolutions in three blocks, widths 16, 32 and 64, for images of 8x8 to 32x32.

    Images above 16 pixels are halved in the stem, which keeps it quick on a CPU. Arguments and result as in
    `preact_resnet18`.
    """
    return pre_activation_network(
        "small_preact",
        input_shape,
        num_classes,
        mean,
        std,
        head,
        widths=(16, 32, 64),
        blocks=1,
        stem_width=16,
        stem_stride=2 if input_shape[0] > 16 else 1,
    )


def pre_activation_network(
    name, input_shape, num_classes, mean, std, head, *, widths, blocks, stem_width, stem_stride=1
):
    """A pre-activation residual network: 3x3 stem, stages of basic blocks, BN - ReLU, average pooling, classifier.

    Args:
      name: of the model.
      input_shape, num_classes, mean, std, head: as in `preact_resnet18`.
      widths: channels of each stage; every stage but the first halves the image in its first block.
      blocks: number of blocks in each stage.
      stem_width, stem_stride: channels and stride of the first convolution.

    Returns:
      Functional `keras.Model`, images -> logits float32 [n, c].
    """
    images, x = ends.normalised_images(input_shape, mean, std)
    x = _convolution(stem_width, 3, stem_stride, "stem")(x)
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _block(x, width, stride, f"stage{stage + 1}_block{block + 1}")
    x = _normalised_relu(x, "head")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, ends.classifier(num_classes, head)(x), name=name)


def _block(x, width, stride, name):
    """BN - ReLU - conv - BN - ReLU - conv; the shortcut is projected from the activation where the shape changes."""
    activated = _normalised_relu(x, f"{name}_a")
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = _convolution(width, 1, stride, f"{name}_shortcut")(activated)
    y = _convolution(width, 3, stride, f"{name}_conv1")(activated)
    y = _convolution(width, 3, 1, f"{name}_conv2")(_normalised_relu(y, f"{name}_b"))
    return keras.layers.Add(name=f"{name}_add")([y, shortcut])


def _normalised_relu(x, name):
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _convolution(width, size, stride, name):
    return keras.layers.Conv2D(
        width, size, stride, padding="same", use_bias=False, kernel_initializer=_KERNEL, name=name
    )
