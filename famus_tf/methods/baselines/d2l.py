"""Dimensionality-driven learning (Ma et al., ICML 2018): labels are believed less once features need more dimensions.

  before each epoch: LID_e = mean local intrinsic dimension of the features of 1,280 images, in batches of 128, k = 20
  turning point: the first e > e_0 + 5 with LID_e - mean of the last five > 2 of their standard deviations
  from then on alpha_e = exp(-(e / E) LID_e / min LID), before 1
  step on CE against alpha_e y + (1 - alpha_e) onehot(argmax p)

Differences: cross-entropy before the turning point, as in the paper (its code has the symmetric one); no return to the
weights of the turning point, which the paper has and whose code reads back what it has just written.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.methods import base, neighbours, one_network
from famus_tf.networks import parts

_IMAGES, _BATCH, _NEIGHBOURS, _WINDOW, _DEVIATIONS = 1280, 128, 20, 5, 2.0


@keras.saving.register_keras_serializable("famus_tf")
class D2L(one_network.OneNetwork):
    """A network trained on labels that it corrects; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there; it ends in a Dense layer.
      first_epoch: e_0.
      epochs: E, of the run.
    """

    further_means = ("dimension", "label_share")

    def __init__(self, network: keras.Model, first_epoch: int = 40, epochs: int = 1, **kwargs: Any) -> None:
        super().__init__(network, **kwargs)
        self.first_epoch = int(first_epoch)
        self.epochs = int(epochs)
        self._features = parts.of(network).features
        options = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self._share = self.add_weight(name="label_share", shape=(), initializer="ones", **options)
        self._dimensions = self.add_weight(name="dimensions", shape=(self.epochs,), initializer="zeros", **options)
        self._latest = self.add_weight(name="dimension", shape=(), initializer="zeros", **options)

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Measures the dimension; at and after the turning point sets alpha."""
        chosen = np.random.default_rng([self.seed, epoch]).permutation(len(look.labels))[:_IMAGES]
        measured = self._dimensions.numpy()
        rows = look.rows(self._features, np.sort(chosen))
        measured[epoch] = mean_dimension(rows[np.argsort(np.argsort(chosen))])  # batches as they were drawn
        self._dimensions.assign(measured)
        self._latest.assign(measured[epoch])
        turned = float(self._share.numpy()) < 1
        if turned or is_turning_point(measured[: epoch + 1], self.first_epoch):
            least = max(measured[: epoch + 1].min(), 1e-6)
            self._share.assign(np.exp(-(epoch / self.epochs) * measured[epoch] / least))

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean loss of labels and predictions by their shares."""
        logits = self.network(prepared.images, training=True)
        losses = softmax.cross_entropy(prepared.labels, logits)
        share = tf.cast(self._share.value, losses.dtype)
        losses = share * losses + (1.0 - share) * softmax.cross_entropy(tf.argmax(logits, axis=-1), logits)
        means = {"dimension": self._latest.value, "label_share": self._share.value}
        weights = tf.fill([tf.shape(losses)[0]], share)
        return one_network.Outcome(softmax.mean_over_batch(losses), logits, weights, means=means)


def mean_dimension(features: np.ndarray) -> float:
    """Mean over the points, each among those of its batch of 128; 0 where none has a dimension.

    Args:
      features: float [n, d]; rows with NaN do not count.
    """
    known = features[np.isfinite(features).all(axis=1)]
    groups = np.array_split(known, max(len(known) // _BATCH, 1))
    found = [
        neighbours.intrinsic_dimension(group, min(_NEIGHBOURS, len(group) - 1)) for group in groups if len(group) > 2
    ]
    values = np.concatenate([np.empty(0), *found])
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else 0.0


def is_turning_point(dimensions: np.ndarray, first_epoch: int) -> bool:
    """Whether the last of the epochs' dimensions, one for each epoch so far, is the turning point."""
    epoch = len(dimensions) - 1
    if epoch <= first_epoch + _WINDOW:
        return False
    before = dimensions[epoch - _WINDOW : epoch]
    return bool(dimensions[epoch] - before.mean() > _DEVIATIONS * before.std())


def build(setting: base.Setting) -> D2L:
    """D2L from flags (`base.Setting`)."""
    options = one_network.options(setting)
    method = D2L(setting.make_network(0), setting.baselines.d2l_epochs, setting.epochs, **options)
    return one_network.compiled(method, setting)
