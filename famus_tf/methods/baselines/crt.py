"""cRT, classifier re-training (Kang et al., "Decoupling Representation and Classifier", ICLR 2020, section 4.1).

  a network that was trained on the data as they are, option `init_from`; its classifier W, b is drawn anew
  step on the mean of CE(W f(x) + b, y) for W and b alone, classes drawn alike

Differences from the published code: the features are taken in inference mode, where the code lets BatchNorm's
statistics move on.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from famus_tf.losses import softmax
from famus_tf.methods import base, class_draws, one_network
from famus_tf.networks import parts
from famus_tf.training import plan


@keras.saving.register_keras_serializable("famus_tf")
class CRT(one_network.OneNetwork):
    """A network whose classifier alone is trained; see `one_network.OneNetwork` for the arguments.

    Args:
      network: as there; it ends in a Dense or cosine layer.
    """

    draws_epochs = True

    def __init__(self, network: keras.Model, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        self._head = parts.of(network).head

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """The classifier's."""
        return self._head.trainable_variables

    def draws(self, epoch: int, labels: np.ndarray) -> tuple[plan.Draw, plan.Draw | None]:
        """As many as there are, equally many of each class on average."""
        rng = np.random.default_rng([self.seed, epoch])
        return plan.Draw(class_draws.balanced_positions(labels, len(labels), rng)), None

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean loss, the network in inference mode."""
        logits = self.network(prepared.images, training=False)
        return one_network.Outcome(softmax.mean_over_batch(self.losses(prepared.labels, logits)), logits)


def build(setting: base.Setting) -> CRT:
    """cRT from flags (`base.Setting`)."""
    network = setting.make_network(0)
    head = parts.of(network).head
    fresh = type(head).from_config(head.get_config())
    fresh.build((None, head.kernel.shape[0]))
    head.set_weights(fresh.get_weights())
    return one_network.compiled(CRT(network, **one_network.options(setting)), setting)
