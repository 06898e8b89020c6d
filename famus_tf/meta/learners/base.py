"""Meta-learners behind one interface: `parameters`, `loss`, `update`; nothing else knows which one it is.

Besides these three a learner says of itself:
  has_meta_step      whether there is anything to learn
  carries_theta      whether the theta of one step means something in the next; without it a step can neither do
                     without its own meta update (`meta_every`) nor use the last one's (`schedule="one_loop"`)
  starts_at_zero     whether L_tra vanishes at the theta that a step starts from: w_hat = w, Virtual-Train is free
  weighs_examples    whether theta is how far each example is trusted, which `example_weights` tells
  virtual_learning_rate   alpha of the virtual step, None for that of w
  virtual_scale      factor of alpha in the virtual step, for a loss that is a sum there and a mean in the actual one
  fixed_parts        how many tensors at the end of what `parameters` returns no meta step changes
  remembers          whether it needs to know which examples a batch has
  takes_scores       whether it learns from the scores of the examples, which L_g would change
  num_examples, num_classes   N and c that it is made for; None or 0 for any
  beliefs_about      names of the numbers that `beliefs` tells of theta
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax


class MetaLearner(keras.layers.Layer):
    """What the learners have in common: no variables, all examples alike; see the module's docstring.

    Args:
      loss: function of labels, logits [n, c] and the number of steps done -> the training loss of each example [n],
        such as those of `famus_tf.losses`; None for the cross-entropy. It may have two methods: `weighed_by`, of the
        same arguments, the values [n] that decide how far an example is trusted, where these are not its losses; and
        `penalty` of labels and logits, a scalar that is added to the loss of the batch, this replica's share.
    """

    has_meta_step = True
    carries_theta = False
    starts_at_zero = False
    weighs_examples = False
    virtual_learning_rate: float | None = None
    virtual_scale = 1
    fixed_parts = 0
    beliefs_about: tuple[str, ...] = ()
    remembers = False
    takes_scores = False
    num_examples: int | None = None
    num_classes: int | None = None

    def __init__(self, loss: Callable[..., tf.Tensor] | dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_loss = keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss

    def losses(self, logits: tf.Tensor, labels: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The training loss of each example, [n]; `step` is the number of steps done, None for a time of no matter."""
        if self.training_loss is None:
            return softmax.cross_entropy(labels, logits)
        return self.training_loss(labels, logits, step)

    def weighed_by(self, logits: tf.Tensor, labels: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """What decides how far each example is trusted, [n]: its loss, unless the loss says otherwise."""
        other = getattr(self.training_loss, "weighed_by", None)
        return self.losses(logits, labels, step) if other is None else other(labels, logits, step)

    def penalty(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor | float:
        """What the loss adds for the batch as a whole, this replica's share of it."""
        penalty = getattr(self.training_loss, "penalty", None)
        return 0.0 if penalty is None else penalty(labels, logits)

    def plain_loss(self, logits: tf.Tensor, labels: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """The loss of the batch where every example weighs the same, this replica's share."""
        return softmax.mean_over_batch(self.losses(logits, labels, step)) + self.penalty(logits, labels)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        loss = self.training_loss
        return super().get_config() | {"loss": None if loss is None else keras.saving.serialize_keras_object(loss)}

    def create_variables(self) -> None:
        """Makes theta where it is kept between steps; otherwise nothing."""
        self.built = True

    def compile(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Takes the optimizer of theta (learning rate beta); call it inside the strategy's scope."""
        self.optimizer = optimizer

    def example_weights(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Weight of each example in the loss, float32 [n]: 1 is what it would have in a plain mean."""
        del labels, theta, step
        return tf.ones([tf.shape(logits)[0]])

    def remember(
        self,
        index: tf.Tensor,
        labels: tf.Tensor,
        logits: tf.Tensor,
        scores: tf.Tensor | None,
        step: tf.Tensor | None = None,
    ) -> None:
        """Called at the end of a step, for learners that remember the examples.

        Args:
          index: int64 [n], positions of the examples, -1 where nobody knows.
          labels: as in the step.
          logits: float [n, c] at w.
          scores: float [n] of the meta step, standardised (`example_scores`); None without one.
          step: number of steps done.
        """

    def trust(self) -> np.ndarray | None:
        """How far each of the N examples is trusted by what was remembered of it, float32 [N]; None for no memory."""
        return None

    def beliefs(self, theta: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        """A few numbers that say what theta believes, one for each name of `beliefs_about`; shown for each epoch."""
        del theta
        return {}


class ExampleWeighting(MetaLearner):
    """A learner whose loss is sum_i V_i loss_i / sum_i V_i, or the mean of V_i loss_i, V_i from `weigh_examples`.

    Args:
      normalize: whether the weights are divided by their sum over the global batch.
      loss: as in `MetaLearner`.
    """

    weighs_examples = True

    def __init__(self, normalize: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.normalize = normalize

    def weigh_examples(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """V_i of a batch before any normalisation, float [n]; no gradient passes to the logits."""
        raise NotImplementedError

    def loss(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """sum_i V_i loss_i / sum_i V_i, or the mean of V_i loss_i; this replica's share of the global batch's.

        Args:
          logits: float [n, c].
          labels: [n] class ids or [n, c] distributions.
          theta: from `parameters` or `update`.
          step: number of steps done.

        Returns:
          Scalar. The replicas' shares sum to the loss of the global batch.
        """
        losses = self.losses(logits, labels, step)
        penalty = self.penalty(logits, labels)
        values = tf.cast(self.weigh_examples(logits, labels, theta, step), losses.dtype)
        return softmax.weighted_mean(losses, values, self.normalize) + penalty

    def example_weights(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Weight of each example in the loss, float32 [n]: 1 is what it would have in a plain mean."""
        values = self.weigh_examples(logits, labels, theta, step)
        if self.normalize:
            examples = tf.cast(tf.shape(values)[0] * replicas.count(), values.dtype)
            values *= tf.math.divide_no_nan(examples, replicas.all_reduce_sum(tf.reduce_sum(values)))
        return softmax.at_least_float32(values)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {"normalize": self.normalize}
