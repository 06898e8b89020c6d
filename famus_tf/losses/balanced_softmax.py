"""Balanced softmax, which is logit adjustment in the loss, for classes of very different sizes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from famus_tf import errors
from famus_tf.losses import base, softmax


@keras.saving.register_keras_serializable("famus_tf")
class BalancedSoftmax(base.Loss):
    """The cross-entropy of logits + tau log(n_k / N).

    Sources: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition" (NeurIPS 2020), Eq. 4, tau = 1;
    Menon et al., "Long-tail learning via logit adjustment" (ICLR 2021), Eq. 10. The network's own logits are then those
    of equally frequent classes.

    Args:
      counts: training images of each class, int [c], none 0.
      adjustment: tau, 0 or more; 0 is the cross-entropy.

    Raises:
      InputError: a class has no image, or tau is negative.
    """

    def __init__(self, counts: ArrayLike, adjustment: float = 1.0) -> None:
        errors.check_number("adjustment", adjustment, "a number, 0 or more", lambda tau: tau >= 0)
        sizes = np.asarray(counts)
        if sizes.min() < 1:
            raise errors.InputError(
                f"class {int(sizes.argmin())} has no training image, expected some of each for the balanced softmax"
            )
        self.counts = sizes.tolist()
        self.adjustment = float(adjustment)
        self.shift = self.adjustment * np.log(sizes / sizes.sum())

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        base.check_number(len(self.counts), logits, "counts of BalancedSoftmax")
        if not self.adjustment:
            return softmax.cross_entropy(labels, logits)
        return softmax.cross_entropy(labels, logits + tf.constant(self.shift, logits.dtype))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"counts": self.counts, "adjustment": self.adjustment}
