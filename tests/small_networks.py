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


def save_convolutions(
    path, batch_norm=True, input_shape=(8, 8, 1), num_classes=10, count=1, synchronized=False, dropout=0.1
):
    """Writes a network that is traced quickly, of few gated layers, and returns its path for --network.

    For whole runs, most of whose time would otherwise be the tracing of steps.

    Args:
      path: `pathlib.Path` that ends in .keras.
      batch_norm: whether it has BatchNorm, and Dropout too.
      input_shape: (H, W, C).
      num_classes: c.
      count: number of convolutions; each halves the size and makes a gated layer, with its BatchNorm two.
      synchronized: whether BatchNorm takes its mean and variance over all replicas.
      dropout: its rate; 0 for none.
    """
    images = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    for number in range(1, count + 1):
        x = keras.layers.Conv2D(12, 3, 2, use_bias=not batch_norm, name=f"convolution{number}")(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.8, synchronized=synchronized, name=f"normalisation{number}")(
                x
            )
        x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    if batch_norm and dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    keras.Model(images, keras.layers.Dense(num_classes, name="classifier")(x), name="small").save(path)
    return str(path)
