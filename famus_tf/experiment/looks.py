"""What a method asks before an epoch: passes of its networks over the training set, and the batches that it draws."""

import functools

import numpy as np
import tensorflow as tf

from famus_tf.evaluation import per_example
from famus_tf.training import stopping


class Looks:
    """`methods.base.Look` of a run.

    Args:
      strategy: a `tf.distribute.Strategy`.
      feed: `data.batches.feed.Feed`.
      dataset: `data.dataset.Dataset`.

    Attributes:
      labels: the given labels, int [N].
    """

    def __init__(self, strategy, feed, dataset):
        self.labels = dataset.train_labels
        self._strategy = strategy
        self._feed = feed
        self._trusted = dataset.held_out.get("meta")
        self._stop = stopping.Stop(strategy)
        self._passes = {}

    def rows(self, network, positions=None):
        """What a network makes of each training image, or of those at `positions`, float32 [N, d]; NaN: not read."""
        count = len(self.labels if positions is None else positions)
        return self._pass(network, self._feed.scan(positions), count)

    def trusted(self, network):
        """The same of the trusted examples, and their labels."""
        labels = np.asarray(self._trusted.labels)
        return self._pass(network, self._feed.evaluation("meta"), len(labels)), labels

    def stream(self, name, draw, epoch, first_step, last_step):
        """Batches of a `training.plan.Draw`, in the steps from `first_step` to `last_step` of an epoch."""
        positions = np.arange(len(self.labels)) if draw.positions is None else np.asarray(draw.positions)
        size = draw.size or self._feed.batch_size
        if len(positions) < size:  # each as often as it takes, to fill one batch
            positions = np.resize(positions, size)
        return self._feed.drawn(f"{name} {epoch}", positions, size, first_step, last_step, views=draw.views)

    def _pass(self, network, batches, count):
        if id(network) not in self._passes:
            predict = functools.partial(_outputs, network)
            self._passes[id(network)] = network, per_example.make_rows(self._strategy, predict)  # keeps the id taken
        return self._passes[id(network)][1](self._stop.during(batches))[:count]


def _outputs(network, images):
    outputs = network(images, training=False)
    if not isinstance(outputs, list | tuple):
        return outputs
    return tf.concat([tf.cast(part, tf.float32) for part in outputs], axis=-1)
