"""Label-distribution-aware margins (Cao et al., NeurIPS 2019)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from famus_tf import errors
from famus_tf.losses import base, softmax


@keras.saving.register_keras_serializable("famus_tf")
class LDAM(base.Loss):
    """Cross-entropy of logits of which the given class's is lower by a margin that is large for small classes.

    m_c = max_margin (n_min / n_c)^(1/4) (Eq. 12, 13); loss = CE(scale (cos - m_y)). The logits are scale cos already,
    as `famus_tf.CosineClassifier` gives them, so scale m_y is taken off. With any other network `scale=1` sets the
    margin in the units of its logits.

    >>> loss = LDAM(counts=[16, 1])
    >>> loss.margins.tolist()
    [0.25, 0.5]
    >>> loss(tf.constant([1]), tf.constant([[0.0, 30.0]])).numpy().round(3).tolist()
    [0.0]

    Args:
      counts: training images of each class, int [c], none 0.
      max_margin: the margin of the smallest class, 0.5 in the paper's code.
      scale: s, 30 in the paper's code.

    Raises:
      InputError: a class has no image.
    """

    def __init__(self, counts: ArrayLike, max_margin: float = 0.5, scale: float = 30.0) -> None:
        sizes = np.asarray(counts)
        if sizes.min() < 1:
            raise errors.InputError(
                f"class {int(sizes.argmin())} has no training image, expected some of each for LDAM's margins"
            )
        self.counts = sizes.tolist()
        self.max_margin = float(max_margin)
        self.scale = float(scale)
        self.margins = self.max_margin * (sizes.min() / sizes) ** 0.25

    def __call__(self, labels: tf.Tensor, logits: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        base.check_number(len(self.counts), logits, "counts of LDAM")
        lower = softmax.as_distributions(labels, logits) * tf.constant(self.scale * self.margins, logits.dtype)
        return softmax.cross_entropy(labels, logits - lower)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"counts": self.counts, "max_margin": self.max_margin, "scale": self.scale}
