"""Meta label correction: a transition matrix."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.meta.learners import base


@keras.saving.register_keras_serializable("famus_tf")
class MLC(base.MetaLearner):
    """Meta label correction (Wang et al., CVPR 2020): theta is a transition matrix T [c, c] on the logits.

    Each step starts from T = I. L_tra is the cross-entropy of logits . T; T' = max(T - beta dL_c / dT, 0) with every
    column divided by its sum. A column that is left without a positive entry stays 0, as in the authors' code. T
    multiplies logits, not probabilities, there too.

    The authors' code sums the loss over a batch of 64 and takes virtual steps of 1e-3 and beta = 0.11; the supplement
    of the FaMUS paper says beta = 1e-5. L_tra here is the mean over the global batch unless `reduction` says
    otherwise, so that w has the learning rates of the other learners. Of `meta_optimizer` only the learning rate,
    beta, is used: T is new in every step, and so is any momentum.

    Args:
      num_classes: c.
      virtual_learning_rate: alpha of the virtual step; None for that of w. 1e-3 in the authors' code, which goes with
        `reduction="sum"`; for the mean over their batch of 64 the same step is 0.064.
      reduction: "mean" or "sum" of the cross-entropy over the global batch.

    Raises:
      InputError: another `reduction`.
    """

    def __init__(
        self, num_classes: int, virtual_learning_rate: float | None = None, reduction: str = "mean", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if self.training_loss is not None:
            raise errors.InputError("MLC with another loss: expected None, as its T belongs to the cross-entropy")
        if reduction not in ("mean", "sum"):
            raise errors.InputError(f"MLC(reduction={reduction!r}): expected 'mean' or 'sum'")
        self.num_classes = num_classes
        self.virtual_learning_rate = virtual_learning_rate
        self.reduction = reduction

    def parameters(self, batch: tuple) -> list[tf.Tensor]:
        """T = I, [c, c]."""
        del batch
        return [tf.eye(self.num_classes, dtype=self.compute_dtype)]

    def loss(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Cross-entropy of logits . T, this replica's share; logits [n, c], labels [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        if logits.shape[-1] != self.num_classes:
            raise errors.InputError(
                f"MLC({self.num_classes}) with a network of {logits.shape[-1]} outputs: expected as many"
            )
        losses = softmax.cross_entropy(labels, tf.matmul(logits, tf.cast(theta[0], logits.dtype)))
        if self.reduction == "sum":
            return tf.reduce_sum(losses)
        return softmax.mean_over_batch(losses)

    def update(self, theta: list[tf.Tensor], gradient: list[tf.Tensor]) -> list[tf.Tensor]:
        """T' = max(T - beta gradient, 0), its columns normalised; the gradient is summed over the replicas."""
        matrix = theta[0]
        gradient = replicas.all_reduce_sum(gradient[0])
        beta = tf.cast(self.optimizer.learning_rate, matrix.dtype)
        matrix = tf.nn.relu(matrix - beta * tf.cast(gradient, matrix.dtype))
        return [tf.math.divide_no_nan(matrix, tf.reduce_sum(matrix, axis=0, keepdims=True))]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "num_classes": self.num_classes,
            "virtual_learning_rate": self.virtual_learning_rate,
            "reduction": self.reduction,
        }
