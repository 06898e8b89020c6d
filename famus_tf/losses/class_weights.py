"""Losses weighted by the class of the example, from a step on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from famus_tf import errors
from famus_tf.losses import base, softmax


def effective_number_weights(counts: ArrayLike, beta: float) -> np.ndarray:
    """w_c = (1 - beta) / (1 - beta^n_c), scaled so that they sum to the number of classes.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019), Eq. 2 and section 4.

    Args:
      counts: training images of each class, int [c].
      beta: in [0, 1); 0 gives each class the same weight, 1 would be the inverse count.

    Returns:
      float64 [c].

    Raises:
      InputError: a class has no image, or beta is not in [0, 1).
    """
    sizes = np.asarray(counts)
    if not 0 <= beta < 1:
        raise errors.InputError(f"beta={beta}: expected a number in [0, 1)")
    if sizes.min() < 1:
        raise errors.InputError(
            f"class {int(sizes.argmin())} has no training image, expected some of each for weights by class"
        )
    # 1 - beta^n by way of its logarithm: it is exact for beta near 1.
    weights = (1.0 - beta) / -np.expm1(sizes * np.log(beta)) if beta else np.ones(len(sizes))
    return weights * len(sizes) / weights.sum()


@keras.saving.register_keras_serializable("famus_tf")
class ClassWeighted(base.Loss):
    """Another loss with a weight for the example's class, put where the loss's source puts it.

    Deferred re-weighting (DRW; Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
    NeurIPS 2019, section 3.3) is this with weights from `effective_number_weights(counts, 0.9999)` and a `first_step`
    late in the training; the class-balanced focal loss is it with `Focal` or `SigmoidFocal` from the first step on.
    Each loss's `class_weighted` says what the weights do to it.

    Args:
      loss: one of `famus_tf.losses`; or a function of labels, logits and the step, which is weighted as the
        cross-entropy is.
      weights: of each class, float [c].
      first_step: the number of optimizer steps after which the weights hold; before, all are 1.
    """

    def __init__(self, loss: base.Loss, weights: Sequence[float], first_step: int = 0) -> None:
        self.loss = loss
        self.weights = [float(weight) for weight in weights]
        self.first_step = int(first_step)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, [n]; without a step the weights hold."""
        base.check_number(len(self.weights), logits, "weights of ClassWeighted")
        y = softmax.as_distributions(labels, softmax.at_least_float32(logits))
        weight = tf.linalg.matvec(y, tf.constant(self.weights, y.dtype))
        if step is not None and self.first_step > 0:
            weight = tf.where(tf.cast(step, tf.int64) >= self.first_step, weight, tf.ones_like(weight))
        weigh = getattr(self.loss, "class_weighted", None)
        if weigh is None:
            return base.over_their_mean(weight) * self.loss(labels, logits, step)
        return weigh(labels, logits, weight, step)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"loss": loss, "weights": self.weights, "first_step": self.first_step}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**(config | {"loss": keras.saving.deserialize_keras_object(config["loss"])}))
