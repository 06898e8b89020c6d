"""What all losses share."""

from __future__ import annotations

from typing import Any, Self

import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas


def over_their_mean(weight: tf.Tensor) -> tf.Tensor:
    """Weights divided by their mean over the global batch.

    The plain mean of losses with them is sum(w l) / sum(w). May not stand in a `tf.cond`, as no sum over replicas may.

    Args:
      weight: of each example, float [n].

    Returns:
      Float [n].
    """
    examples = tf.cast(tf.shape(weight)[0] * replicas.count(), weight.dtype)
    return weight * examples / replicas.all_reduce_sum(tf.reduce_sum(weight))


def check_number(count: int, logits: tf.Tensor, what: str) -> None:
    """Raises InputError unless there is one number for each class; one alone would be stretched to all of them."""
    if count != logits.shape[-1]:
        raise errors.InputError(f"{count} {what} for {logits.shape[-1]} logits: expected one for each class")


class Loss:
    """A loss that Keras can save with a meta-learner: `get_config` gives its constructor's arguments."""

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, [n]."""
        raise NotImplementedError

    def class_weighted(
        self, labels: tf.Tensor, logits: tf.Tensor, weight: tf.Tensor, step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The losses where each example has the weight of its class, divided by the batch's mean weight.

        Their mean is PyTorch's `cross_entropy(weight=w)`, sum(w l) / sum(w), by which the code of LDAM weights.

        Args:
          labels: class ids [n] or distributions [n, c].
          logits: [n, c].
          weight: of each example, [n], of the losses' type.
          step: number of steps done.

        Returns:
          Float [n].
        """
        return over_their_mean(weight) * self(labels, logits, step)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**config)
