"""Losses that wrong labels move less than the cross-entropy: smoothed or bootstrapped labels, bounded losses.

y is the label as a distribution, p = softmax(logits), K the number of classes.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import base, softmax

# p and y below it count as it: log 1e-4 = -9.21 is the A that SCE was published with.
_LEAST_LABEL = 1e-4
_TINY = 1e-7


@keras.saving.register_keras_serializable("famus_tf")
class LabelSmoothing(base.Loss):
    """The cross-entropy of (1 - s) y + s / K (Szegedy et al., CVPR 2016, section 7).

    Args:
      smoothing: s, below 1; 0 is the cross-entropy. Negative s sharpens the labels (Wei et al., "To Smooth or Not?",
        ICML 2022).

    Raises:
      InputError: s is 1 or more.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        errors.check_number("smoothing", smoothing, "a number below 1", lambda s: s < 1)
        self.smoothing = float(smoothing)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        if not self.smoothing:
            return softmax.cross_entropy(labels, logits)
        logits = softmax.at_least_float32(logits)
        y = softmax.as_distributions(labels, logits)
        # By its two parts: TensorFlow's cross-entropy refuses a negative share.
        uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
        return (1.0 - self.smoothing) * softmax.cross_entropy(y, logits) + self.smoothing * uniform

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"smoothing": self.smoothing}


@keras.saving.register_keras_serializable("famus_tf")
class Bootstrapping(base.Loss):
    """The cross-entropy of b y + (1 - b) q (Reed et al., "Training Deep Neural Networks on Noisy Labels", 2015).

    q is p (soft, Eq. 6) or the one-hot argmax of p (hard, Eq. 7). No gradient passes through q, as in most codes.

    Args:
      share: b, in [0, 1]; 1 is the cross-entropy. Published: 0.95 soft, 0.8 hard.
      hard: whether q is one class.

    Raises:
      InputError: b is out of its range.
    """

    def __init__(self, share: float = 0.95, hard: bool = False) -> None:
        errors.check_number("share", share, "a number in [0, 1]", lambda b: 0 <= b <= 1)
        self.share = float(share)
        self.hard = bool(hard)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        of_label = softmax.cross_entropy(labels, logits)
        if self.share == 1:
            return of_label
        logits = softmax.at_least_float32(logits)
        if self.hard:
            q = tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[1], dtype=logits.dtype)
        else:
            q = tf.stop_gradient(tf.nn.softmax(logits))
        return self.share * of_label + (1.0 - self.share) * softmax.cross_entropy(q, logits)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"share": self.share, "hard": self.hard}


class _Bounded(base.Loss):
    """A loss that stays small for an example that is wrong with confidence: what weighs it is its cross-entropy."""

    def weighed_by(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """What a meta-learner sees of each example, float [n]: its cross-entropy."""
        del step
        return softmax.cross_entropy(labels, logits)


@keras.saving.register_keras_serializable("famus_tf")
class GeneralizedCrossEntropy(_Bounded):
    """(1 - p_y^q) / q (Zhang and Sabuncu, "Generalized Cross Entropy Loss", NeurIPS 2018, Eq. 6).

    Truncated (Eq. 8), the loss of an example with p_y at or below k is the constant (1 - k^q) / q, and so it moves
    nothing. Its publication leaves such examples out for ten epochs at a time, by a snapshot; here each step decides by
    the network as it is.

    Args:
      q: in (0, 1]; near 0 the cross-entropy, 1 the absolute error.
      truncation: k, in [0, 1); 0 for none. 0.5 in its code.

    Raises:
      InputError: a number is out of its range.
    """

    def __init__(self, q: float = 0.7, truncation: float = 0.0) -> None:
        errors.check_number("q", q, "a number above 0 and at most 1", lambda number: 0 < number <= 1)
        errors.check_number("truncation", truncation, "a number in [0, 1)", lambda k: 0 <= k < 1)
        self.q = float(q)
        self.truncation = float(truncation)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        log_p = tf.nn.log_softmax(logits)
        losses = -tf.math.expm1(self.q * log_p) / self.q
        if self.truncation:
            most = (1.0 - self.truncation**self.q) / self.q
            losses = tf.where(tf.exp(log_p) > self.truncation, losses, tf.constant(most, losses.dtype))
        return tf.reduce_sum(softmax.as_distributions(labels, logits) * losses, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"q": self.q, "truncation": self.truncation}


class _TwoTerms(_Bounded):
    """alpha times one loss and beta times another."""

    def __init__(self, alpha: float, beta: float) -> None:
        for name, weight in (("alpha", alpha), ("beta", beta)):
            errors.check_number(name, weight, "a number, 0 or more", lambda number: number >= 0)
        self.alpha = float(alpha)
        self.beta = float(beta)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"alpha": self.alpha, "beta": self.beta}


@keras.saving.register_keras_serializable("famus_tf")
class SymmetricCrossEntropy(_TwoTerms):
    """alpha CE + beta RCE (Wang et al., "Symmetric Cross Entropy", ICCV 2019, Eq. 7), RCE = -sum p log y.

    log 0 counts as log 1e-4 = -9.21, so that RCE of a class is 9.21 (1 - p_y).

    Args:
      alpha, beta: 0 or more. Published: 0.1, 1 for CIFAR-10; 6, 0.1 for CIFAR-100; 10, 1 for WebVision.

    Raises:
      InputError: a weight is negative.
    """

    def __init__(self, alpha: float = 0.1, beta: float = 1.0) -> None:
        super().__init__(alpha, beta)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        forward = softmax.cross_entropy(labels, logits)
        return self.alpha * forward + self.beta * reverse_cross_entropy(labels, logits)


@keras.saving.register_keras_serializable("famus_tf")
class ActivePassive(_TwoTerms):
    """alpha NCE + beta RCE (Ma et al., "Normalized Loss Functions for Deep Learning with Noisy Labels", ICML 2020).

    NCE = log p_y / sum_k log p_k (Eq. 2), RCE as in `SymmetricCrossEntropy`.

    Args:
      alpha, beta: 0 or more. Published: 1, 1 for CIFAR-10; 10, 0.1 for CIFAR-100; 50, 0.1 for WebVision.

    Raises:
      InputError: a weight is negative.
    """

    def __init__(self, alpha: float = 1.0, beta: float = 1.0) -> None:
        super().__init__(alpha, beta)

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        active = normalized_cross_entropy(labels, logits)
        return self.alpha * active + self.beta * reverse_cross_entropy(labels, logits)


def reverse_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """-sum_k p_k log max(y_k, 1e-4), float [n]; labels [n] or [n, c], logits [n, c]."""
    logits = softmax.at_least_float32(logits)
    y = softmax.as_distributions(labels, logits)
    log_y = tf.math.log(tf.where(y > _LEAST_LABEL, y, tf.where(y <= _LEAST_LABEL, _LEAST_LABEL, y)))  # NaN stays
    return -tf.reduce_sum(tf.nn.softmax(logits) * log_y, axis=-1)


def normalized_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """sum_k y_k log p_k / sum_k log p_k, float [n] in [0, 1]; labels [n] or [n, c], logits [n, c]."""
    logits = softmax.at_least_float32(logits)
    log_p = tf.nn.log_softmax(logits)
    y = softmax.as_distributions(labels, logits)
    return tf.reduce_sum(y * log_p, axis=-1) / tf.minimum(tf.reduce_sum(log_p, axis=-1), -_TINY)
