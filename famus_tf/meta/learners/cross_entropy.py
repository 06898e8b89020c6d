"""Plain training."""

from famus_tf.meta.learners import base


class CrossEntropy(base.MetaLearner):
    """Plain training, on the cross-entropy or another `loss`: every example weighs the same, there is no meta step."""

    has_meta_step = False

    def parameters(self, batch):
        """Theta is empty."""
        del batch
        return []

    def loss(self, logits, labels, theta, step=None):
        """The examples' mean loss, this replica's share; logits [n, c], labels [n] or [n, c]."""
        del theta
        return self.plain_loss(logits, labels, step)

    def update(self, theta, gradient):
        """Theta stays empty."""
        del gradient
        return theta
