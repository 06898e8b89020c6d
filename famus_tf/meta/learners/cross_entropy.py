"""Plain training."""

from __future__ import annotations

import keras
import tensorflow as tf

from famus_tf.meta.learners import base


# Its name without this is that of the loss.
@keras.saving.register_keras_serializable("famus_tf", name="CrossEntropyLearner")
class CrossEntropy(base.MetaLearner):
    """Plain training, on the cross-entropy or another `loss`: every example weighs the same, there is no meta step."""

    has_meta_step = False

    def parameters(self, batch: tuple) -> list[tf.Tensor]:
        """Theta is empty."""
        del batch
        return []

    def loss(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The examples' mean loss, this replica's share; logits [n, c], labels [n] or [n, c]."""
        del theta
        return self.plain_loss(logits, labels, step)

    def update(self, theta: list[tf.Tensor], gradient: list[tf.Tensor]) -> list[tf.Tensor]:
        """Theta stays empty."""
        del gradient
        return theta
