"""The layer-wise gradient samplers Gamma(.; eta_l) of Eq. 8, layers of equal width in one batched product."""

import math

import keras
import tensorflow as tf

from famus_tf.meta import gumbel


def standardise(descriptor):
    """(x - mean) / (std + 1e-9) over the last axis.

    Gradients are about 1e-3: without this the samplers see zeros and do not train.
    """
    mean = tf.reduce_mean(descriptor, axis=-1, keepdims=True)
    std = tf.math.reduce_std(descriptor, axis=-1, keepdims=True)
    return (descriptor - mean) / (std + 1e-9)


class LayerSamplers(keras.layers.Layer):
    """L independent samplers: Dense(hidden) - PReLU - Dense(2) - Gumbel-softmax (section 4.2).

    Args:
      hidden: width of the hidden layer; 128 in the paper.
      temperature: tau of the Gumbel-softmax; 5 in the release, not given in the paper.
      seed: int, for the initial weights and the noise.
      size: Euclidean length to which descriptors are scaled (ours); None leaves them at sqrt(D), so that one step
        moves the logits of a wide layer the further the wider it is.
      share: of the gates that are on at first (ours), in (0, 1); None: a half.
      balanced: whether the noise keeps the number of gates that are on steady (`gumbel.sample_balanced`), and the gate
        that is nearest to it is turned on where none is (ours).
    """

    def __init__(self, hidden=128, temperature=5.0, seed=0, size=None, share=None, balanced=False, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden
        self.temperature = temperature
        self.seed = seed
        self.size = size
        self.share = share
        self.balanced = balanced

    def create_variables(self, widths):
        """Makes the variables, one stack of weights for each distinct width.

        Args:
          widths: list of int, the length D_l of each layer's pooled gradient.
        """
        groups = {}
        for layer, width in enumerate(widths):
            groups.setdefault(int(width), []).append(layer)
        self._groups = tuple(tuple(layers) for layers in groups.values())
        self._stacks = []
        for width, layers in groups.items():
            count = len(layers)
            self._stacks.append(
                {
                    "fc1": self._stack(f"fc1_{width}", count, width, self.hidden),
                    "bias1": self.add_weight(name=f"bias1_{width}", shape=(count, 1, self.hidden), initializer="zeros"),
                    # 0.25 is PReLU's usual start; at Keras's default of 0 half the descriptor would be lost at first.
                    "slope": self.add_weight(
                        name=f"slope_{width}",
                        shape=(count, 1, self.hidden),
                        initializer=keras.initializers.Constant(0.25),
                    ),
                    "fc2": self._stack(f"fc2_{width}", count, self.hidden, 2),
                    "bias2": self.add_weight(name=f"bias2_{width}", shape=(count, 1, 2), initializer="zeros"),
                }
            )
            if self.share is not None:
                self._stacks[-1]["bias2"].assign([[[0.0, math.log(self.share / (1.0 - self.share))]]] * count)
        self.built = True

    def _stack(self, name, count, fan_in, fan_out):
        # A Glorot initializer would take the first axis of a stack for a receptive field, so the limit is given.
        limit = (6.0 / (fan_in + fan_out)) ** 0.5
        seed = self.seed + 7919 * (len(self.weights) + 1)
        initializer = keras.initializers.RandomUniform(-limit, limit, seed=seed)
        return self.add_weight(name=name, shape=(count, fan_in, fan_out), initializer=initializer)

    def logits(self, descriptors):
        """Logits of (off, on).

        Args:
          descriptors: list over layers of float32 [D_l], pooled gradients.

        Returns:
          float32 [L, 2].
        """
        groups = []
        for layers, stack in zip(self._groups, self._stacks, strict=True):
            x = tf.stack([tf.cast(descriptors[layer], stack["fc1"].dtype) for layer in layers])  # [G, D]
            x = standardise(x)[:, tf.newaxis, :]  # [G, 1, D]
            if self.size is not None:
                x *= self.size / x.shape[-1] ** 0.5
            x = tf.matmul(x, stack["fc1"].value) + stack["bias1"].value  # [G, 1, hidden]
            x = tf.maximum(x, 0.0) + stack["slope"].value * tf.minimum(x, 0.0)
            x = tf.matmul(x, stack["fc2"].value) + stack["bias2"].value  # [G, 1, 2]
            groups.append(x[:, 0])
        order = [layer for layers in self._groups for layer in layers]
        row_of = {layer: row for row, layer in enumerate(order)}
        return tf.gather(tf.concat(groups, axis=0), [row_of[layer] for layer in range(len(order))])

    def call(self, descriptors, step):
        """Gates r of Eq. 8.

        Args:
          descriptors: list over layers of float32 [D_l].
          step: int64 scalar; with the layer's seed it determines the noise, on every replica alike.

        Returns:
          float32 [L], each exactly 0 or 1, with the straight-through gradient.
        """
        logits = self.logits(descriptors)
        seed = tf.stack([tf.cast(self.seed, tf.int64), tf.cast(step, tf.int64)])
        noise = gumbel.sample_balanced(logits, seed) if self.balanced else gumbel.sample_gumbel(logits.shape, seed)
        gates = gumbel.gumbel_softmax(logits, noise, self.temperature)[:, 1]
        if not self.balanced:
            return gates
        sampled = tf.stop_gradient(logits) + tf.cast(noise, logits.dtype)
        margins = sampled[:, 1] - sampled[:, 0]
        nearest = tf.one_hot(tf.argmax(margins), margins.shape[0], dtype=gates.dtype)
        return gates + tf.where(tf.reduce_any(gates > 0.5), tf.zeros_like(nearest), nearest)

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        names = ("hidden", "temperature", "seed", "size", "share", "balanced")
        return super().get_config() | {name: getattr(self, name) for name in names}
