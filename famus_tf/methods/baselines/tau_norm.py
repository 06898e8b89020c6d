"""tau-normalised classifier (Kang et al., "Decoupling Representation and Classifier", ICLR 2020, section 4.3).

  a network that was trained on the data as they are, option `init_from`, with classifier W = (w_1, ..., w_c), b
  w~_k = w_k / |w_k|^tau, b~ = 0
  tau: given, or of 0, 0.1, ..., 1 the one with the highest balanced accuracy on trusted images; of equals the smallest

Nothing is trained: the steps change no weight, and one is enough. b~ = 0 is the code's. The publication chooses tau by
a validation set; by trusted images alone, as here, the choice is coarser.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax
from famus_tf.methods import base, one_network
from famus_tf.networks import parts

TAUS = tuple(k / 10 for k in range(11))


def scaled(kernel: np.ndarray, tau: float) -> np.ndarray:
    """w_k / |w_k|^tau, float [d, c]; a column of zeros stays one."""
    lengths = np.linalg.norm(kernel, axis=0)
    return kernel / np.where(lengths > 0, lengths, 1.0) ** tau


def best(features: np.ndarray, labels: np.ndarray, kernel: np.ndarray) -> float:
    """The tau of `TAUS` with the highest mean of the classes' accuracies.

    Args:
      features: float [m, d]; rows with NaN are passed over.
      labels: int [m].
      kernel: W, [d, c].
    """
    known = np.isfinite(features).all(axis=1)
    features, labels = features[known], labels[known]

    def accuracy(tau):
        right = (features @ scaled(kernel, tau)).argmax(axis=1) == labels
        return np.mean([right[labels == k].mean() for k in np.unique(labels)])

    return max(TAUS, key=accuracy)


@keras.saving.register_keras_serializable("famus_tf")
class TauNorm(one_network.OneNetwork):
    """A network whose classifier is normalised before the first step; see `one_network.OneNetwork`.

    Args:
      network: as there; it ends in a Dense layer.
      tau: in [0, 1]; None: chosen.
    """

    further_means = ("tau",)

    def __init__(self, network: keras.Model, tau: float | None = None, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        self.tau = tau
        self._parts = parts.of(network)
        head = self._parts.head
        if not isinstance(head, keras.layers.Dense):
            raise errors.InputError(
                f"network {network.name!r} ends in {type(head).__name__} {head.name!r}: expected a Dense layer, whose "
                "columns differ in length"
            )
        options = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self._used = self.add_weight(name="tau", shape=(), initializer="zeros", **options)

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Normalises."""
        if epoch:
            return
        head = self._parts.head
        kernel = head.kernel.numpy()
        tau = best(*look.trusted(self._parts.features), kernel) if self.tau is None else self.tau
        head.kernel.assign(scaled(kernel, tau))
        if head.bias is not None:
            head.bias.assign(tf.zeros_like(head.bias))
        self._used.assign(tau)

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean loss, in inference mode."""
        logits = self.network(prepared.images, training=False)
        loss = softmax.mean_over_batch(self.losses(prepared.labels, logits))
        # Not as given: of one step few examples would be known, and reports ask the network about all of them.
        return one_network.Outcome(loss, logits, as_given=False, means={"tau": self._used.value})

    def kept_gradients(self) -> list[tf.Tensor]:
        """None moves."""
        return [tf.zeros([]) for _ in self.trained_variables]


def build(setting: base.Setting) -> TauNorm:
    """The tau-normalised classifier from flags (`base.Setting`)."""
    method = TauNorm(setting.make_network(0), setting.baselines.tau, **one_network.options(setting))
    return one_network.compiled(method, setting)
