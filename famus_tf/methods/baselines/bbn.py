"""BBN, the bilateral-branch network (Zhou et al., CVPR 2020): one branch for all data, one for rare classes.

  (x_c, y_c) a natural batch; (x_r, y_r) a reversed one, class k drawn ~ n_max / n_k           (section 4.2)
  a = 1 - (e / E)^2, e = 0, 1, ...
  z = 2 W [a f_c(x_c) ; (1 - a) f_r(x_r)] + b                                                  (section 4.3)
  step on the mean of a CE(z, y_c) + (1 - a) CE(z, y_r)
  evaluation: W [f_c(x) ; f_r(x)] + b

f_c and f_r share all but the last residual block. The factor 2 and the one classifier on both are the code's. It is
evaluated with the same a = 1/2 twice over. Where there is no second batch, as in the tests, a is 1.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.meta import batches
from famus_tf.methods import base, class_draws, one_network, two_streams
from famus_tf.training import plan


@keras.saving.register_keras_serializable("famus_tf")
class BBN(one_network.OneNetwork):
    """A network with two branches; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: what `two_streams.two_branches` makes.
      epochs, steps_per_epoch: of the run.
      power: of e / E.
    """

    draws_epochs = True
    further_means = ("natural_share",)

    def __init__(
        self, network: keras.Model, epochs: int = 1, steps_per_epoch: int = 1, power: float = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(network, **kwargs)
        self.epochs = int(epochs)
        self.steps_per_epoch = int(steps_per_epoch)
        self.power = power

    def draws(self, epoch: int, labels: np.ndarray) -> tuple[plan.Draw, plan.Draw | None]:
        """All examples, and as many of the reversed distribution."""
        rng = np.random.default_rng([self.seed, epoch])
        return plan.Draw(), plan.Draw(class_draws.reversed_positions(labels, len(labels), rng))

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """Both batches, and a."""
        if second is None:
            return batch, batch, tf.ones([])
        epoch = tf.cast(self.step_number() // self.steps_per_epoch, tf.float32)
        return batch, second, 1.0 - tf.pow(epoch / self.epochs, self.power)

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean of both streams' losses by their shares."""
        natural, other, share = prepared
        trunk, classifier = self.network.get_layer(two_streams.TRUNK), self.network.get_layer(two_streams.CLASSIFIER)
        features = []
        for name, batch, part in zip(two_streams.BRANCHES, (natural, other), (share, 1.0 - share), strict=True):
            of_branch = self.network.get_layer(name)(trunk(batch.images, training=True), training=True)
            of_branch = softmax.at_least_float32(of_branch)
            features.append(2.0 * tf.cast(part, of_branch.dtype) * of_branch)
        logits = classifier(tf.concat(features, axis=-1))
        part = tf.cast(share, logits.dtype)
        losses = part * self.losses(natural.labels, logits) + (1.0 - part) * self.losses(other.labels, logits)
        means = {"natural_share": share}
        return one_network.Outcome(softmax.mean_over_batch(losses), logits, as_given=False, means=means)


def build(setting: base.Setting) -> BBN:
    """BBN from flags (`base.Setting`)."""
    network = two_streams.two_branches(setting.make_network(0))
    options = one_network.options(setting)
    method = BBN(network, setting.epochs, setting.steps_per_epoch, setting.baselines.bbn_power, **options)
    return one_network.compiled(method, setting)
