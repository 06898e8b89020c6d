"""The losses of DivideMix.

Source: Li et al., "DivideMix: Learning with Noisy Labels as Semi-supervised Learning" (ICLR 2020).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.losses import base, softmax

# Mean probabilities below it count as it: the logarithm stays finite, and 1 / it is still a float32.
_TINY = 1e-30


class MixedLabels(NamedTuple):
    """What a batch of `mixmatch.training_batch` has in place of labels.

    Attributes:
      targets: float32 [n, c], distributions.
      labelled: bool [n], whether the larger part of the row is a labelled example; half of the rows.
      unlabelled_weight: float32 scalar, lambda_u times the share of it that the ramp has reached.
    """

    targets: tf.Tensor
    labelled: tf.Tensor
    unlabelled_weight: tf.Tensor


@keras.saving.register_keras_serializable("famus_tf")
class SemiSupervised(base.Loss):
    """Cross-entropy on labelled rows, squared difference of probabilities on the others (DivideMix, section 3.2).

    Each kind is half of the rows, and each example's loss is twice its share: with equal weights the mean over the
    rows is mean CE over the labelled ones + lambda_u times the mean square over the others and the classes. (The mean
    over the classes is that of the code of DivideMix, which its lambda_u go with; its paper has the sum.)

    Of plain labels, as in the warm-up, it is the cross-entropy + confidence_penalty * sum_c p_c log p_c (section 3.1,
    for asymmetric noise).

    Args:
      prior_penalty: weight of `class_prior_penalty` in `penalty`, 1 in DivideMix.
      confidence_penalty: weight of the negative entropy under plain labels; 1 in DivideMix for asymmetric noise.

    Raises:
      InputError: a weight is negative.
    """

    def __init__(self, prior_penalty: float = 1.0, confidence_penalty: float = 0.0) -> None:
        self.prior_penalty = _checked("prior_penalty", prior_penalty)
        self.confidence_penalty = _checked("confidence_penalty", confidence_penalty)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels `MixedLabels`, [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        if not isinstance(labels, MixedLabels):
            losses = softmax.cross_entropy(labels, logits)
            if self.confidence_penalty:
                negative_entropy = tf.reduce_sum(tf.nn.softmax(logits) * tf.nn.log_softmax(logits), axis=-1)
                losses += self.confidence_penalty * negative_entropy
            return losses
        supervised = softmax.cross_entropy(labels.targets, logits)
        difference = tf.nn.softmax(logits) - tf.cast(labels.targets, logits.dtype)
        unsupervised = tf.reduce_mean(tf.square(difference), axis=-1)
        weight = tf.cast(labels.unlabelled_weight, logits.dtype)
        return 2.0 * tf.where(labels.labelled, supervised, weight * unsupervised)

    def weighed_by(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """What a meta-learner sees of each example, [n]: as in FaMUS's release the CE of both kinds of mixed rows.

        The squared difference is much smaller than the cross-entropy and would tell a learner the kind of the row only.
        Of plain labels it is the loss itself. The caller detaches it.

        Args:
          labels: `MixedLabels`, class ids [n] or distributions [n, c].
          logits: float [n, c].
          step: number of steps done.
        """
        if isinstance(labels, MixedLabels):
            return softmax.cross_entropy(labels.targets, logits)
        return self(labels, logits, step)

    def penalty(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """What is added to the examples' losses, this replica's share; a scalar, 0 for plain labels.

        Like all sums over replicas it may not stand in a `tf.cond`.
        """
        if isinstance(labels, MixedLabels) and self.prior_penalty:
            return self.prior_penalty * class_prior_penalty(logits)
        return tf.zeros([], softmax.at_least_float32(logits).dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"prior_penalty": self.prior_penalty, "confidence_penalty": self.confidence_penalty}


def class_prior_penalty(logits: tf.Tensor) -> tf.Tensor:
    """sum_c pi_c log(pi_c / pbar_c) with pi_c = 1/c against one class taking all examples (DivideMix, section 3.2).

    pbar is the mean probability of each class over the global batch, its replicas' shares being of one size. A class
    whose mean is below 1e-30 counts as having that, and has no gradient.

    Args:
      logits: float [n, c]; computed in float32.

    Returns:
      Scalar, this replica's share: the replicas' shares sum to the penalty of the global batch.
    """
    logits = softmax.at_least_float32(logits)
    count = replicas.count()
    classes = logits.shape[1]
    mean = replicas.all_reduce_sum(tf.reduce_mean(tf.nn.softmax(logits), axis=0) / count)
    # log(1/c / pbar_c) is -log(c pbar_c).
    return -tf.reduce_mean(tf.math.log(classes * tf.maximum(mean, _TINY))) / count


def validation_loss(prior_penalty: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Makes the L_c of FaMUS's release: cross-entropy + prior_penalty * `class_prior_penalty`.

    Args:
      prior_penalty: a Python number, 0 for the cross-entropy alone.

    Returns:
      Function (labels, logits [m, c]) -> scalar, this replica's share; labels are class ids [m] or distributions
      [m, c].

    Raises:
      InputError: the weight is negative.
    """
    prior_penalty = _checked("prior_penalty", prior_penalty)

    def loss(labels, logits):
        value = softmax.mean_cross_entropy(labels, logits)
        return value + prior_penalty * class_prior_penalty(logits) if prior_penalty else value

    return loss


def _checked(name, weight):
    if weight < 0:
        raise errors.InputError(f"{name}={weight}: expected 0 or more")
    return float(weight)
