"""A network in two parts: what makes the features of an image, and the classifier on them."""

from __future__ import annotations

from typing import NamedTuple

import keras

from famus_tf import errors


class Parts(NamedTuple):
    """Of a network, whose layers and variables both share.

    Attributes:
      features: functional `keras.Model`, images -> features [n, d].
      both: the same with two outputs, features [n, d] and logits [n, c].
      head: the last layer with weights, features -> logits.
    """

    features: keras.Model
    both: keras.Model
    head: keras.layers.Layer


def of(network: keras.Model) -> Parts:
    """The parts of a network.

    Args:
      network: functional `keras.Model`, images -> logits [n, c].

    Raises:
      InputError: it has no graph of layers, or its last layer is no classifier on vectors.
    """
    if not getattr(network, "inputs", None):
        raise errors.InputError(
            f"network {network.name!r} is a {type(network).__name__} without a graph of layers: expected a functional "
            "keras.Model, whose classifier can be told from the rest"
        )
    tensor = network.outputs[0]
    while True:
        operation, node, _ = tensor._keras_history
        inputs = operation._inbound_nodes[node].input_tensors
        if getattr(operation, "weights", ()) or len(inputs) != 1:
            break
        tensor = inputs[0]
    is_classifier = hasattr(operation, "kernel") and len(operation.kernel.shape) == 2 and len(inputs) == 1
    if not is_classifier or len(inputs[0].shape) != 2:
        inside = "a model in the model, " if isinstance(operation, keras.Model) else ""
        raise errors.InputError(
            f"network {network.name!r} ends in {inside}layer {operation.name!r}; expected a Dense layer on vectors as "
            "its last, as the method needs the features below it"
        )
    images = network.inputs[0]
    return Parts(
        keras.Model(images, inputs[0], name=f"{network.name}_features"),
        keras.Model(images, [inputs[0], network.outputs[0]], name=f"{network.name}_both"),
        operation,
    )
