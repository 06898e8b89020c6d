"""MentorMix (Jiang et al., ICML 2020): images that a mentor trusts are mixed into all others.

  v_i = 1[l_i < m]                                     by `curriculum.Threshold` over the losses of the batch
  partner j(i) ~ Categorical(softmax(v)), lambda_i ~ Beta(a, a), each example by itself
  lambda_i <- max(lambda_i, 1 - lambda_i) where v_i >= 1/2, else the smaller of them
  x~_i = lambda_i x_i + (1 - lambda_i) x_j(i), and the label likewise
  step on the mean of l~; with the second weighing on the mean of v~ l~, v~ by a second m over l~, no weight decay

After its code, whose numbers are better than the paper's. It reports averaged weights, which are not here.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.meta import batches
from famus_tf.methods import base, curriculum, mixmatch, one_network


@keras.saving.register_keras_serializable("famus_tf")
class MentorMix(one_network.OneNetwork):
    """A network trained on images mixed as a mentor says; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there.
      first_step: steps of the burn-in, in which all v are 1.
      alpha: a; 0 mixes nothing.
      percentile: of both m, in (0, 1].
      second_weighing: whether mixed losses are weighed again.
    """

    further_means = ("kept_share",)

    def __init__(
        self,
        network: keras.Model,
        first_step: int = 0,
        alpha: float = 2.0,
        percentile: float = 0.7,
        second_weighing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.first_step = int(first_step)
        self.alpha = alpha
        self.percentile = percentile
        self.second_weighing = second_weighing
        self._thresholds = [curriculum.Threshold(percentile) for _ in range(2)]

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """Mixed images, both labels of each, the share of the first [n], and v [n]."""
        del second
        if not self.alpha:
            return batch.images, batch.labels, None, None, tf.ones([tf.shape(batch.images)[0]])
        coefficients, partners = tf.unstack(self.step_seeds(2))
        values = self._values(self.losses(batch.labels, self.network(batch.images, training=True)), 0)
        place = _partners(values, partners)
        size = tf.shape(values)[0]
        rows = slice(replicas.number() * size, (replicas.number() + 1) * size)
        larger = mixmatch.mix_coefficients(self.alpha, coefficients, size * replicas.count())[rows]
        share = tf.where(values >= 0.5, larger, 1.0 - larger)
        images, labels = (
            tf.ensure_shape(tf.gather(mixmatch.of_all_replicas(part), place), part.shape)
            for part in (batch.images, batch.labels)
        )
        return mixmatch.mixed(batch.images, images, share), batch.labels, labels, share, values

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean of both labels' losses by their shares, weighed again where it is asked for."""
        images, labels, others, share, values = prepared
        logits = self.network(images, training=True)
        losses = self.losses(labels, logits)
        if share is not None:
            losses = mixmatch.mixed(losses, self.losses(others, logits), share)
        means = {"kept_share": replicas.all_reduce_mean(tf.reduce_mean(values))}
        weights = decay = None
        if self.second_weighing:
            weights = tf.cast(self._values(tf.stop_gradient(losses), 1), losses.dtype)
            losses, decay = weights * losses, tf.zeros([])
        loss = softmax.mean_over_batch(losses)
        return one_network.Outcome(loss, logits, weights, share is None, decay, means)

    def _values(self, losses, which):
        kept = tf.cast(losses < tf.cast(self._thresholds[which].move(losses), losses.dtype), tf.float32)
        return tf.where(self.step_number() < self.first_step, tf.ones_like(kept), kept)


def _partners(values, seed):
    """Where the partner of each of this replica's rows stands in the global batch, int64 [n], by Gumbel's maxima."""
    everyone = replicas.all_gather(values)
    size, count = tf.shape(values)[0], tf.size(everyone)
    uniform = tf.random.stateless_uniform([count, count], seed, minval=1e-30, alg="philox")
    rows = uniform[replicas.number() * size : (replicas.number() + 1) * size]
    return tf.argmax(everyone[tf.newaxis] - tf.math.log(-tf.math.log(rows)), axis=1)


def build(setting: base.Setting) -> MentorMix:
    """MentorMix from flags (`base.Setting`)."""
    flags = setting.baselines
    method = MentorMix(
        setting.make_network(0),
        round(flags.mentormix_burn_in * setting.total_steps),
        flags.mentormix_alpha,
        flags.mentormix_percentile,
        flags.mentormix_second,
        **one_network.options(setting),
    )
    return one_network.compiled(method, setting)
