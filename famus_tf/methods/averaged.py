"""The mean of several networks' logits, and several networks as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def mean_logits(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """Mean of a list of logits [n, c], float [n, c]; of a single one itself."""
    return logits[0] if len(logits) == 1 else sum(logits) / len(logits)


def each_and_mean(logits: list[tf.Tensor]) -> list[tf.Tensor]:
    """A list of logits [n, c] with their mean at the end; of a single one the list as it is."""
    return logits if len(logits) == 1 else [*logits, mean_logits(logits)]


class Averaged(keras.Model):
    """The mean of several networks' logits; the networks stay as they are, and are saved and exported with it.

    Args:
      networks: list of built `keras.Model`s, images -> logits [n, c].
    """

    def __init__(self, networks: Sequence[keras.Model], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.networks = list(networks)
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images -> mean logits [n, c]."""
        return mean_logits([network(images, training=training) for network in self.networks])


def as_one(networks: Sequence[keras.Model]) -> keras.Model:
    """One network for several: `Averaged`, or the only one there is."""
    return networks[0] if len(networks) == 1 else Averaged(networks)


def as_functional(networks: Sequence[keras.Model]) -> keras.Model:
    """The same as a functional model, whose inputs `keras.Model.export` knows; the networks are its layers."""
    first, *others = networks
    if not others or not all(getattr(network, "inputs", None) for network in networks):
        return as_one(networks)
    images = keras.Input(first.inputs[0].shape[1:], dtype=first.inputs[0].dtype)
    parts = [keras.Sequential([keras.Input(images.shape[1:], dtype=images.dtype), network]) for network in networks]
    logits = [part(images) for part in parts]
    return keras.Model(images, keras.layers.Average(dtype=logits[0].dtype)(logits))
