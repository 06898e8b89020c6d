"""SSR, sample selection and relabelling (Feng et al., BMVC 2022).

  before each epoch, in inference mode, of all images: features f of unit length, probabilities p
    relabel: y'_i = argmax p_i where max p_i > th_r, else the given label
    select: the k nearest by cosine vote for their y', weighed by 1 / its size; clean where y'_i has th_s of the most
  an epoch: as many batches as all images fill, of clean examples, of each class as many as of the largest
  both views of a batch mixed with each other by lambda >= 1/2, lambda ~ Beta(a, a);  step on CE against the mixed y'

Differences from the published code: weak augmentation, where it trains with AutoAugment's; images are judged as they
are, not weakly augmented. The consistency loss of SSR+ is not here.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax
from famus_tf.meta import batches, example_table
from famus_tf.methods import base, mixmatch, neighbours, one_network, semi_supervised
from famus_tf.networks import parts
from famus_tf.training import plan


@keras.saving.register_keras_serializable("famus_tf")
class SSR(one_network.OneNetwork):
    """A network that selects by its neighbours; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there; it ends in a Dense layer.
      num_examples: N.
      relabel_above: th_r, in [0, 1]; 1 for never.
      clean_from: th_s, in [0, 1]; 0 for all.
      neighbours: k.
      alpha: a; 0 mixes nothing.
    """

    draws_epochs = True
    remembers = True
    further_means = ("clean_share", "relabelled_share")

    def __init__(
        self,
        network: keras.Model,
        num_examples: int = 1,
        relabel_above: float = 0.9,
        clean_from: float = 1.0,
        neighbours: int = 200,
        alpha: float = 4.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.num_examples, self.neighbours = int(num_examples), int(neighbours)
        self.relabel_above, self.clean_from, self.alpha = relabel_above, clean_from, alpha
        self._both = parts.of(network).both
        self._labels = example_table.ExampleTable(self.num_examples, initial=-1.0)  # y'; -1: as given
        self._clean = example_table.ExampleTable(self.num_examples, initial=1.0)
        self._trust = example_table.ExampleTable(self.num_examples, initial=-1.0)  # -1: before the first epoch
        options = {"trainable": False, "aggregation": "only_first_replica"}
        self._shares = self.add_weight(name="shares", shape=(2,), initializer="zeros", **options)

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Relabels and selects."""
        del epoch
        rows = look.rows(self._both)
        features, logits = rows[:, : -self.num_classes], rows[:, -self.num_classes :]
        labels = relabelled(logits, look.labels, self.relabel_above)
        votes = neighbours.votes(features, labels, self.num_classes, self.neighbours)
        clean = neighbours.clean_by_votes(votes, labels, self.clean_from)
        self._labels.fill(labels)
        self._clean.fill(clean)
        self._trust.fill(clean & (labels == look.labels))
        self._shares.assign([clean.mean(), (labels != look.labels).mean()])

    def trust(self) -> np.ndarray | None:
        """1 for an example that is clean with the label that it was given, else 0."""
        return None if self._trust.numpy().min() < 0 else self._trust.numpy()

    def draws(self, epoch: int, labels: np.ndarray) -> tuple[plan.Draw, plan.Draw | None]:
        """The clean examples, each class as often as the largest."""
        rng = np.random.default_rng([self.seed, epoch])
        known, clean = self._labels.numpy().astype(np.int64), self._clean.numpy() > 0
        positions = filled_to_largest(np.where(known < 0, labels, known), clean, rng)
        return plan.Draw(positions if len(positions) else None, views=2), None

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """All views mixed, their labels or targets, and whether they are as they came."""
        del second
        views = semi_supervised.views_of(batch.images)
        known = tf.cast(self._labels.rows(batch.index)[:, 0], batch.labels.dtype)
        labels = tf.concat([tf.where(known < 0, batch.labels, known)] * len(views), axis=0)
        images = tf.concat(views, axis=0)
        if not self.alpha:
            return images, labels, len(views) == 1
        coefficient, permutation = tf.unstack(self.step_seeds(2))
        share = mixmatch.mix_coefficient(self.alpha, coefficient)
        targets = tf.one_hot(labels, self.num_classes)
        return *mixmatch.mix_up(images, targets, share, permutation, blocks=len(views)), False

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean cross-entropy."""
        images, labels, as_given = prepared
        logits = self.network(images, training=True)
        clean, changed = tf.unstack(self._shares.value)
        means = {"clean_share": clean, "relabelled_share": changed}
        loss = softmax.mean_over_batch(softmax.cross_entropy(labels, logits))
        return one_network.Outcome(loss, logits, as_given=as_given, means=means)


def relabelled(logits: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
    """The predicted class where its probability is above the threshold, else the label, int64 [N].

    Args:
      logits: float [N, c]; rows with NaN keep their label.
      labels: given labels, int [N].
      threshold: th_r.
    """
    probabilities = tf.nn.softmax(logits).numpy()
    with np.errstate(invalid="ignore"):
        sure = probabilities.max(axis=1) > threshold
    return np.where(sure, probabilities.argmax(axis=1), labels).astype(np.int64)


def filled_to_largest(labels: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions of the chosen examples, those of smaller classes again until each has as many as the largest.

    Args:
      labels: int [N].
      chosen: bool [N].
      rng: what draws which come again.
    """
    groups = [np.flatnonzero(chosen & (labels == label)) for label in np.unique(labels[chosen])]
    largest = max(map(len, groups), default=0)
    return np.concatenate([np.empty(0, np.int64), *(np.resize(rng.permutation(part), largest) for part in groups)])


def build(setting: base.Setting) -> SSR:
    """SSR from flags (`base.Setting`)."""
    flags = setting.baselines
    numbers = flags.ssr_relabel_above, flags.ssr_clean_from, flags.ssr_neighbours, flags.ssr_mixup_alpha
    method = SSR(setting.make_network(0), setting.num_examples, *numbers, **one_network.options(setting))
    return one_network.compiled(method, setting)
