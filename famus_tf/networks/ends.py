"""The two ends that every network here has: normalised images at the bottom, a float32 classifier at the top."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def normalised_images(input_shape, mean, std, reverse=False):
    """The input of a network and its normalised form.

    Args:
      input_shape: (height, width, channels).
      mean, std: per channel, in the images' units (0..255).
      reverse: whether the channels are taken in the opposite order, for which mean and std are.

    Returns:
      `keras.Input` of raw images, and the tensor (images - mean) / std [n, *input_shape].
    """
    images = keras.Input(input_shape, name="images")
    variance = [value**2 for value in std]
    # In float32 whatever the policy: means of 0..255 have no place for their fraction in bfloat16.
    normalise = keras.layers.Normalization(mean=list(mean), variance=variance, dtype="float32", name="normalise")
    return images, normalise(keras.ops.flip(images, axis=-1) if reverse else images)


def classifier(num_classes, head="linear"):
    """The last layer, features -> logits [n, c]; float32 whatever the policy: losses and the meta-learner need it.

    Args:
      num_classes: c.
      head: one of `HEADS`.
    """
    return HEADS[head](num_classes, dtype="float32", name="classifier")


@keras.saving.register_keras_serializable("famus_tf")
class CosineClassifier(keras.layers.Layer):
    """Logits scale cos(features, kernel_c), without a bias: the normalised classifier that LDAM is made for.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss" (NeurIPS 2019).

    Args:
      units: c.
      scale: s; 30 in the paper's code, which multiplies in the loss.
    """

    def __init__(self, units: int, scale: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.scale = scale

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the kernel [d, c]; its columns' lengths do not matter."""
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer=keras.initializers.RandomUniform(-1.0, 1.0)
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Features [n, d] -> logits [n, c] between -scale and scale."""
        return self.scale * keras.ops.matmul(_unit(inputs, -1), _unit(self.kernel, 0))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[n, c]."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {"units": self.units, "scale": self.scale}


def _unit(vectors, axis):
    """Of length 1; zero stays zero, where `keras.ops.normalize` has no gradient."""
    square = keras.ops.sum(keras.ops.square(vectors), axis=axis, keepdims=True)
    return vectors * keras.ops.rsqrt(keras.ops.maximum(square, 1e-12))


HEADS = {"linear": keras.layers.Dense, "cosine": CosineClassifier}
