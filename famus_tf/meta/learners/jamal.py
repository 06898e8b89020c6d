"""Class-balanced weights with a meta-learnt correction for each example of the batch: the paper's "improved L2R"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors, losses
from famus_tf.losses import softmax
from famus_tf.meta.learners import base


@keras.saving.register_keras_serializable("famus_tf")
class Jamal(base.MetaLearner):
    """w_i = c_(y_i) + eps_i (Jamal et al., "Rethinking Class-Balanced Methods for Long-Tailed Visual Recognition from a
    Domain Adaptation Perspective", CVPR 2020), c the class-balanced weights, eps of each step from 0.

      w_hat = w - alpha grad sum_i c_(y_i) l_i             eps_i = -delta dL_c(w_hat) / d eps_i
      step of w on the mean of (c_(y_i) + eps_i) l_i

    eps is neither cut at 0 nor normalised, as in its code. The sum in the virtual step and the mean in the actual one
    are the code's too; here the virtual rate is n alpha instead. Where alpha is small in the meta steps, as in its
    schedule, eps is small beside c, and this is deferred re-weighting.

    Args:
      class_sizes: training examples of each class by the given labels, int [c].
      batch_size: n, of the global batch.
      beta: of `losses.effective_number_weights`.
      delta: step size of eps; 0.01 in its code.

    Raises:
      InputError: a class has no example, or a number is out of its range.
    """

    weighs_examples = True

    def __init__(
        self, class_sizes: Sequence[int], batch_size: int, beta: float = 0.9999, delta: float = 0.01, **kwargs: Any
    ) -> None:
        errors.check_number("batch_size", batch_size, "a positive whole number", lambda n: n > 0, whole=True)
        errors.check_number("delta", delta, "a number, 0 or more", lambda number: number >= 0)
        super().__init__(**kwargs)
        self.class_sizes = [int(size) for size in class_sizes]
        self.batch_size = int(batch_size)
        self.virtual_scale = self.batch_size
        self.beta = beta
        self.delta = delta
        self.num_classes = len(self.class_sizes)
        self._class_weights = losses.effective_number_weights(self.class_sizes, beta).tolist()

    def parameters(self, batch: tuple) -> list[tf.Tensor]:
        """eps = 0, [n]; batch is (images, labels, ...)."""
        return [tf.zeros([tf.shape(batch[0])[0]], self.compute_dtype)]

    def loss(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Mean of (c_y + eps) l, this replica's share; logits [n, c], labels [n] or [n, c]."""
        weighed = self.losses(logits, labels, step)
        return softmax.mean_over_batch(self._weights(labels, logits, theta) * weighed)

    def update(self, theta: list[tf.Tensor], gradient: list[tf.Tensor]) -> list[tf.Tensor]:
        """One step of eps."""
        return [theta[0] - self.delta * gradient[0]]

    def example_weights(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """c_y + eps, float32 [n]."""
        del step
        return tf.cast(self._weights(labels, logits, theta), tf.float32)

    def _weights(self, labels, logits, theta):
        y = softmax.as_distributions(labels, softmax.at_least_float32(logits))
        return tf.linalg.matvec(y, tf.constant(self._class_weights, y.dtype)) + tf.cast(theta[0], y.dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "class_sizes": self.class_sizes,
            "batch_size": self.batch_size,
            "beta": self.beta,
            "delta": self.delta,
        }
