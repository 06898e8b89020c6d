"""Several networks as one."""

import keras


class Averaged(keras.Model):
    """The mean of several networks' logits; the networks stay what they are, and are saved and exported with it.

    Args:
      networks: list of built `keras.Model`s, images -> logits [n, c].
    """

    def __init__(self, networks, **kwargs):
        super().__init__(**kwargs)
        self.networks = list(networks)
        self.built = True

    def call(self, images, training=False):
        """Mean logits [n, c]."""
        return mean([network(images, training=training) for network in self.networks])


def as_one(networks):
    """One network for several: the mean of their logits, or the only one there is."""
    return networks[0] if len(networks) == 1 else Averaged(networks)


def each_and_mean(logits):
    """A list of logits [n, c], and behind them their mean; the only one as it is, alone."""
    return logits if len(logits) == 1 else [*logits, mean(logits)]


def mean(logits):
    """Mean of a list of logits [n, c]; the only one as it is."""
    return logits[0] if len(logits) == 1 else sum(logits) / len(logits)
