"""The softmax cross-entropy as a loss that can be weighted by class."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf.losses import base, softmax


@keras.saving.register_keras_serializable("famus_tf")
class CrossEntropy(base.Loss):
    """-log softmax(logits)_y: `losses.softmax.cross_entropy`, for `ClassWeighted` to weight by class."""

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        return softmax.cross_entropy(labels, logits)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation: none."""
        return {}
