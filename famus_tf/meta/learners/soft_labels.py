"""Labels mixed with what the network has predicted so far, by a share that is learnt."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax
from famus_tf.meta import batches, memory
from famus_tf.meta.learners import mw_net


@keras.saving.register_keras_serializable("famus_tf")
class SoftLabels(mw_net.MWNet):
    """A soft label for each example: V_i y_i + (1 - V_i) q_i, with q_i the running mean of the network's predictions.

    V_i = Psi(loss_i; theta) is MW-Net's. This is the mixture of CMW-Net-SL (Shu et al., TPAMI 2023) and of the meta
    soft label corrector (Wu et al., "Learning to Purify Noisy Labels via Meta Soft Label Corrector", AAAI 2021), whose
    share of the last prediction is part of the running mean here. Until an example has been seen its label stays.

    Args:
      num_examples: N, the size of the training set. Batches have a third element, the examples' index.
      num_classes: c.
      momentum: of the running mean of the predictions (`memory.ExampleMemory`).
      hidden, weight_decay, seed: as in `MWNet`.

    Raises:
      InputError: another loss than the cross-entropy; a number out of its range.
    """

    fixed_parts = 2
    remembers = True

    def __init__(self, num_examples: int, num_classes: int, momentum: float = 0.8, **kwargs: Any) -> None:
        errors.check_number("num_classes", num_classes, "a whole number, 2 or more", lambda c: c >= 2, whole=True)
        if "normalize" in kwargs:
            raise errors.InputError("SoftLabels(normalize=...): expected none, as its loss is a mean")
        super().__init__(normalize=False, **kwargs)
        if self.training_loss is not None:
            raise errors.InputError(
                "SoftLabels with another loss: expected None, as soft labels need the cross-entropy"
            )
        self.num_classes = int(num_classes)
        self.memory = memory.ExampleMemory(num_examples, tuple(f"class_{k}" for k in range(num_classes)), momentum)
        self.num_examples = self.memory.num_examples

    def create_variables(self) -> None:
        """Makes theta and the table of the running predictions."""
        self.memory.build()
        super().create_variables()

    def parameters(self, batch: batches.Batch) -> list[tf.Tensor]:
        """Theta of `MWNet`; the running predictions [n, c] of the batch's examples; whether there are any [n]."""
        place, inside = self.memory.places(batch.index)
        means, visits = self.memory.means(place)
        known = tf.cast(inside, tf.float32) * tf.cast(visits[:, 0] > 0, tf.float32)
        return [*super().parameters(batch), means, known]

    def weigh_examples(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """V_i, the share of the given label, float [n]; 1 where nothing has been predicted yet."""
        *weights, _, known = theta
        values = super().weigh_examples(logits, labels, weights, step)
        known = tf.cast(known, values.dtype)
        return known * values + 1.0 - known

    def loss(
        self, logits: tf.Tensor, labels: tf.Tensor, theta: list[tf.Tensor], step: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Mean cross-entropy of the soft labels, this replica's share; logits [n, c], labels [n] or [n, c]."""
        predictions = tf.cast(theta[-2], softmax.at_least_float32(logits).dtype)
        share = self.weigh_examples(logits, labels, theta, step)
        of_given = self.losses(logits, labels, step)
        return softmax.mean_over_batch(share * of_given + (1.0 - share) * softmax.cross_entropy(predictions, logits))

    def update(self, theta: list[tf.Tensor], gradient: list[tf.Tensor]) -> list[tf.Tensor]:
        """One optimizer step of Psi; returns theta' with the same predictions."""
        return [*super().update(theta[:-2], gradient[:-2]), *theta[-2:]]

    def remember(
        self,
        index: tf.Tensor,
        labels: tf.Tensor,
        logits: tf.Tensor,
        scores: tf.Tensor | None,
        step: tf.Tensor | None = None,
    ) -> None:
        """Takes a step's predictions, softmax of logits [n, c], into the running means."""
        predictions = tf.nn.softmax(softmax.at_least_float32(logits))
        self.memory.observe(index, predictions, tf.ones_like(predictions, tf.bool))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        config = super().get_config()
        del config["normalize"]
        return config | {
            "num_examples": self.memory.num_examples,
            "num_classes": self.num_classes,
            "momentum": self.memory.momentum,
        }
