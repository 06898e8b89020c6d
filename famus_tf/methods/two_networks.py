"""Two networks trained by one step on the same batch, each or both on the examples whose loss is small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import given_label, softmax
from famus_tf.meta import batches
from famus_tf.methods import averaged, base
from famus_tf.training.step import StepRecords


class TwoNetworks(base.Method):
    """Two networks and one optimizer over both; a subclass says what is minimised.

    With an optimizer that moves each weight by itself, as SGD and Adam do, this equals one optimizer for each network.

    Args:
      networks: list of two built `keras.Model`, images [n, height, width, channels] -> logits [n, c]. They are trained
        in place.
      forget_rate: function of the number of steps done (int64 scalar) -> the share of a batch that is left out, such as
        `ForgetRate`; None: nothing is.
      weight_decay: L2 coefficient added to the gradient of every trained variable.
    """

    def __init__(
        self,
        networks: Sequence[keras.Model],
        forget_rate: Callable[[tf.Tensor], tf.Tensor] | None = None,
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight_decay, **kwargs)
        self.pair = list(networks)
        self.forget_rate = forget_rate
        self._keep_means(["loss", "kept_share"])

    @property
    def networks(self) -> list[keras.Model]:
        """The two networks."""
        return list(self.pair)

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """Trainable variables of the first network, then of the second."""
        return [variable for network in self.pair for variable in network.trainable_variables]

    def objective(
        self, labels: tf.Tensor, first: tf.Tensor, second: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What a step minimises.

        Args:
          labels: class ids [n] or distributions [n, c].
          first, second: logits [n, c] of the two networks.
          rate: share of the global batch that is left out, float64 scalar.

        Returns:
          Loss, this replica's share, and each example's weight in it, [n]; 1 is its weight in a plain mean.
        """
        raise NotImplementedError

    def step(self, data: Any, with_meta: bool = True) -> StepRecords:
        """One step on one replica's share of the batch.

        Args:
          data: `(images, labels[, index])`.
          with_meta: there are no meta steps.

        Returns:
          `training.step.StepRecords`.
        """
        del with_meta
        (images, labels, index), _ = batches.unpack(data, with_meta=False)
        rate = self._rate()
        with tf.GradientTape() as tape:
            first, second = (network(images, training=True) for network in self.pair)
            loss, weights = self.objective(labels, first, second, rate)
        logits = averaged.mean_logits([first, second])
        kept = self.kept_share(weights, rate)
        return self._taken(tape, loss, batches.Batch(images, labels, index), logits, weights, kept)

    def kept_share(self, weights: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """The share of the global batch that is learnt from, by what `objective` was given and returned."""
        del weights
        return 1.0 - rate

    def step_apart(self, *of_each: batches.Batch) -> StepRecords:
        """One step in which each network learns from a batch of its own by the cross-entropy.

        Args:
          *of_each: this replica's share of each network's batch.

        Returns:
          `training.step.StepRecords` of the first.
        """
        with tf.GradientTape() as tape:
            logits = [network(batch.images, training=True) for network, batch in zip(self.pair, of_each, strict=True)]
            losses = [softmax.cross_entropy(batch.labels, part) for batch, part in zip(of_each, logits, strict=True)]
            loss = sum(map(softmax.mean_over_batch, losses))
        return self._taken(tape, loss, of_each[0], logits[0], tf.ones_like(losses[0]), 1.0)

    def _taken(self, tape, loss, batch, logits, weights, kept_share):
        """The optimizer's step, and the records: of the batch's logits [n, c] and weights [n]."""
        self._apply(self._gradients(tape, loss))
        self._means["loss"].update_state(loss * replicas.count())
        self._means["kept_share"].update_state(kept_share)
        self.compute_metrics(None, batch.labels, logits)
        records: StepRecords = {"index": batch.index, "example_weight": tf.cast(weights, tf.float32), "loss": loss}
        records.update(given_label.rows(batch.labels, logits))  # type: ignore[typeddict-item]
        return records

    def _rate(self) -> tf.Tensor:
        return tf.cast(0.0 if self.forget_rate is None else self.forget_rate(self.step_number()), tf.float64)


@keras.saving.register_keras_serializable("famus_tf")
class ForgetRate:
    """F(e) = tau min(e / (T_k - 1), 1): the share of a batch that is left out in epoch e, counted from 0.

    Source: Han et al., "Co-teaching" (NeurIPS 2018), Algorithm 1; the ramp as in its code.

    Args:
      rate: tau, in [0, 1).
      ramp_epochs: T_k; 1: tau from the start.
      steps_per_epoch: training steps in an epoch.
    """

    def __init__(self, rate: float, ramp_epochs: int, steps_per_epoch: int) -> None:
        self.rate = rate
        self.ramp_epochs = ramp_epochs
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The share left out, float64 scalar; `step` is the number of steps done, int64."""
        epoch = tf.cast(step // self.steps_per_epoch, tf.float64)
        if self.ramp_epochs == 1:
            return tf.constant(self.rate, tf.float64)
        return self.rate * tf.minimum(epoch / (self.ramp_epochs - 1), 1.0)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return {"rate": self.rate, "ramp_epochs": self.ramp_epochs, "steps_per_epoch": self.steps_per_epoch}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ForgetRate:
        """The inverse of `get_config`."""
        return cls(**config)


def small_loss_weights(losses: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
    """Weights that leave the examples of largest loss out: those that are kept share the whole weight of the batch.

    The kept are the int((1 - rate) n) smallest of the global batch, at least one; of equal losses those that come
    first. May not stand in a `tf.cond`, as nothing over replicas may.

    Args:
      losses: this replica's, float [n]; NaN counts as the largest.
      rate: share left out, float64 scalar in [0, 1).

    Returns:
      Float [n] of the losses' type: global n / kept, or 0. Without a gradient.
    """
    everyone = replicas.all_gather(tf.stop_gradient(losses))
    count = tf.shape(everyone)[0]
    # 1 - 0.9 is a little less than 0.1, and so int((1 - 0.9) 10) would be 0.
    kept = tf.cast(tf.floor((1.0 - rate) * tf.cast(count, tf.float64) + 1e-9), tf.int32)
    kept = tf.maximum(kept, 1)
    largest_last = tf.where(tf.math.is_nan(everyone), tf.constant(float("inf"), everyone.dtype), everyone)
    order = tf.argsort(largest_last, stable=True)
    # Of the batch's shape, not of what is kept, which XLA could not know.
    first = tf.cast(tf.range(count) < kept, losses.dtype)
    is_kept = tf.scatter_nd(order[:, tf.newaxis], first, [count])
    weight = is_kept * tf.cast(count, losses.dtype) / tf.cast(kept, losses.dtype)
    return _rows_of_replica(weight, tf.shape(losses)[0])


def mean_of_kept(losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """This replica's share of the mean loss of the kept examples of the global batch; losses and weights [n]."""
    # A product of 0 and an infinite loss would be no number.
    return softmax.mean_over_batch(tf.where(weights > 0, losses, tf.zeros_like(losses)) * weights)


def _rows_of_replica(rows: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """This replica's part of what `replicas.all_gather` has joined."""
    context = tf.distribute.get_replica_context()
    number = 0 if context is None or replicas.count() == 1 else context.replica_id_in_sync_group
    return rows[number * size : (number + 1) * size]
