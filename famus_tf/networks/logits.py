"""Whether a network gives logits: one number for each class, and no probabilities, however they are hidden."""

from __future__ import annotations

import keras
import numpy as np

from famus_tf import errors

# Activations, layers and operations of Keras and TensorFlow by the start of their names; log_softmax gives logits.
_PROBABILITIES = ("softmax", "sigmoid", "hardsigmoid", "hard_sigmoid", "sparsemax", "sparse_sigmoid", "sparsesigmoid")
# What hands on the values that it gets, one for one.
_UNCHANGED = (keras.layers.Identity, keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape)
# Images that an end of unknown kind is tried on, and their sizes: logits leave [0, 1] on some of them.
_TRIED, _SCALES = 8, (1.0, 255.0, -255.0)


def check(network: keras.Model) -> None:
    """Raises InputError unless a network gives logits [n, c].

    Args:
      network: functional or built `keras.Model`, images -> logits.
    """
    shape = _output_shape(network)
    if len(shape) != 2 or shape[1] is None:
        raise errors.InputError(
            f"network {network.name!r} gives outputs of shape {_text(shape)}: expected logits of shape (n, classes)"
        )
    end = probability_end(network)
    if end:
        raise errors.InputError(f"network {network.name!r} ends in {end}, which gives probabilities: expected logits")


def num_classes(network: keras.Model) -> int:
    """c, the number of a network's logits."""
    return _output_shape(network)[-1]


def probability_end(network: keras.Model) -> str:
    """What turns a network's logits into probabilities: a layer in words; empty where it gives logits.

    The graph of layers is followed from the output down, through nested models and what changes no value. An end whose
    kind the graph does not show (a Lambda, a layer of one's own, a quotient) is tried on random images.
    """
    operation = _last_operation(network)
    known = _gives_probabilities(operation)
    if known is None:
        known = _looks_like_probabilities(network)
    if not known:
        return ""
    if operation is None:
        return f"a {type(network).__name__}"
    return f"layer {operation.name!r}"


def _last_operation(network):
    """The operation that makes the output, behind what changes no value; None where no graph shows it."""
    if not getattr(network, "outputs", None):
        return None
    tensor = network.outputs[0]
    while True:
        operation, node, number = tensor._keras_history
        if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            tensor = operation.outputs[number]
        elif isinstance(operation, keras.Model):
            return _last_operation(operation)
        elif _is_unchanged(operation):
            tensor = operation._inbound_nodes[node].input_tensors[0]
        else:
            return operation


def _is_unchanged(operation):
    if isinstance(operation, keras.layers.Activation):
        return operation.activation is keras.activations.linear
    name = type(operation).__name__.lower()
    return isinstance(operation, _UNCHANGED) or name in ("cast", "reshape", "identity", "squeeze")


def _gives_probabilities(operation):
    """True, False, or None where the kind of the operation does not say."""
    if operation is None:
        return None
    names = [type(operation).__name__]
    activation = getattr(operation, "activation", None)
    if activation is not None:
        names.append(getattr(activation, "__name__", type(activation).__name__))
    if any(name.lower().startswith(_PROBABILITIES) for name in names):
        return True
    of_keras = type(operation).__module__.startswith(("keras.", "famus_tf."))
    has_kernel = hasattr(operation, "kernel")
    return False if of_keras and has_kernel and activation in (None, keras.activations.linear) else None


def _looks_like_probabilities(network):
    """Whether rows sum to 1, or all values lie in [0, 1] whatever the images."""
    shape = _input_shape(network)
    size = [32 if length is None else length for length in shape[1:]]
    images = np.random.default_rng(0).random((_TRIED, *size)).astype("float32")
    first, *others = (np.asarray(network(scale * images, training=False), np.float64) for scale in _SCALES)
    if not (np.isfinite(first).all() and first.min() >= 0 and first.max() <= 1):
        return False
    if first.shape[1] > 1 and np.abs(first.sum(axis=1) - 1).max() < 1e-3:
        return True
    rows = np.concatenate(others)
    inside = (first > 0).all() and (first < 1).all()
    return bool(inside and (rows >= 0).all() and (rows <= 1).all())


def _input_shape(network):
    if getattr(network, "inputs", None):
        return tuple(network.inputs[0].shape)
    shape = (network.get_build_config() or {}).get("input_shape") if network.built else None
    if shape is None:
        raise errors.InputError(
            f"network {network.name!r} is a {type(network).__name__} without a graph of layers: expected a functional "
            "keras.Model, or one that has been built, by network.build((None, height, width, channels))"
        )
    return tuple(shape)


def _output_shape(network):
    if getattr(network, "outputs", None):
        return tuple(network.outputs[0].shape)
    return tuple(network.compute_output_spec(keras.KerasTensor(_input_shape(network))).shape)


def _text(shape):
    return f"({', '.join('n' if size is None else str(size) for size in shape)})"
