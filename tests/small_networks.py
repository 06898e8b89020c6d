"""Small networks for the tests."""

import keras


def residual(dtype="float64", batch_norm=True, num_classes=3, size=6, channels=2, regularizer=None):
    """Three convolutions, one of them around a shortcut, and a classifier; images [n, size, size, channels]."""

    def normalised(x, name):
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.9, dtype=dtype, name=f"{name}_bn")(x)
        return keras.layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)

    def convolution(width, stride, name):
        return keras.layers.Conv2D(
            width,
            3,
            stride,
            padding="same",
            use_bias=not batch_norm,
            dtype=dtype,
            name=name,
            kernel_regularizer=regularizer,
        )

    images = keras.Input((size, size, channels), name="images", dtype=None if dtype.startswith("mixed") else dtype)
    x = convolution(4, 1, "conv1")(images)
    y = convolution(4, 1, "conv2")(normalised(x, "a"))
    x = keras.layers.Add(dtype=dtype, name="add")([x, y])
    x = convolution(5, 2, "conv3")(normalised(x, "b"))
    x = normalised(x, "c")
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="pool")(x)
    return keras.Model(images, keras.layers.Dense(num_classes, dtype=dtype, name="classifier")(x), name="residual")
