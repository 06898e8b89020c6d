"""A selector whose gates the test chooses."""

import tensorflow as tf

from famus_tf.meta import selectors


class Pinned(selectors.Learned):
    """Gates that are given, so that `lowest` stays a tensor and every conditional is built.

    Args:
      gates: [L], 0 or 1; may be set later.
      objective: as in `selectors.GradientSampler`.
      learned: whether the gates have a derivative, as a sampler's have: `moved`, which starts at 0, is its eta, and
        the sampler's optimizer moves it along the gates' own gradient.

    Attributes:
      seen: list of the descriptors of each step.
    """

    expected_layers = 2

    def __init__(self, gates=(), learned=False, objective="paper"):
        super().__init__(objective)
        self.gates, self.learned, self.seen = gates, learned, []

    def create_variables(self, layers):
        super().create_variables(layers)
        if self.learned:
            self.moved = self.add_weight(shape=(len(layers),), initializer="zeros", name="moved")

    def call(self, descriptors, step):
        self.seen.append(descriptors)
        gates = tf.constant(self.gates, tf.float32)
        return gates + (self.moved - tf.stop_gradient(self.moved)) if self.learned else gates
