"""Gold Loss Correction (Hendrycks et al., "Using Trusted Data to Train Deep Networks on Labels Corrupted by Severe
Noise", NeurIPS 2018): T from trusted images, then forward correction.

  train on cross-entropy of the given labels
  T_i. = mean of p(. | x) over the trusted images of class i                        (Eq. 2)
  begin anew: step on (sum over given labels of -log (p T)_y + sum over trusted ones of -log p_y) / (n + m)

Differences from the published code: none in the equations; rates and lengths are what the flags say. Its trusted images
are a share of the training set, here the meta set.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.meta import batches
from famus_tf.methods import base, noise_estimates, one_network, restart


@keras.saving.register_keras_serializable("famus_tf")
class GoldLoss(one_network.OneNetwork):
    """A network trained with a loss that trusted images correct; see `one_network.OneNetwork` for other arguments.

    Args:
      network: as there.
      estimate_epoch: the epoch, counted from 0, before which T is estimated and the training begins anew.
      steps_per_epoch: training steps in an epoch.
    """

    further_means = ("noise",)
    needs_meta_batches = True

    def __init__(self, network: keras.Model, estimate_epoch: int = 0, steps_per_epoch: int = 1, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        self.estimate_epoch = int(estimate_epoch)
        self.steps_per_epoch = int(steps_per_epoch)
        self._matrix = self.add_weight(
            name="transition",
            shape=(self.num_classes, self.num_classes),
            initializer="identity",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self._restart = restart.Restart(self.networks)

    def is_meta_step(self, step: int) -> bool:
        """Whether trusted images take part: once T is known."""
        return step >= self.estimate_epoch * self.steps_per_epoch

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Estimates T, and begins anew with it."""
        if epoch == self.estimate_epoch:
            logits, labels = look.trusted(self.network)
            self._matrix.assign(noise_estimates.from_trusted(tf.nn.softmax(logits).numpy(), labels))
            if epoch:
                self._restart(self.optimizer)

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """Both batches."""
        return batch, second

    def matrices(self) -> dict[str, np.ndarray]:
        """T, a row for each true class."""
        return {"transition": self._matrix.numpy()}

    def objective(self, prepared: Any) -> one_network.Outcome:
        """Corrected losses of the given labels, and cross-entropies of the trusted ones, in one pass."""
        batch, trusted = prepared
        means = {"noise": 1.0 - tf.linalg.trace(self._matrix.value) / self.num_classes}
        if trusted is None:
            logits = self.network(batch.images, training=True)
            losses = softmax.cross_entropy(batch.labels, logits)
            return one_network.Outcome(softmax.mean_over_batch(losses), logits, means=means)
        size = tf.shape(batch.images)[0]
        logits = self.network(tf.concat([batch.images, trusted.images], axis=0), training=True)
        corrected = noise_estimates.forward_losses(batch.labels, logits[:size], self._matrix.value)
        plain = softmax.cross_entropy(trusted.labels, logits[size:])
        loss = (tf.reduce_sum(corrected) + tf.reduce_sum(plain)) / tf.cast(
            (size + tf.size(plain)) * replicas.count(), plain.dtype
        )
        return one_network.Outcome(loss, logits, means=means)


def build(setting: base.Setting) -> GoldLoss:
    """Gold Loss Correction from flags (`base.Setting`)."""
    epoch = setting.baselines.estimate_epochs
    restart.in_rounds(setting.optimizer, [epoch * setting.steps_per_epoch], setting.total_steps)
    method = GoldLoss(setting.make_network(0), epoch, setting.steps_per_epoch, **one_network.options(setting))
    return one_network.compiled(method, setting)
