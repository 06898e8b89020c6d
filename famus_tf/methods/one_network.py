"""One network trained by one step: what a batch is made into, and the loss of it; a subclass says both or one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import given_label, softmax
from famus_tf.meta import batches
from famus_tf.methods import base, mixmatch
from famus_tf.training.step import StepRecords


class Outcome(NamedTuple):
    """What a forward pass comes to.

    Attributes:
      loss: what is minimised, this replica's share, a scalar.
      logits: float [n, c], of the batch's n examples or of rows in which they have the larger part.
      weights: each example's weight in the loss, float [n]; 1 is its weight in a plain mean. None: 1.
      as_given: whether the logits are those of the images as they came, so that they tell of the given labels.
      decay: L2 coefficient of this step, a scalar; None: the method's.
      means: dict of further running means of the epoch, by the names of `further_means`; scalars alike on all replicas.
    """

    loss: tf.Tensor
    logits: tf.Tensor
    weights: tf.Tensor | None = None
    as_given: bool = True
    decay: tf.Tensor | None = None
    means: dict[str, tf.Tensor] | None = None


class OneNetwork(base.Method):
    """A network and an optimizer. As it stands it is plain training.

    A subclass overrides `prepare`, what comes before the gradient is taken, and `objective`, of which it is taken.

    Args:
      network: functional `keras.Model`, images [n, height, width, channels] -> logits [n, c]; it is trained in place.
      training_loss: function of labels, logits [n, c] and the number of steps done -> the loss of each example [n],
        such as those of `famus_tf.losses`; None for the cross-entropy.
      weight_decay: L2 coefficient added to the gradient of every trained variable.
      seed: of what the method draws by itself.

    Attributes:
      remembers: whether the batches' index is needed.
      further_means: names of the running means of an epoch besides `loss`, as TensorBoard shows them.
    """

    remembers = False
    further_means: tuple[str, ...] = ()

    def __init__(
        self,
        network: keras.Model,
        training_loss: Callable[..., tf.Tensor] | None = None,
        weight_decay: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight_decay, **kwargs)
        self.network = network
        self.training_loss = training_loss
        self.seed = int(seed)
        self._keep_means(["loss", *self.further_means])

    @property
    def networks(self) -> list[keras.Model]:
        """The one network, in a list."""
        return [self.network]

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """The network's trainable variables."""
        return self.network.trainable_variables

    def prepare(self, batch: batches.Batch, second: batches.Batch | None) -> Any:
        """What `objective` takes, made outside of the gradient's tape.

        Args:
          batch: this replica's share of the training batch.
          second: of the other stream, or of the meta set; None without one.
        """
        del second
        return batch

    def objective(self, prepared: Any) -> Outcome:
        """The loss of a step; by default the mean of `losses`.

        Args:
          prepared: what `prepare` has made.
        """
        logits = self.network(prepared.images, training=True)
        return Outcome(softmax.mean_over_batch(self.losses(prepared.labels, logits)), logits)

    def losses(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The training loss of each example, float [n]; labels [n] or [n, c], logits [n, c]."""
        if self.training_loss is None:
            return softmax.cross_entropy(labels, logits)
        return self.training_loss(labels, logits, self.step_number())

    def step(self, data: Any, with_meta: bool = True) -> StepRecords:
        """One step on one replica's share of the batches.

        Args:
          data: `(images, labels[, index])`; with a second stream a pair of that and the same of the other.
          with_meta: False for a step without the second stream.

        Returns:
          `training.step.StepRecords`.
        """
        needed = self.needs_meta_batches or (self.draws_epochs and batches.is_pair(data))
        batch, second = batches.unpack(data, with_meta and needed, self.remembers)
        prepared = self.prepare(batch, second)
        with tf.GradientTape() as tape:
            outcome = self.objective(prepared)
        self._apply(self._gradients(tape, outcome.loss), outcome.decay, self.kept_gradients())
        self._means["loss"].update_state(outcome.loss * replicas.count())
        for name, value in (outcome.means or {}).items():
            self._means[name].update_state(value)
        size = tf.shape(batch.images)[0]
        weights = tf.ones([size]) if outcome.weights is None else tf.cast(outcome.weights, tf.float32)
        self.compute_metrics(None, batch.labels, outcome.logits[:size])
        records: StepRecords = {"index": batch.index, "example_weight": weights, "loss": outcome.loss}
        if outcome.as_given:
            records.update(given_label.rows(batch.labels, outcome.logits[:size]))  # type: ignore[typeddict-item]
        return records

    def kept_gradients(self) -> list[tf.Tensor] | None:
        """Factors for the gradients of `trained_variables`, 0 for those that do not move; None: all do."""
        return None

    def step_seeds(self, count: int) -> tf.Tensor:
        """Seeds for this step's random numbers, int64 [count, 2], the same on all replicas."""
        return tf.random.split(tf.stack([tf.constant(self.seed, tf.int64), self.step_number()]), count, alg="philox")

    def mix_up(
        self, alpha: float, images: tf.Tensor, *parts: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Mixes images [n, ...] with those of a permutation of the global batch by this step's random numbers.

        Returns:
          The mixed images, each part's rows of the partners, and the share of the rows themselves, a scalar.
        """
        coefficient, permutation = tf.unstack(self.step_seeds(2))
        share = mixmatch.mix_coefficient(alpha, coefficient)
        others, *partners = (mixmatch.partner_rows(rows, permutation) for rows in (images, *parts))
        return mixmatch.mixed(images, others, share), partners, share


def options(setting: base.Setting) -> dict[str, Any]:
    """What `OneNetwork` takes besides the network, from flags (`base.Setting`)."""
    return {
        "training_loss": setting.loss,
        "weight_decay": setting.optimization.weight_decay,
        "seed": setting.seed,
    }


def compiled(method: base.Method, setting: base.Setting) -> Any:
    """The method, compiled as the flags say (`base.Setting`)."""
    method.compile(optimizer=setting.optimizer, metrics=setting.metrics)
    return method
