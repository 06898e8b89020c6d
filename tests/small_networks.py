"""Small networks for the tests, and batches for the first of them."""

import keras
import numpy as np
import tensorflow as tf


def batch(seed, n=8, dtype="float64"):
    """Images [n, 6, 6, 2] and class ids [n] for `residual`."""
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=(n, 6, 6, 2)), dtype), tf.constant(rng.integers(0, 3, n), tf.int32)


def residual(dtype="float64", batch_norm=True, num_classes=3, size=6, channels=2, regularizer=None):
    """Three convolutions, one of them around a shortcut, and a classifier; images [n, size, size, channels]."""

    def normalised(x, name):
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=0.9, dtype=dtype, name=f"{name}_bn")(x)
        return keras.layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)

    def convolution(width, stride, name):
        options = {"padding": "same", "use_bias": not batch_norm, "kernel_regularizer": regularizer, "dtype": dtype}
        return keras.layers.Conv2D(width, 3, stride, name=name, **options)

    images = keras.Input((size, size, channels), name="images", dtype=None if dtype.startswith("mixed") else dtype)
    x = convolution(4, 1, "conv1")(images)
    y = convolution(4, 1, "conv2")(normalised(x, "a"))
    x = keras.layers.Add(dtype=dtype, name="add")([x, y])
    x = convolution(5, 2, "conv3")(normalised(x, "b"))
    x = normalised(x, "c")
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype, name="pool")(x)
    return keras.Model(images, keras.layers.Dense(num_classes, dtype=dtype, name="classifier")(x), name="residual")


def dense(dtype="float64", batch_norm=False):
    """Two dense layers, vectors [n, 4] -> logits [n, 3]."""
    vectors = keras.Input((4,), dtype=dtype)
    x = keras.layers.Dense(6, activation="tanh", dtype=dtype)(vectors)
    if batch_norm:
        x = keras.layers.BatchNormalization(dtype=dtype)(x)
    return keras.Model(vectors, keras.layers.Dense(3, dtype=dtype)(x))


def convolutions(batch_norm=True, input_shape=(8, 8, 1), num_classes=10, count=1, synchronized=False, dropout=0.1):
    """A network that is traced quickly, for whole runs, most of whose time would otherwise be the tracing of steps.

    Args:
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
            options = {"momentum": 0.8, "synchronized": synchronized}
            x = keras.layers.BatchNormalization(name=f"normalisation{number}", **options)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Flatten()(x)
    if batch_norm and dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(images, keras.layers.Dense(num_classes, name="classifier")(x), name="small")


def save_convolutions(path, *args, **kwargs):
    """Writes `convolutions` to a `pathlib.Path` that ends in .keras, and returns the path for --network."""
    convolutions(*args, **kwargs).save(path)
    return str(path)


def in_float64(network):
    """The same graph with float64 layers and the same weights; the network itself where it is float64 already."""
    if all(variable.dtype == "float64" for variable in network.trainable_variables):
        return network

    def clone(layer):
        own = {"dtype": "float64"} if isinstance(layer, keras.layers.Layer) else {}  # else an operation, as padding is
        return type(layer).from_config(layer.get_config() | own)

    images = keras.Input(network.input_shape[1:], dtype="float64")
    made = keras.models.clone_model(network, input_tensors=images, clone_function=clone)
    made.set_weights(network.get_weights())
    return made


def shaken(network, seed=5):
    """The network, every trainable weight moved from where it starts, which makes none of them zero."""
    rng = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        noise = rng.normal(0, 0.2, variable.shape)
        variable.assign(variable + noise if len(variable.shape) == 1 else variable * (1 + noise))
    return network
