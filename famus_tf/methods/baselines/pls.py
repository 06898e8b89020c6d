"""Pseudo-loss selection, PLS (Albert et al., "Is your noise correction noisy?", WACV 2023).

  before each epoch: l_i the loss of the label, s_i that of the guess g_i of the epoch before
    noisy: P(l_i of the larger of two Gaussians) > threshold
    w_i = P(s_i of the smaller of two Gaussians over the noisy ones), 1 for the others
  g_i = normalised (mean of p over two views)^2;  target t_i = y_i, of the noisy g_i
  x~, t~, w~ mixed by lambda >= 1/2, always
  step on lambda sum w CE(f(x~), t) / sum w + (1 - lambda) sum w_pi CE(f(x~), t_pi) / sum w + KL(uniform || mean p)

In the first epochs it is MixUp. Guesses come from the views that are trained on, in training mode. The contrastive term
of its code, which needs a projection and a third view, is not here, so that published numbers are not to be expected.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import dividemix, softmax
from famus_tf.meta import batches, example_table
from famus_tf.methods import base, one_network, pseudo_loss, semi_supervised
from famus_tf.training import plan


@keras.saving.register_keras_serializable("famus_tf")
class PLS(one_network.OneNetwork):
    """A network that guesses labels and weighs its guesses; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there.
      num_examples: N.
      first_epoch: epochs of MixUp.
      alpha: of MixUp; 0 mixes nothing.
      threshold: above which probability a label is noisy.
      sharpness: power of the mean probabilities.
    """

    draws_epochs = True
    remembers = True
    further_means = ("noisy_share", "guess_weight")

    def __init__(
        self,
        network: keras.Model,
        num_examples: int = 1,
        first_epoch: int = 1,
        alpha: float = 1.0,
        threshold: float = 0.95,
        sharpness: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.num_examples = int(num_examples)
        self.first_epoch = int(first_epoch)
        self.alpha = alpha
        self.threshold = threshold
        self.sharpness = sharpness
        self._guesses = example_table.ExampleTable(self.num_examples, self.num_classes)
        # w of a noisy label, -1 of the others: whether a label is believed and how far a guess is.
        self._weights = example_table.ExampleTable(self.num_examples, initial=-1.0)
        options = {"trainable": False, "aggregation": "only_first_replica", "initializer": "zeros"}
        self._judged = self.add_weight(name="judged", shape=(), dtype="bool", **options)

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Tells noisy labels, and how far guesses are believed."""
        if epoch < self.first_epoch:
            return
        logits = look.rows(self.network)
        guesses = self._guesses.numpy()
        weights = pseudo_loss.judged(logits, look.labels, guesses, self.threshold, self.seed + epoch)
        self._weights.fill(weights)
        self._judged.assign(True)

    def trust(self) -> np.ndarray | None:
        """1 for a label that is believed, else 0; None before they are judged."""
        return (self._weights.numpy() < 0).astype(np.float32) if bool(self._judged.numpy()) else None

    def draws(self, epoch: int, labels: np.ndarray) -> tuple[plan.Draw, plan.Draw | None]:
        """All examples, in two views once there is something to guess."""
        del labels
        return plan.Draw(views=1 if epoch < self.first_epoch else 2), None

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """Mixed images, both targets and weights of each, and the share of the first."""
        del second
        views = semi_supervised.views_of(batch.images)
        given = tf.one_hot(batch.labels, self.num_classes) if batch.labels.shape.rank == 1 else batch.labels
        ones = tf.ones([tf.shape(given)[0]])
        if len(views) == 1:  # one image each: nothing is guessed
            parts = batch.images, given, ones, ones
        else:
            guessed = self._guess(views)
            self._guesses.move(batch.index, guessed)
            weights = self._weights.rows(batch.index)[:, 0]
            noisy = (weights >= 0) & self._judged.value
            targets = tf.where(noisy[:, tf.newaxis], guessed, given)
            parts = views[0], targets, tf.where(noisy, weights, 1.0), tf.cast(noisy, tf.float32)
        images, targets, weights, noisy = parts
        if not self.alpha:
            return images, (targets, weights), None, None, noisy
        images, others, share = self.mix_up(self.alpha, images, targets, weights)
        return images, (targets, weights), others, share, noisy

    def _guess(self, views):
        mean = semi_supervised.mean_probabilities(lambda images: self.network(images, training=True), views)
        powers = tf.pow(mean, self.sharpness)
        return powers / tf.reduce_sum(powers, axis=-1, keepdims=True)

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The weighed losses of the mixed targets, and the penalty once there are guesses."""
        images, (targets, weights), others, share, noisy = prepared
        logits = self.network(images, training=True)
        loss = _mean(logits, targets, weights)
        if share is not None:
            share = tf.cast(share, loss.dtype)
            loss = share * loss + (1.0 - share) * _mean(logits, *others)
        loss += tf.cast(self._judged.value, loss.dtype) * tf.cast(dividemix.class_prior_penalty(logits), loss.dtype)
        count = tf.maximum(replicas.all_reduce_sum(tf.reduce_sum(noisy)), 1e-12)
        believed = replicas.all_reduce_sum(tf.reduce_sum(noisy * weights)) / count
        means = {"noisy_share": replicas.all_reduce_mean(tf.reduce_mean(noisy)), "guess_weight": believed}
        return one_network.Outcome(loss, logits, 1.0 - noisy, as_given=share is None, means=means)


def _mean(logits, targets, weights):
    losses = softmax.cross_entropy(targets, logits)
    return softmax.weighted_mean(losses, tf.cast(weights, losses.dtype), normalize=True)


def build(setting: base.Setting) -> PLS:
    """PLS from flags (`base.Setting`)."""
    flags = setting.baselines
    numbers = flags.pls_epochs, flags.mix_alpha, flags.pls_threshold, flags.pls_sharpness
    method = PLS(setting.make_network(0), setting.num_examples, *numbers, **one_network.options(setting))
    return one_network.compiled(method, setting)
