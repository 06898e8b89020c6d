"""Which layers accumulate the meta gradient: all (exact), a learned or a random few, or a fixed block (Table 4).

All save time by the same mechanism: nothing is computed below `lowest_segment(gates)`. Where that is an int, the graph
has no conditionals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import sampler
from famus_tf.meta.layers import GatedLayer


@keras.saving.register_keras_serializable("famus_tf")
class AllLayers(keras.layers.Layer):
    """Every gate on: the exact meta gradient of Eq. 7 (MW-Net itself, when the auxiliary losses are off)."""

    learned = False
    expected_layers = None

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Takes the list of `layers.GatedLayer`; no variables are needed."""
        self._count = len(layers)
        self.built = True

    def call(self, descriptors: Any, step: tf.Tensor) -> tf.Tensor:
        """Gates, float32 [L], all 1."""
        del descriptors, step
        return tf.ones([self._count])

    def lowest_segment(self, gates: tf.Tensor) -> Any:
        """The input's segment, known before the graph runs, so that no conditional is built."""
        del gates
        return 0


class _TracedSelector(keras.layers.Layer):
    """A selector whose gates are known only while the graph runs."""

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Takes the list of `layers.GatedLayer`."""
        self._segments = [layer.segment for layer in layers]
        self.built = True

    def lowest_segment(self, gates: tf.Tensor) -> Any:
        """Index of the lowest segment that holds a selected layer; int32 scalar, the maximum int32 where none is on."""
        segments = tf.constant(self._segments, tf.int32)
        return tf.reduce_min(tf.where(gates > 0.5, segments, tf.int32.max))


@keras.saving.register_keras_serializable("famus_tf")
class RandomLayers(_TracedSelector):
    """In each step `count` of the L layers, uniformly drawn without replacement ("Random Layers" of Table 4).

    Args:
      count: s, the number of layers.
      seed: int; with the step it determines the draw, on every replica alike.
    """

    learned = False
    expected_layers = None

    def __init__(self, count: int = 4, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count
        self.seed = seed

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Takes the list of `layers.GatedLayer`; raises InputError where there are fewer than `count`."""
        if not 1 <= self.count <= len(layers):
            raise errors.InputError(f"{self.count} random layers: expected 1 to {len(layers)}, the network's layers")
        super().create_variables(layers)

    def call(self, descriptors: Any, step: tf.Tensor) -> tf.Tensor:
        """Gates, float32 [L], `count` of them 1."""
        del descriptors
        seed = tf.stack([tf.cast(self.seed, tf.int64), tf.cast(step, tf.int64)])
        keys = tf.random.stateless_uniform([len(self._segments)], seed)
        chosen = tf.math.top_k(keys, self.count).indices
        return tf.reduce_sum(tf.one_hot(chosen, len(self._segments)), axis=0)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {"count": self.count, "seed": self.seed}


@keras.saving.register_keras_serializable("famus_tf")
class FixedBlock(keras.layers.Layer):
    """Always the layers of one block ("Pre-specified Block" of Table 4), known before the graph runs.

    Args:
      block: a number or the start of layer names. Numbers count the network's blocks (`blocks.find_blocks`) from the
        input, 1 to 12 in the paper's WRN-28-10; or from the top: -1 is the classifier, -2 the last block. A text such
        as "stage4" selects all layers whose name starts with it.
    """

    learned = False
    expected_layers = None

    def __init__(self, block: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = block

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Finds the block in a list of `layers.GatedLayer`; raises InputError where it is not there."""
        if isinstance(self.block, str):
            gates = [layer.name.startswith(self.block) for layer in layers]
            if not any(gates):
                names = ", ".join(dict.fromkeys(layer.name.split("/")[0] for layer in layers))
                raise errors.InputError(f"block {self.block!r}: expected the start of a layer's name, one of {names}")
        else:
            blocks = list(dict.fromkeys(layer.block for layer in layers if layer.block))
            if not (1 <= self.block <= len(blocks) or 1 <= -self.block <= len(blocks) + 1):
                raise errors.InputError(
                    f"block {self.block}: expected 1 to {len(blocks)} from the input, or from the top -1, the "
                    f"classifier, to -{len(blocks) + 1}"
                )
            if self.block == -1:
                gates = [layer is layers[-1] for layer in layers]
            else:
                wanted = blocks[self.block - 1 if self.block > 0 else self.block + 1]
                gates = [layer.block == wanted for layer in layers]
        self._gates = [float(gate) for gate in gates]
        self._lowest = min(layer.segment for layer, gate in zip(layers, gates, strict=True) if gate)
        self.built = True

    def call(self, descriptors: Any, step: tf.Tensor) -> tf.Tensor:
        """Gates, float32 [L], 1 in the block."""
        del descriptors, step
        return tf.constant(self._gates, self.compute_dtype)

    def lowest_segment(self, gates: tf.Tensor) -> Any:
        """The block's segment, an int, so that no conditional is built."""
        del gates
        return self._lowest

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {"block": self.block}


@keras.saving.register_keras_serializable("famus_tf")
class GradientSampler(_TracedSelector):
    """FaMUS's learned sampler (section 4.2): a gate for each layer from its pooled virtual gradient.

    >>> import famus_tf, keras
    >>> x = keras.Input((4,))
    >>> network = keras.Model(x, keras.layers.Dense(2, name="b")(keras.layers.Dense(3, name="a")(x)))
    >>> method = famus_tf.FaMUS(network, selector=GradientSampler(expected_layers=1))
    >>> [layer.name for layer in method.gated_layers]  # of which it chooses
    ['a', 'b']

    Args:
      expected_layers: K of Eq. 10, the number of layers that L_r asks for; 4 in the paper.
      hidden: width of the samplers' hidden layer; 128 in the paper.
      temperature: of the Gumbel-softmax; 5 in the release.
      seed: int, for the initial weights and the noise.
    """

    learned = True

    def __init__(
        self,
        expected_layers: float = 4,
        hidden: int = 128,
        temperature: float = 5.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.expected_layers = expected_layers
        self.samplers = sampler.LayerSamplers(hidden, temperature, seed, name="samplers")

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Makes the samplers' variables for a list of `layers.GatedLayer`."""
        self.samplers.create_variables([layer.width for layer in layers])
        super().create_variables(layers)

    def call(self, descriptors: Any, step: tf.Tensor) -> tf.Tensor:
        """Gates, float32 [L], each exactly 0 or 1; see `sampler.LayerSamplers.call`."""
        return self.samplers(descriptors, step)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        inner = self.samplers
        return super().get_config() | {
            "expected_layers": self.expected_layers,
            "hidden": inner.hidden,
            "temperature": inner.temperature,
            "seed": inner.seed,
        }


# Those whose `lowest_segment` is an int.
STATIC = (AllLayers, FixedBlock)


Selector = AllLayers | RandomLayers | FixedBlock | GradientSampler
