"""MentorNet (Jiang et al., ICML 2018): small losses are learnt from, by a curriculum that is defined beforehand.

  m <- m/2 + q/2, q the percentile of the batch's losses, m = 0 at first
  d_i = l_i - m;  e = 0..99, the percent of the run that is done
  threshold     v_i = 1[d_i < 0]
  predefined    v_i = 1 where e <= 18; 1[d_i <= 0] where e <= 90; then clip(1 - d_i, 0, 1)
  v_i = 1 in the burn-in;  v_i = 0 for the share of the batch that example dropout draws
  step on sum_i v_i l_i / n, weight decay times the mean of v

These are the closed forms that its network g is fitted to in advance (predefined), or that its authors use in its place
(threshold, in MentorMix's code). The data-driven curriculum, a g learnt from true labels, is not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.methods import base, curriculum, one_network


@keras.saving.register_keras_serializable("famus_tf")
class MentorNet(one_network.OneNetwork):
    """A network with a mentor; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there.
      total_steps: of the run.
      form: "threshold" or "predefined".
      percentile: of the losses, in (0, 1].
      burn_in: share of the run in which all examples count.
      dropout: example dropout, pairs of a share left out and for how many percents of the run, flat.
    """

    further_means = ("kept_share", "threshold")

    def __init__(
        self,
        network: keras.Model,
        total_steps: int = 1,
        form: str = "predefined",
        percentile: float = 0.75,
        burn_in: float = 0.0,
        dropout: Sequence[float] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.total_steps = int(total_steps)
        self.form = form
        self.percentile = percentile
        self.burn_in = burn_in
        self.dropout = list(dropout)
        self._threshold = curriculum.Threshold(percentile)

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The losses times what the mentor says of them."""
        logits = self.network(prepared.images, training=True)
        losses = self.losses(prepared.labels, logits)
        values = self._values(tf.stop_gradient(losses))
        weighted = tf.where(values > 0, losses, tf.zeros_like(losses)) * values
        share = replicas.all_reduce_mean(tf.reduce_mean(values))
        means = {"kept_share": share, "threshold": self._threshold.value}
        decay = self.weight_decay * share
        return one_network.Outcome(softmax.mean_over_batch(weighted), logits, values, decay=decay, means=means)

    def _values(self, losses):
        threshold = tf.cast(self._threshold.move(losses), losses.dtype)
        done = tf.cast(self.step_number(), tf.float64) / self.total_steps
        percent = tf.minimum(tf.floor(100.0 * done), 99.0)
        if self.form == "predefined":
            values = curriculum.predefined(losses - threshold, percent)
        else:
            values = tf.cast(losses < threshold, losses.dtype)
        if self.burn_in:
            values = tf.where(done < self.burn_in, tf.ones_like(values), values)
        if not self.dropout:
            return values
        return values * curriculum.kept_at_random(values, self._dropout_at(percent), self.step_seeds(1)[0])

    def _dropout_at(self, percent):
        rates, ends = self.dropout[::2], np.cumsum(self.dropout[1::2])
        rate = tf.zeros([], tf.float64)
        for one, end in reversed([*zip(rates, ends, strict=True)]):
            rate = tf.where(percent < end, tf.constant(one, tf.float64), rate)
        return rate


def build(setting: base.Setting) -> MentorNet:
    """MentorNet from flags (`base.Setting`)."""
    flags = setting.baselines
    method = MentorNet(
        setting.make_network(0),
        setting.total_steps,
        flags.mentor_curriculum,
        flags.mentor_percentile,
        flags.mentor_burn_in,
        flags.mentor_dropout,
        **one_network.options(setting),
    )
    return one_network.compiled(method, setting)
