"""Focal loss (Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017), for exclusive classes and for each."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import base, softmax

# Below it a power of less than 1 has no gradient that numbers can hold.
_TINY = 1e-7


@keras.saving.register_keras_serializable("famus_tf")
class Focal(base.Loss):
    """(1 - p_y)^gamma (-log p_y) with p = softmax(logits), as in the code of LDAM (Cao et al., 2019).

    Keras's `CategoricalFocalCrossentropy` is the same but for this: it cuts p off at 1e-7, so that an example which is
    wrong with so much confidence has no gradient.

    With a weight w for the class it is (1 - p_y^w)^gamma (-w log p_y): that code weights the cross-entropy before it
    takes the probability back from it, and does not divide by the sum of the weights.

    Args:
      gamma: 0 or more; 0 is the cross-entropy.

    Raises:
      InputError: gamma is negative.
    """

    def __init__(self, gamma: float = 1.0) -> None:
        self.gamma = _checked(gamma)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        return self._of(labels, tf.nn.log_softmax(softmax.at_least_float32(logits)))

    def class_weighted(
        self, labels: tf.Tensor, logits: tf.Tensor, weight: tf.Tensor, step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The loss of each example, [n], the weight inside of the probability; see the class."""
        del step
        log_p = tf.nn.log_softmax(softmax.at_least_float32(logits))
        return self._of(labels, weight[:, tf.newaxis] * log_p)

    def _of(self, labels, log_p):
        modulator = tf.pow(tf.maximum(-tf.math.expm1(log_p), _TINY), tf.cast(self.gamma, log_p.dtype))
        return tf.reduce_sum(softmax.as_distributions(labels, log_p) * modulator * -log_p, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"gamma": self.gamma}


@keras.saving.register_keras_serializable("famus_tf")
class SigmoidFocal(Focal):
    """The sum over all classes of the focal loss of "it is this one", p = sigmoid(logit) for each by itself.

    The form in which the class-balanced loss was published (Cui et al., "Class-Balanced Loss Based on Effective Number
    of Samples", CVPR 2019). Arguments and result as in `Focal`. As in its code, the weight of a class multiplies the
    example's loss, and is not divided by the sum of the weights.
    """

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        y = softmax.as_distributions(labels, logits)
        gamma = tf.cast(self.gamma, logits.dtype)

        def parts(z):  # of "yes" at z
            return tf.pow(tf.maximum(tf.sigmoid(-z), _TINY), gamma) * tf.math.softplus(-z)

        return tf.reduce_sum(y * parts(logits) + (1.0 - y) * parts(-logits), axis=-1)

    def class_weighted(
        self, labels: tf.Tensor, logits: tf.Tensor, weight: tf.Tensor, step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The loss of each example, [n], times its weight."""
        return weight * self(labels, logits, step)


def _checked(gamma):
    if gamma < 0:
        raise errors.InputError(f"gamma={gamma}: expected 0 or more")
    return float(gamma)
