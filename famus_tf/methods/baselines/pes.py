"""PES(semi), progressive early stopping (Bai et al., "Understanding and Improving Early Stopping", NeurIPS 2021).

  T_1 epochs of cross-entropy; then the classifier begins anew and alone is trained for T_2 epochs
  before each later epoch: confident are the examples whose given label is argmax of the mean p
  step by MixMatch: confident ones with their labels, loss CE times c_k; the others with guesses, the mean p of two
    views sharpened with T = 1/2, loss lambda_u r (mean square), r rising from 0 to 1 in 16 epochs
  c_k = min(mean of the confident classes' sizes / size of class k, 3), 0 of a class without any

Differences from the published code: the classifier is trained by the run's optimizer, where the code has Adam at 1e-4;
images are judged as they are, not by two augmented views; each batch has n of both kinds, where the code divides n by
the sets' sizes; a stays as it is, where the code changes it half way. The new classifier has
the values that the run began with. Without any confident example an epoch is one of cross-entropy. In the code the new
classifier never moves after T_2, as its optimizer was made before: option `pes_frozen_head`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.losses import dividemix, softmax
from famus_tf.meta import batches, example_table
from famus_tf.methods import base, mixmatch, one_network, restart, semi_supervised
from famus_tf.networks import parts
from famus_tf.training import plan

_TEMPERATURE, _RAMP_EPOCHS, _MOST_WEIGHT = 0.5, 16, 3.0


@keras.saving.register_keras_serializable("famus_tf")
class PES(one_network.OneNetwork):
    """A network trained in three stages; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there; it ends in a Dense layer.
      num_examples: N.
      first_epochs, head_epochs, steps_per_epoch: T_1, T_2, and of the run.
      lambda_u: weight of the guesses.
      alpha: of MixUp; 0 mixes nothing.
      frozen_head: whether the classifier stays as it is after T_2.
    """

    draws_epochs = True
    further_means = ("confident_share",)

    def __init__(
        self,
        network: keras.Model,
        num_examples: int = 1,
        first_epochs: int = 20,
        head_epochs: int = 5,
        steps_per_epoch: int = 1,
        lambda_u: float = 5.0,
        alpha: float = 4.0,
        frozen_head: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.num_examples, self.first_epochs, self.head_epochs = int(num_examples), int(first_epochs), int(head_epochs)
        self.steps_per_epoch, self.lambda_u, self.alpha = int(steps_per_epoch), lambda_u, alpha
        self.frozen_head = bool(frozen_head)
        self._head = parts.of(network).head
        self._new_head = [variable.numpy() for variable in self._head.trainable_variables]
        self._confident = example_table.ExampleTable(self.num_examples)
        options = {"trainable": False, "aggregation": "only_first_replica"}
        shape = (self.num_classes,)
        self._class_weights = self.add_weight(name="class_weights", shape=shape, initializer="ones", **options)
        self._selected = self.add_weight(name="selected", shape=(), dtype="bool", initializer="zeros", **options)
        self._share = self.add_weight(name="confident_share", shape=(), initializer="zeros", **options)

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Begins the classifier anew, or selects."""
        if epoch in (self.first_epochs, self.first_epochs + self.head_epochs):
            restart.forget(self.optimizer)
        if epoch == self.first_epochs and epoch and self.head_epochs:
            for variable, value in zip(self._head.trainable_variables, self._new_head, strict=True):
                variable.assign(value)
        if epoch < self.first_epochs + self.head_epochs:
            return
        logits = look.rows(self.network)
        confident = np.isfinite(logits).all(axis=1) & (logits.argmax(axis=1) == look.labels)
        sizes = np.bincount(look.labels[confident], minlength=self.num_classes)
        mean = sizes[sizes > 0].mean() if sizes.any() else 0.0
        self._class_weights.assign(np.where(sizes > 0, np.minimum(mean / np.maximum(sizes, 1), _MOST_WEIGHT), 0.0))
        self._selected.assign(True)
        self._confident.fill(confident)
        self._share.assign(confident.mean())

    def draws(self, epoch: int, labels: np.ndarray) -> tuple[plan.Draw, plan.Draw | None]:
        """All examples; in the last stage the confident ones and the others, in two views each."""
        del labels
        if epoch < self.first_epochs + self.head_epochs:
            return plan.Draw(), None
        confident = self._confident.numpy() > 0
        if not confident.any():
            return plan.Draw(), None
        others = None if confident.all() else plan.Draw(np.flatnonzero(~confident), views=2)
        return plan.Draw(np.flatnonzero(confident), views=2), others

    def trust(self) -> np.ndarray | None:
        """1 for a confident example, else 0; None before the last stage."""
        return self._confident.numpy() if bool(self._selected.numpy()) else None

    def kept_gradients(self) -> list[tf.Tensor]:
        """The classifier's alone in the second stage, all but its own in the third where it is frozen."""
        first = self.first_epochs * self.steps_per_epoch
        last = first + self.head_epochs * self.steps_per_epoch
        step = self.step_number()
        body = tf.cast((step < first) | (step >= last), tf.float32)
        head = tf.cast(step < last, tf.float32) if self.frozen_head and self.head_epochs else tf.ones([])
        of_head = {id(variable) for variable in self._head.trainable_variables}
        return [head if id(variable) in of_head else body for variable in self.trained_variables]

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """Images, and their labels or `dividemix.MixedLabels`."""
        views = semi_supervised.views_of(batch.images)
        if len(views) == 1:
            return batch.images, batch.labels
        labelled = views, tf.one_hot(batch.labels, self.num_classes)
        if second is None:
            return semi_supervised.mixed_batch(labelled, None, self.alpha, 0.0, self.step_seeds(2))
        others = semi_supervised.views_of(second.images)
        said = semi_supervised.mean_probabilities(lambda images: self.network(images, training=True), others)
        epochs = tf.cast(self.step_number(), tf.float32) / self.steps_per_epoch - self.first_epochs - self.head_epochs
        weight = self.lambda_u * tf.clip_by_value(epochs / _RAMP_EPOCHS, 0.0, 1.0)
        guessed = others, mixmatch.sharpen(said, _TEMPERATURE)
        return semi_supervised.mixed_batch(labelled, guessed, self.alpha, weight, self.step_seeds(2))

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean loss; in the last stage sum_k c_k t_k (-log p_k) of labelled rows, and the square of the others."""
        images, labels = prepared
        logits = self.network(images, training=True)
        means = {"confident_share": self._share.value}
        if not isinstance(labels, dividemix.MixedLabels):
            loss = softmax.mean_over_batch(softmax.cross_entropy(labels, logits))
            return one_network.Outcome(loss, logits, means=means)
        loss = semi_supervised.class_weighted_loss(labels, logits, self._class_weights.value)
        return one_network.Outcome(loss, logits, as_given=False, means=means)


def build(setting: base.Setting) -> PES:
    """PES(semi) from flags (`base.Setting`)."""
    flags = setting.baselines
    numbers = setting.num_examples, flags.pes_epochs, flags.pes_head_epochs, setting.steps_per_epoch
    further = flags.pes_lambda_u, flags.pes_mixup_alpha, flags.pes_frozen_head
    method = PES(setting.make_network(0), *numbers, *further, **one_network.options(setting))
    return one_network.compiled(method, setting)
