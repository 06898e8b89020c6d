"""Learning to reweight: a weight of its own for each example of the batch."""

from __future__ import annotations

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.meta.learners import base


@keras.saving.register_keras_serializable("famus_tf")
class L2R(base.MetaLearner):
    """Learning to reweight (Ren et al., ICML 2018): theta is one weight for each example of the batch, epsilon.

    Each step starts from epsilon = 0, where L_tra = sum_i epsilon_i loss_i has no gradient in w: w_hat = w, and the
    virtual pass need not be made. One step from there, cut at 0 and normalised, gives the weights,
    max(-dL_c / d epsilon, 0) / sum, whatever alpha and beta are.
    """

    starts_at_zero = True
    weighs_examples = True

    def parameters(self, batch: tuple) -> list[tf.Tensor]:
        """Epsilon = 0, [n]; batch is (images, labels, ...)."""
        images = batch[0]
        return [tf.zeros([tf.shape(images)[0]], self.compute_dtype)]

    def loss(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """sum_i epsilon_i loss_i over this replica's examples; logits [n, c], labels [n] or [n, c]."""
        losses = self.losses(logits, labels, step)
        return tf.reduce_sum(tf.cast(theta[0], losses.dtype) * losses)

    def update(self, theta: list[tf.Tensor], gradient: list[tf.Tensor]) -> list[tf.Tensor]:
        """Weights that sum to 1 over the global batch; all 0 where no example's gradient points the right way."""
        del theta
        weights = tf.nn.relu(-gradient[0])
        return [tf.math.divide_no_nan(weights, replicas.all_reduce_sum(tf.reduce_sum(weights)))]

    def example_weights(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Weight of each example in the loss, float32 [n]: 1 is what it would have in a plain mean."""
        del logits, labels, step
        weights = softmax.at_least_float32(theta[0])
        return weights * tf.cast(tf.shape(weights)[0] * replicas.count(), weights.dtype)
