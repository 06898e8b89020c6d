"""MixUp (Zhang et al., ICLR 2018): the network learns from mixtures of two images and of their labels.

  lambda ~ Beta(a, a), one for a batch; pi a permutation of it
  x~ = lambda x + (1 - lambda) x_pi
  step on the mean of lambda L(f(x~), y) + (1 - lambda) L(f(x~), y_pi)

The larger of lambda and 1 - lambda is taken: the rows are the same in another order, as pi is drawn evenly, and each
row counts for the example that is the larger part of it. With the cross-entropy the loss is that of the mixed label.
"""

from __future__ import annotations

from typing import Any

import keras

from famus_tf.losses import softmax
from famus_tf.meta import batches
from famus_tf.methods import base, mixmatch, one_network


@keras.saving.register_keras_serializable("famus_tf")
class MixUp(one_network.OneNetwork):
    """A network trained on mixed images; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there.
      alpha: a of the Beta distribution, 0 or more; 0 mixes nothing.
    """

    def __init__(self, network: keras.Model, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        self.alpha = alpha

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """Mixed images, both labels of each and the share of the first."""
        del second
        if not self.alpha:
            return batch.images, batch.labels, None, None
        images, (others,), share = self.mix_up(self.alpha, batch.images, batch.labels)
        return images, batch.labels, others, share

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean of both labels' losses by their shares."""
        images, labels, others, share = prepared
        logits = self.network(images, training=True)
        losses = self.losses(labels, logits)
        if share is not None:
            losses = mixmatch.mixed(losses, self.losses(others, logits), share)
        return one_network.Outcome(softmax.mean_over_batch(losses), logits, as_given=share is None)


def build(setting: base.Setting) -> MixUp:
    """MixUp from flags (`base.Setting`)."""
    method = MixUp(setting.make_network(0), setting.baselines.mix_alpha, **one_network.options(setting))
    return one_network.compiled(method, setting)
