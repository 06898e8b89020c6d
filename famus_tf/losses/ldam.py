"""Label-distribution-aware margins (Cao et al., NeurIPS 2019)."""

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import base, softmax


@keras.saving.register_keras_serializable("famus_tf")
class LDAM(base.Loss):
    """Cross-entropy of logits of which the given class's is lower by a margin that is large for small classes.

    m_c = max_margin (n_min / n_c)^(1/4) (Eq. 12, 13); loss = CE(scale (cos - m_y)). The logits are scale cos already,
    as `networks.CosineClassifier` gives them, so scale m_y is taken off. With any other network `scale=1` sets the
    margin in the units of its logits.

    Args:
      counts: training images of each class, int [c], none 0.
      max_margin: the margin of the smallest class, 0.5 in the paper's code.
      scale: s, 30 in the paper's code.

    Raises:
      InputError: a class has no image.
    """

    def __init__(self, counts, max_margin=0.5, scale=30.0):
        counts = np.asarray(counts)
        if counts.min() < 1:
            raise errors.InputError(
                f"class {int(counts.argmin())} has no training image, expected some of each for LDAM's margins"
            )
        self.counts, self.max_margin, self.scale = counts.tolist(), float(max_margin), float(scale)
        self.margins = self.max_margin * (counts.min() / counts) ** 0.25

    def __call__(self, labels, logits, step=None):
        """The loss of each example, float32 [n] (float64 for float64 logits); labels [n] or [n, c]."""
        del step
        logits = softmax.at_least_float32(logits)
        lower = softmax.as_distributions(labels, logits) * tf.constant(self.scale * self.margins, logits.dtype)
        return softmax.cross_entropy(labels, logits - lower)

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        return {"counts": self.counts, "max_margin": self.max_margin, "scale": self.scale}
