"""Networks whose probabilities are hidden are refused, by the library as by the command line; logits are taken."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import famus_tf
from famus_tf.networks import keras_file, logits

CLASSES = 3


def _network(end, classes=CLASSES):
    images = keras.Input((4, 4, 1))
    x = keras.layers.Dense(5, activation="relu")(keras.layers.Flatten()(images))
    return keras.Model(images, end(x))


def _dense(activation=None):
    return keras.layers.Dense(CLASSES, activation=activation)


def _then(*layers):
    def end(x):
        for layer in (_dense(), *layers):
            x = layer(x)
        return x

    return end


def _nested(activation):
    features = keras.Input((5,))
    return keras.Model(features, keras.layers.Dense(CLASSES, activation=activation)(features))


class _Own(keras.layers.Layer):
    def call(self, x):
        return tf.nn.softmax(x)


# Functions, as no layer may be made before the devices are known.
PROBABILITIES = {
    "softmax": lambda: _dense("softmax"),
    "sigmoid": lambda: _dense("sigmoid"),
    "hard sigmoid": lambda: _dense("hard_sigmoid"),
    "TensorFlow's function": lambda: _dense(tf.nn.softmax),
    "a layer": lambda: _then(keras.layers.Softmax()),
    "Activation": lambda: _then(keras.layers.Activation("softmax")),
    "Activation of a layer": lambda: _then(keras.layers.Activation(keras.layers.Softmax())),
    "an operation": lambda: lambda x: keras.ops.softmax(_dense()(x)),
    "a sigmoid operation": lambda: lambda x: keras.ops.sigmoid(_dense()(x)),
    "a quotient": lambda: (
        lambda x: (lambda e: e / keras.ops.sum(e, axis=-1, keepdims=True))(keras.ops.exp(_dense()(x)))
    ),
    "under a linear activation": lambda: _then(
        keras.layers.Softmax(), keras.layers.Activation("linear", dtype="float32")
    ),
    "under a reshape": lambda: _then(keras.layers.Softmax(), keras.layers.Reshape((CLASSES,))),
    "under dropout": lambda: _then(keras.layers.Softmax(), keras.layers.Dropout(0.1)),
    "a nested model": lambda: lambda x: _nested("softmax")(x),
    "a nested Sequential": lambda: lambda x: keras.Sequential([keras.Input((5,)), _dense("softmax")])(x),
    "twice nested": lambda: lambda x: keras.Sequential([keras.Input((5,)), _nested("sigmoid")])(x),
    "a Lambda": lambda: _then(keras.layers.Lambda(tf.nn.softmax)),
    "a Lambda of sigmoid": lambda: _then(keras.layers.Lambda(tf.sigmoid)),
    "a layer of one's own": lambda: _then(_Own()),
    "a mean of two": lambda: lambda x: keras.layers.Average()([_dense("softmax")(x), _dense("softmax")(x)]),
}
LOGITS = {
    "linear": lambda: _dense(),
    "linear by name": lambda: _dense("linear"),
    "tanh": lambda: _dense("tanh"),
    "log-softmax": lambda: _then(keras.layers.Activation("log_softmax")),
    "a nested model": lambda: lambda x: _nested(None)(x),
    "halved": lambda: lambda x: _dense()(x) / 2,
    "a mean of two": lambda: lambda x: keras.layers.Average()([_dense()(x), _dense()(x)]),
    "a Lambda": lambda: _then(keras.layers.Lambda(lambda x: 2 * x)),
    "zeros at the start": lambda: keras.layers.Dense(CLASSES, kernel_initializer="zeros"),
    "LDAM's": lambda: famus_tf.CosineClassifier(CLASSES),
}


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_are_refused(name):
    network = _network(PROBABILITIES[name]())
    for make in (famus_tf.FaMUS, lambda one: famus_tf.CoTeaching([_network(_dense()), one])):
        with pytest.raises(famus_tf.InputError, match=r"ends in .*, which gives probabilities: expected logits"):
            make(network)


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_taken(name):
    logits.check(_network(LOGITS[name]()))


def test_the_command_line_refuses_the_same(tmp_path):
    _network(PROBABILITIES["a nested model"]()).save(tmp_path / "hidden.keras")
    with pytest.raises(famus_tf.InputError, match="which gives probabilities; expected logits"):
        keras_file.load(str(tmp_path / "hidden.keras"), (4, 4, 1), CLASSES)


def test_an_application_with_its_softmax():
    build = keras.applications.MobileNetV2
    options = {"input_shape": (32, 32, 3), "weights": None, "classes": CLASSES, "alpha": 0.35}
    assert logits.probability_end(build(**options))
    assert not logits.probability_end(build(**options, classifier_activation=None))
    images = keras.Input((32, 32, 3))
    assert logits.probability_end(keras.Model(images, build(**options)(images)))


class _Subclassed(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.dense = keras.layers.Dense(CLASSES, activation=activation)

    def build(self, input_shape):
        self.dense.build((None, 16))

    def call(self, images):
        return self.dense(keras.ops.reshape(images, (-1, 16)))


def test_subclassed_models():
    for activation, expected in (("softmax", True), ("sigmoid", True), (None, False)):
        network = _Subclassed(activation)
        network.build((None, 4, 4, 1))
        assert bool(logits.probability_end(network)) is expected
        assert logits.num_classes(network) == CLASSES
    with pytest.raises(famus_tf.InputError, match=r"expected .* network.build"):
        famus_tf.CoTeaching([_Subclassed(None), _Subclassed(None)])


def test_outputs_that_are_no_logits():
    images = keras.Input((4, 4, 1))
    with pytest.raises(famus_tf.InputError, match=r"outputs of shape \(n, 4, 4, 3\): expected logits"):
        famus_tf.FaMUS(keras.Model(images, _dense()(images)))
    with pytest.raises(famus_tf.InputError, match="networks of 3 and 2 outputs: expected as many of each"):
        famus_tf.CoTeaching([_network(_dense()), _network(keras.layers.Dense(2))])
    method = famus_tf.FaMUS(_network(keras.layers.Dense(1)), famus_tf.CrossEntropy())
    method.compile("sgd")
    with pytest.raises(
        famus_tf.InputError, match="has 1 output, whose softmax is always 1: expected one for each class"
    ):
        method.fit(np.zeros((4, 4, 4, 1)), np.zeros(4, int))
