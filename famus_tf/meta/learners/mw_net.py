"""Meta-Weight-Net: a weight for each example, a function of its loss."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.meta.learners import base


@keras.saving.register_keras_serializable("famus_tf")
class MWNet(base.ExampleWeighting):
    """Meta-Weight-Net (Shu et al., NeurIPS 2019): V_i = Psi(loss_i; theta), a network 1 - `hidden` - 1 with a sigmoid.

    The loss that enters Psi is detached, as in the reference. Theta is passed around as tensors, so that the loss can
    be taken before and after the meta update within one step.

    >>> learner = MWNet()
    >>> learner.create_variables()
    >>> weights = learner.weigh(tf.constant([0.1, 5.0]), learner.parameters(()))
    >>> weights.shape, bool(tf.reduce_all(weights > 0))
    (TensorShape([2]), True)

    Args:
      hidden: width of the hidden layer; 100 in the reference.
      normalize: True divides the weights by their sum over the global batch (the reference's script for noisy labels);
        False takes the mean of V_i loss_i (its later, "stable" script, and Eq. 1).
      weight_decay: L2 coefficient added to theta's gradient; 1e-4 (Adam) or 5e-4 (SGD) in the reference. Where V has
        saturated, its gradient is gone, and this alone brings it back.
      seed: int, for the initial weights.
      loss: as in `MetaLearner`; it is what the weights multiply, and what enters Psi unless it says otherwise.
    """

    carries_theta = True

    def __init__(
        self, hidden: int = 100, normalize: bool = True, weight_decay: float = 0.0, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(normalize, **kwargs)
        self.hidden = hidden
        self.weight_decay = weight_decay
        self.seed = seed

    @property
    def outputs(self) -> int:
        """Number of outputs of Psi."""
        return 1

    def create_variables(self) -> None:
        """Makes theta: the weights and biases of the two layers, uniform in +-1/sqrt(fan in) as in the reference."""
        shapes = [("weight1", (1, self.hidden), 1), ("bias1", (self.hidden,), 1)]
        shapes += [("weight2", (self.hidden, self.outputs), self.hidden), ("bias2", (self.outputs,), self.hidden)]
        self._theta = [
            self.add_weight(
                name=name,
                shape=shape,
                initializer=keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=self.seed + number),
            )
            for number, (name, shape, fan_in) in enumerate(shapes)
        ]
        self.built = True

    def compile(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Takes the optimizer of theta and builds its variables."""
        super().compile(optimizer)
        optimizer.build(self._theta)

    def parameters(self, batch: Any) -> list[tf.Tensor]:
        """Theta as a list of tensors [1, h], [h], [h, 1], [1]."""
        del batch
        return [tf.convert_to_tensor(variable.value) for variable in self._theta]

    def weigh(self, losses: tf.Tensor, theta: list[tf.Tensor]) -> tf.Tensor:
        """V_i in (0, 1) before any normalisation.

        Args:
          losses: float [n].
          theta: from `parameters` or `update`.

        Returns:
          float [n].
        """
        return self.weigh_by_family(losses, theta)[:, 0]

    def weigh_by_family(self, losses: tf.Tensor, theta: list[tf.Tensor]) -> tf.Tensor:
        """All outputs of Psi, float [n, K]; K is 1 but for class-aware learners."""
        weight1, bias1, weight2, bias2 = (tf.cast(t, losses.dtype) for t in theta)
        hidden = tf.nn.relu(tf.matmul(losses[:, tf.newaxis], weight1) + bias1)  # [n, h]
        return tf.sigmoid(tf.matmul(hidden, weight2) + bias2)

    def weigh_examples(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """V_i of a batch before any normalisation, float [n]; no gradient passes to the logits."""
        return self.weigh(tf.stop_gradient(self.weighed_by(logits, labels, step)), theta)

    def update(self, theta: list[tf.Tensor], gradient: list[tf.Tensor]) -> list[tf.Tensor]:
        """One optimizer step (Eq. 4); the optimizer sums the gradient over the replicas. Returns theta'."""
        decay = self.weight_decay / replicas.count()
        gradient = [tf.cast(g, t.dtype) + decay * t for g, t in zip(gradient, theta, strict=True)]
        self.optimizer.apply(gradient, self._theta)
        return [tf.convert_to_tensor(variable.value) for variable in self._theta]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "hidden": self.hidden,
            "weight_decay": self.weight_decay,
            "seed": self.seed,
        }
