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
        return sum(self.each(images, training=training)) / len(self.networks)

    def each(self, images, training=False):
        """List of the networks' logits, [n, c] each."""
        return [network(images, training=training) for network in self.networks]
