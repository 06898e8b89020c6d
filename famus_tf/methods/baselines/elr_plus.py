"""ELR+ (Liu et al., NeurIPS 2020, section 4.2 and its code): ELR with MixUp, and targets by the other's mean weights.

  W'_k <- g W'_k + (1 - g) W_k after each step: the moving average of network k's weights (k = 1, 2)
  t_i^k <- b t_i^k + (1 - b) p^(x_i; W'_other), on the unmixed images
  x~, y~ mixed by lambda' >= 1/2 as in MixUp, t~ = lambda' t_i + (1 - lambda') t_pi
  with the product:  y~ <- y~ t~, normalised, and lambda rises as g does                   (CIFAR-100)
  network k takes a step on the mean of CE(f_k(x~), y~) + lambda log(1 - <t~, p^(x~)>)

Differences from the published code: both networks take their step on the same images, each mixed in its own way, where
the code lets them take turns by the epoch; the averages are asked in inference mode.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import given_label, softmax
from famus_tf.meta import batches, example_table
from famus_tf.methods import (
    averaged,
    base,
    early_learning,
    meta_checks,
    mixmatch,
    one_network,
    two_networks,
    weight_average,
)
from famus_tf.training.step import StepRecords


@keras.saving.register_keras_serializable("famus_tf")
class ELRPlus(two_networks.TwoNetworks):
    """Two networks with averages of their weights, and targets for each example by each.

    Args:
      networks: as in `two_networks.TwoNetworks`.
      averages: two networks with the same weights; None where `strength` is 0.
      num_examples: N.
      strength, momentum: lambda and b; with a lambda of 0 it is two networks on MixUp.
      alpha, seed: of MixUp; an alpha of 0 mixes nothing.
      average, ramp_steps: g, and S of `weight_average.momentum`.
      product: whether labels are multiplied by the targets.
    """

    def __init__(
        self,
        networks: Sequence[keras.Model],
        averages: Sequence[keras.Model] | None = None,
        num_examples: int = 1,
        strength: float = 3.0,
        momentum: float = 0.7,
        alpha: float = 1.0,
        average: float = 0.997,
        ramp_steps: int = 40000,
        product: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(networks, **kwargs)
        self.averages = list(averages or ()) if strength else []
        for network in self.averages:
            network.trainable = False
        self.num_examples = int(num_examples)
        self.seed = int(seed)
        self.strength = strength
        self.momentum = momentum
        self.alpha = alpha
        self.average = average
        self.ramp_steps = int(ramp_steps)
        self.product = product
        self.targets = [example_table.ExampleTable(self.num_examples, self.num_classes) for _ in self.averages]

    def step(self, data: Any, with_meta: bool = True) -> StepRecords:
        """One step of both networks; see `two_networks.TwoNetworks.step`."""
        del with_meta
        batch, _ = batches.unpack(data, with_meta=False, needs_index=bool(self.targets))
        number = self.step_number()
        seeds = tf.random.split(tf.stack([tf.constant(self.seed, tf.int64), number]), 4, alg="philox")
        said = self._move_targets(batch)
        mixed = [self._mixed(batch, which, seeds[2 * which : 2 * which + 2]) for which in range(2)]
        with tf.GradientTape() as tape:
            logits = [network(rows[0], training=True) for network, rows in zip(self.pair, mixed, strict=True)]
            loss = sum(self._loss(number, part, *rows[1:]) for part, rows in zip(logits, mixed, strict=True))
        self._apply(self._gradients(tape, loss))
        if self.averages:
            share = functools.partial(weight_average.momentum, number, self.average, self.ramp_steps)
            weight_average.move(self.averages, self.pair, share)
        self._means["loss"].update_state(loss * replicas.count())
        self._means["kept_share"].update_state(1.0)
        self.compute_metrics(None, batch.labels, averaged.mean_logits(logits))
        weights = tf.ones([tf.shape(batch.images)[0]])
        records: StepRecords = {"index": batch.index, "example_weight": weights, "loss": loss}
        if said:
            records.update(given_label.rows(batch.labels, averaged.mean_logits(said)))  # type: ignore[typeddict-item]
        return records

    def _move_targets(self, batch):
        """Returns the averages' logits [n, c] of the images as they are, a list."""
        logits = [average(batch.images, training=False) for average in self.averages]
        for table, of_other in zip(self.targets, reversed(logits), strict=True):
            table.move(batch.index, early_learning.normalised(early_learning.cut(of_other)), self.momentum)
        return logits

    def _mixed(self, batch, which, seeds):
        """Images, labels [n, c] and targets of one network, mixed alike; targets None without any."""
        labels = tf.one_hot(batch.labels, self.num_classes) if batch.labels.shape.rank == 1 else batch.labels
        parts = [batch.images, labels]
        if self.targets:
            parts.append(self.targets[which].rows(batch.index))
        if self.alpha:
            share = mixmatch.mix_coefficient(self.alpha, seeds[0])
            parts = [mixmatch.mixed(part, mixmatch.partner_rows(part, seeds[1]), share) for part in parts]
        elif not self.targets:
            parts[1] = batch.labels  # as they came
        return parts if self.targets else [*parts, None]

    def _loss(self, number, logits, labels, targets):
        if targets is None:
            return softmax.mean_over_batch(softmax.cross_entropy(labels, logits))
        probabilities = early_learning.cut(logits)
        strength = self.strength
        if self.product:
            agreed = labels * targets  # 0 for an example whose target knows nothing of its label
            labels = tf.where(tf.reduce_sum(agreed, axis=-1, keepdims=True) > 0, agreed, labels)
            labels = early_learning.normalised(labels)
            strength = tf.cast(self.strength * weight_average.momentum(number, 1.0, self.ramp_steps), logits.dtype)
        losses = softmax.cross_entropy(labels, logits) + strength * early_learning.penalty(targets, probabilities)
        return softmax.mean_over_batch(losses)

    def _check_examples(self, count):
        if self.strength:
            meta_checks.check_examples(self, count)


def build(setting: base.Setting) -> ELRPlus:
    """ELR+ from flags (`base.Setting`)."""
    flags = setting.baselines
    networks, averages = ([setting.make_network(number) for number in range(2)] for _ in range(2))
    numbers = flags.elr_strength, flags.elr_momentum, flags.elr_mixup_alpha, flags.average_momentum
    further = flags.average_ramp_steps, flags.elr_product, setting.seed
    decay = setting.optimization.weight_decay
    method = ELRPlus(networks, averages, setting.num_examples, *numbers, *further, weight_decay=decay)
    return one_network.compiled(method, setting)
