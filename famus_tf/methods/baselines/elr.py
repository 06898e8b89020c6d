"""Early-learning regularisation (Liu et al., NeurIPS 2020): what a network said early keeps it from wrong labels.

  p^ = p cut to [1e-4, 1 - 1e-4];  t_i <- b t_i + (1 - b) p^_i / sum p^_i, t_i = 0 at first, no gradient
  step on the mean of CE(p_i, y_i) + lambda log(1 - <t_i, p^_i>)                   (Eq. 6, 10)

The loss may be negative. Labels not to be trusted are those that differ from argmax t_i.
"""

from __future__ import annotations

from typing import Any

import keras

from famus_tf.losses import softmax
from famus_tf.meta import example_table
from famus_tf.methods import base, early_learning, meta_checks, one_network


@keras.saving.register_keras_serializable("famus_tf")
class ELR(one_network.OneNetwork):
    """A network with a target for each example; see `one_network.OneNetwork` for the other arguments.

    Args:
      network: as there.
      num_examples: N, the size of the training set.
      strength: lambda, 0 or more.
      momentum: b, in [0, 1].
    """

    remembers = True
    further_means = ("disagreement",)

    def __init__(
        self,
        network: keras.Model,
        num_examples: int = 1,
        strength: float = 3.0,
        momentum: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, **kwargs)
        self.num_examples = int(num_examples)
        self.strength = strength
        self.momentum = momentum
        self.targets = example_table.ExampleTable(self.num_examples, self.num_classes)

    def objective(self, prepared: Any) -> one_network.Outcome:
        """The mean loss and the regularisation."""
        logits = self.network(prepared.images, training=True)
        losses = self.losses(prepared.labels, logits)
        if not self.strength:
            return one_network.Outcome(softmax.mean_over_batch(losses), logits)
        probabilities = early_learning.cut(logits)
        self.targets.move(prepared.index, early_learning.normalised(probabilities), self.momentum)
        targets = self.targets.rows(prepared.index)
        losses += self.strength * early_learning.penalty(targets, probabilities)
        means = {"disagreement": early_learning.disagreement(prepared.labels, targets)}
        return one_network.Outcome(softmax.mean_over_batch(losses), logits, means=means)

    def _check_examples(self, count):
        if self.strength:
            meta_checks.check_examples(self, count)


def build(setting: base.Setting) -> ELR:
    """ELR from flags (`base.Setting`)."""
    flags = setting.baselines
    options = one_network.options(setting)
    method = ELR(setting.make_network(0), setting.num_examples, flags.elr_strength, flags.elr_momentum, **options)
    return one_network.compiled(method, setting)
