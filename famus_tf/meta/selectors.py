"""Which layers accumulate the meta gradient: all of them (exact), or those the learned sampler turns on."""

import keras
import tensorflow as tf

from famus_tf.meta import sampler


class AllLayers(keras.layers.Layer):
    """Every gate on: the exact meta gradient of Eq. 7 (MW-Net itself, when the auxiliary losses are off)."""

    learned = False
    expected_layers = None

    def create_variables(self, layers):
        """Takes the list of `layers.GatedLayer`; no variables are needed."""
        self._count = len(layers)
        self.built = True

    def call(self, descriptors, step):
        """Gates, float32 [L], all 1."""
        del descriptors, step
        return tf.ones([self._count])

    def lowest_segment(self, gates):
        """The input's segment, known before the graph runs, so that no conditional is built."""
        del gates
        return 0


class GradientSampler(keras.layers.Layer):
    """FaMUS's learned sampler (section 4.2): a gate for each layer from its pooled virtual gradient.

    Args:
      expected_layers: K of Eq. 10, the number of layers that L_r asks for; 4 in the paper.
      hidden: width of the samplers' hidden layer; 128 in the paper.
      temperature: of the Gumbel-softmax; 5 in the release.
      seed: int, for the initial weights and the noise.
    """

    learned = True

    def __init__(self, expected_layers=4, hidden=128, temperature=5.0, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.expected_layers = expected_layers
        self.samplers = sampler.LayerSamplers(hidden, temperature, seed, name="samplers")

    def create_variables(self, layers):
        """Makes the samplers' variables for a list of `layers.GatedLayer`."""
        self.samplers.create_variables([layer.width for layer in layers])
        self._segments = [layer.segment for layer in layers]
        self.built = True

    def call(self, descriptors, step):
        """Gates, float32 [L], each exactly 0 or 1; see `sampler.LayerSamplers.call`."""
        return self.samplers(descriptors, step)

    def lowest_segment(self, gates):
        """Index of the lowest segment that holds a selected layer; int32 scalar, the maximum int32 where none is on."""
        segments = tf.constant(self._segments, tf.int32)
        return tf.reduce_min(tf.where(gates > 0.5, segments, tf.int32.max))

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        inner = self.samplers
        return super().get_config() | {
            "expected_layers": self.expected_layers,
            "hidden": inner.hidden,
            "temperature": inner.temperature,
            "seed": inner.seed,
        }
