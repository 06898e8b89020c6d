"""Forward and backward correction of the loss (Patrini et al., CVPR 2017): the network is right, the labels are not.

  T_ij = P(given label j | true label i)
  forward   l = -log (p T)_y                  so that p, and not p T, is what the labels would be without noise
  backward  l = -sum_j (y T^-1)_j log p_j     whose mean over the noise is the cross-entropy of the true label

Without a T that is known: train on cross-entropy; for each class i row i of T is what the network says of the example
that is most certainly of it (`noise_estimates.from_anchors`); begin anew with T.

Differences from the published code: the network that T is estimated with is that of the last epoch before, not the one
with the lowest loss on a tenth of the labels that is left out; its filter of a class's 3% most certain examples changes
the probabilities for the classes after it, which is not copied.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from famus_tf.losses import softmax
from famus_tf.methods import base, noise_estimates, one_network, restart


@keras.saving.register_keras_serializable("famus_tf")
class Forward(one_network.OneNetwork):
    """A network trained with a corrected loss; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there.
      transition: T, [c, c]; None: estimated.
      estimate_epoch: the epoch, counted from 0, before which T is estimated and the training begins anew.
      percentile: of `noise_estimates.from_anchors`.
      correction: "forward" or "backward".
    """

    further_means = ("noise",)

    def __init__(
        self,
        network: keras.Model,
        transition: ArrayLike | None = None,
        estimate_epoch: int = 0,
        percentile: float = 97.0,
        correction: str = "forward",
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.transition = None if transition is None else np.asarray(transition).tolist()
        self.estimate_epoch = int(estimate_epoch)
        self.percentile = float(percentile)
        self.correction = correction
        names, shape = ("transition", "inverse"), (self.num_classes, self.num_classes)
        options = {
            "trainable": False,
            "autocast": False,
            "initializer": "identity",
            "aggregation": "only_first_replica",
        }
        self._matrix, self._inverse = (self.add_weight(name=name, shape=shape, **options) for name in names)
        self._corrects = self.add_weight(
            name="corrects",
            shape=(),
            dtype="bool",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self._restart = restart.Restart(self.networks)
        if self.transition is not None:
            self.correct_by(np.asarray(self.transition))

    def correct_by(self, transition: np.ndarray) -> None:
        """Takes T [c, c]; InputError for backward correction where it has no inverse."""
        noise_estimates.checked(transition, self.num_classes, "transition")
        inverse = noise_estimates.inverse(transition) if self.correction == "backward" else np.eye(self.num_classes)
        self._inverse.assign(inverse)
        self._matrix.assign(transition)
        self._corrects.assign(True)

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Estimates T, and begins anew with it."""
        if self.transition is None and epoch == self.estimate_epoch and epoch:
            probabilities = tf.nn.softmax(look.rows(self.network)).numpy()
            self.correct_by(noise_estimates.from_anchors(probabilities, self.percentile, look.labels))
            self._restart(self.optimizer)

    def matrices(self) -> dict[str, np.ndarray]:
        """T, a row for each true class."""
        return {"transition": self._matrix.numpy()}

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean corrected loss."""
        logits = self.network(prepared.images, training=True)
        matrix = self._matrix.value

        def corrected():
            if self.correction == "forward":
                return noise_estimates.forward_losses(prepared.labels, logits, matrix)
            return noise_estimates.backward_losses(prepared.labels, logits, self._inverse.value)

        losses = tf.cond(self._corrects.value, corrected, lambda: softmax.cross_entropy(prepared.labels, logits))
        means = {"noise": 1.0 - tf.linalg.trace(matrix) / self.num_classes}
        return one_network.Outcome(softmax.mean_over_batch(losses), logits, means=means)


def build(setting: base.Setting) -> Forward:
    """Forward or backward correction from flags (`base.Setting`)."""
    flags = setting.baselines
    given = noise_estimates.read(flags.transition_file, setting.num_classes) if flags.transition_file else None
    if given is None:
        restart.in_rounds(setting.optimizer, [flags.estimate_epochs * setting.steps_per_epoch], setting.total_steps)
    method = Forward(
        setting.make_network(0),
        given,
        flags.estimate_epochs,
        flags.anchor_percentile,
        flags.correction,
        **one_network.options(setting),
    )
    return one_network.compiled(method, setting)
