"""Small methods for the tests, whose steps are traced quickly, and what they are trained on."""

import keras
import numpy as np
import tensorflow as tf

import famus_tf

_RNG = np.random.default_rng(0)
IMAGES = _RNG.random((32, 4, 4, 1)).astype("float32")
LABELS = _RNG.integers(0, 3, 32)


def network(seed=0, hidden="float32"):
    """Two dense layers, three classes."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((4, 4, 1))
    x = keras.layers.Flatten()(images)
    x = keras.layers.Dense(5, activation="tanh", dtype=hidden)(x)
    return keras.Model(images, keras.layers.Dense(3, dtype="float32")(x))


def plain(optimizer=None, hidden="float32", **options):
    """A method that is plain training."""
    method = famus_tf.FaMUS(network(hidden=hidden), meta_learner=famus_tf.CrossEntropy())
    method.compile(optimizer or keras.optimizers.SGD(0.5, momentum=0.9), **options)
    return method


def exact(**options):
    """MW-Net; its step is traced quickly."""
    method = famus_tf.FaMUS(network(), selector=famus_tf.AllLayers())
    method.compile(keras.optimizers.SGD(0.5, momentum=0.9), metrics=["accuracy"], **options)
    return method


def batches(*parts, size=8):
    return tf.data.Dataset.from_tensor_slices(parts or (IMAGES, LABELS)).batch(size)


def pairs():
    return tf.data.Dataset.zip(batches(), batches())


def weights(model):
    return [variable.numpy() for variable in model.variables]
