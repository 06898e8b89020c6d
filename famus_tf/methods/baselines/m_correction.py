"""M-correction (Arazo et al., ICML 2019): labels are mixed with predictions as far as a beta mixture finds them wrong.

  before each epoch: fit two beta distributions to the losses of all labels (`beta_mixture`)
  w_i = P(wrong label | l_i), by the present loss of each example
  target_i = (1 - w_i) y_i + w_i q_i, q_i the prediction on the unmixed image: one class (M-DYR-H) or p (M-DYR-S)
  step on lambda CE(f(x~), target) + (1 - lambda) CE(f(x~), target_pi) + KL(uniform || mean p), as in MixUp

In the first epochs it is MixUp. Differences from the published code: losses and predictions come from one pass in
inference mode, where the code asks the network in training mode for the latter; the mixture is fitted to losses of
images as they are, not augmented. MD-DYR-SH, whose mixing follows w too, is not here.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import dividemix, softmax
from famus_tf.meta import batches
from famus_tf.methods import base, beta_mixture, mixmatch, one_network


@keras.saving.register_keras_serializable("famus_tf")
class MCorrection(one_network.OneNetwork):
    """A network trained on corrected, mixed labels; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there.
      first_epoch: epochs of MixUp.
      alpha: of MixUp; 0 mixes nothing.
      hard: whether a prediction is one class.
      prior: weight of the KL term.
    """

    further_means = ("wrong_probability",)

    def __init__(
        self,
        network: keras.Model,
        first_epoch: int = 0,
        alpha: float = 32.0,
        hard: bool = True,
        prior: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.first_epoch = int(first_epoch)
        self.alpha = alpha
        self.hard = hard
        self.prior = prior
        options = {"trainable": False, "autocast": False, "aggregation": "only_first_replica", "initializer": "zeros"}
        self._corrects = self.add_weight(name="corrects", shape=(), dtype="bool", **options)
        self._range = self.add_weight(name="range", shape=(2,), **options)
        self._table = self.add_weight(name="table", shape=(beta_mixture.POINTS,), **options)

    def begin_epoch(self, epoch: int, look: base.Look) -> None:
        """Fits the mixture."""
        if epoch < self.first_epoch:
            return
        logits = look.rows(self.network)
        fitted = beta_mixture.fit(softmax.cross_entropy(tf.constant(look.labels), tf.constant(logits)).numpy())
        self._corrects.assign(fitted is not None)
        if fitted is not None:
            self._range.assign([fitted.low, fitted.high])
            self._table.assign(fitted.table)

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """Mixed images, both targets of each [n, c], the share of the first, and w [n]."""
        del second

        def corrected():
            logits = softmax.at_least_float32(self.network(batch.images, training=False))
            wrong = self._wrong(softmax.cross_entropy(batch.labels, logits))
            said = tf.cast(tf.nn.softmax(logits), tf.float32)
            if self.hard:
                said = tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[1])
            return mixmatch.mixed(said, given, wrong), wrong

        given = tf.one_hot(batch.labels, self.num_classes) if batch.labels.shape.rank == 1 else batch.labels
        nothing = tf.zeros([tf.shape(batch.images)[0]])
        targets, wrong = tf.cond(self._corrects.value, corrected, lambda: (given, nothing))
        if not self.alpha:
            return batch.images, targets, None, None, wrong
        images, (others,), share = self.mix_up(self.alpha, batch.images, targets)
        return images, targets, others, share, wrong

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean loss of the mixed targets, and the penalty once labels are corrected."""
        images, targets, others, share, wrong = prepared
        logits = self.network(images, training=True)
        if share is not None:
            targets = mixmatch.mixed(targets, others, share)
        loss = softmax.mean_over_batch(softmax.cross_entropy(targets, logits))
        if self.prior:
            penalty = dividemix.class_prior_penalty(logits)
            loss += self.prior * tf.cast(self._corrects.value, loss.dtype) * tf.cast(penalty, loss.dtype)
        means = {"wrong_probability": replicas.all_reduce_mean(tf.reduce_mean(wrong))}
        return one_network.Outcome(loss, logits, 1.0 - wrong, share is None, means=means)

    def _wrong(self, losses):
        low, high = tf.unstack(self._range.value)
        scaled = tf.clip_by_value((tf.cast(losses, tf.float32) - low) / (high - low), 0.0, 1.0)
        return tf.gather(self._table.value, tf.cast(scaled * (beta_mixture.POINTS - 1), tf.int32))


def build(setting: base.Setting) -> MCorrection:
    """M-correction from flags (`base.Setting`)."""
    flags = setting.baselines
    method = MCorrection(
        setting.make_network(0),
        flags.m_correction_epochs,
        flags.m_correction_alpha,
        flags.m_correction_target == "hard",
        **one_network.options(setting),
    )
    return one_network.compiled(method, setting)
