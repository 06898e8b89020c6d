"""Which layers accumulate the meta gradient: all (exact), a learned or a random few, or a fixed block (Table 4).

All save time by the same mechanism: nothing is computed below `lowest_segment(gates)`. Where that is an int, the graph
has no conditionals. `AgreementSelector` (ours) chooses between steps: the depth of a step is known when it is traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas
from famus_tf.meta import objectives, repeatability, sampler
from famus_tf.meta.layers import GatedLayer

OBJECTIVES = ("scale_free", "paper")
# Of the scale-free sampler: the length of its inputs; its part of L_c, as much as the default lambda_cost; the momentum
# of the size of L_c; and the least and the largest share of the gates that are on at first.
_DESCRIPTOR_SIZE = 4.0
LOSS_SHARE = 0.5
_SIZE_MOMENTUM = 0.99
_SHARES = 1e-3, 0.9


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


class Learned(_TracedSelector):
    """A selector whose gates have a derivative, and what they learn from besides L_r.

    Args:
      objective: one of `OBJECTIVES`; see `GradientSampler`.

    Raises:
      InputError: `objective` is none of them.
    """

    learned = True

    def __init__(self, objective: str = "scale_free", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if objective not in OBJECTIVES:
            raise errors.InputError(f"objective={objective!r}: expected one of {', '.join(OBJECTIVES)}")
        self.objective = objective

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Makes the running size of L_c, where it is needed."""
        if self.objective != "paper":
            options = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
            self._size = self.add_weight(name="size", shape=(2,), dtype="float32", initializer="zeros", **options)
        super().create_variables(layers)

    def cost(self, gates: tf.Tensor, costs: tf.Tensor) -> tf.Tensor:
        """L_cost, a scalar, of gates [L] and `GatedLayer.cost` [L]; see `objectives`."""
        of = objectives.traversal_cost if self.objective == "paper" else objectives.reaching_cost
        return of(gates, costs)

    def loss_gradient(self, products: tf.Tensor) -> tf.Tensor:
        """The derivative of L_c by the gates as it enters their objective, [L].

        By "scale_free" it is `LOSS_SHARE` times the derivative in units of its largest entry, root mean square over
        the steps so far (the last hundred count most). To be called once in a step, by all replicas alike.

        Args:
          products: -alpha <u_l, g_l>, float [L]; where one is not finite, the gates learn nothing from them.
        """
        is_finite = tf.reduce_all(tf.math.is_finite(products))
        products = tf.where(is_finite, products, tf.zeros_like(products))
        if self.objective == "paper":
            return products
        new = tf.stack([tf.reduce_max(tf.square(tf.cast(products, tf.float32))), 1.0])
        before = self._size.value
        size = tf.where(is_finite, _SIZE_MOMENTUM * before + (1.0 - _SIZE_MOMENTUM) * new, before)
        self._size.assign(size)
        scale = tf.cast(tf.sqrt(tf.math.divide_no_nan(size[0], size[1])), products.dtype)
        return LOSS_SHARE * tf.math.divide_no_nan(products, scale)


@keras.saving.register_keras_serializable("famus_tf")
class GradientSampler(Learned):
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
      objective: "paper", or "scale_free" (ours), whose terms do not change in size with alpha, the depth and the width
        of the network and the batch: descriptors have one length, K of the L gates are on at first and one always is,
        the noise keeps their number steady (`gumbel.sample_balanced`), the gates' part of L_c is divided by its running
        size, and L_cost is what reaching the lowest selected layer really costs.

    Raises:
      InputError: `objective` is none of the two.
    """

    def __init__(
        self,
        expected_layers: float = 4,
        hidden: int = 128,
        temperature: float = 5.0,
        seed: int = 0,
        objective: str = "scale_free",
        **kwargs: Any,
    ) -> None:
        super().__init__(objective, **kwargs)
        errors.check_number("expected_layers", expected_layers, "a number above 0", lambda number: number > 0)
        self.expected_layers = expected_layers
        ours = {} if objective == "paper" else {"size": _DESCRIPTOR_SIZE, "balanced": True}
        self.samplers = sampler.LayerSamplers(hidden, temperature, seed, name="samplers", **ours)

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Makes the samplers' variables for a list of `layers.GatedLayer`."""
        if self.objective != "paper":
            self.samplers.share = min(max(self.expected_layers / len(layers), _SHARES[0]), _SHARES[1])
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
            "objective": self.objective,
        }


@keras.saving.register_keras_serializable("famus_tf")
class AgreementSelector(_TracedSelector):
    """The layers that say the same of the training examples whichever half of the meta batch is asked (ours).

    Now and then a step measures the scores of all layers by either half of its meta batch (`meta.scores`), and the set
    whose sum repeats best for its cost (`meta.repeatability`) carries the meta gradient until the next measurement.
    Until the first these are the last block and the classifier. Means over measurements and the set are variables.

    The paper's gate signal, -alpha <u_l, g_l>, says how much loss a layer removes. How well its scores tell right
    labels from wrong ones is another question, of which repeatability is what can be seen without truth; docs/memory.md
    tells how far the two agree.

    Args:
      every: training steps from one measurement to the next.
      price: how much repeatability, at most 1, a layer at the bottom must add to one at the top, to be reached for.
      momentum: of the running means over measurements, in [0, 1).
      per_class: whether the mean score of each class's examples is taken out before scores are compared. What repeats
        is in part an offset for each class.

    Attributes:
      gates: variable float32 [L], 1 in the set chosen last.

    Raises:
      InputError: an argument is out of its range.
    """

    learned = False
    expected_layers = None

    def __init__(
        self, every: int = 50, price: float = 0.3, momentum: float = 0.9, per_class: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        errors.check_number("every", every, "a positive whole number", lambda steps: steps > 0, whole=True)
        errors.check_number("price", price, "a number, 0 or more", lambda number: number >= 0)
        errors.check_number("momentum", momentum, "a number in [0, 1)", lambda number: 0 <= number < 1)
        if not isinstance(per_class, bool):
            raise errors.InputError(f"per_class={per_class!r}: expected True or False")
        self.every = int(every)
        self.price = price
        self.momentum = momentum
        self.per_class = per_class

    def create_variables(self, layers: Sequence[GatedLayer]) -> None:
        """Makes the running means [L, L] and the gates [L] for a list of `layers.GatedLayer`."""
        count = len(layers)
        last_block = next((layer.block for layer in reversed(layers) if layer.block), None)
        start = [float(layer is layers[-1] or layer.block == last_block) for layer in layers]
        self._between = self._state("between", (count, count))
        self._within = self._state("within", (count, count))
        self.gates = self._state("gates", (count,))
        self.gates.assign(start)
        super().create_variables(layers)

    def _state(self, name: str, shape: tuple[int, ...]) -> Any:
        # All replicas hold the same sums.
        options = {"initializer": "zeros", "trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        return self.add_weight(name=name, shape=shape, dtype="float32", **options)

    def call(self, descriptors: Any, step: tf.Tensor) -> tf.Tensor:
        """Gates, float32 [L], 1 in the set chosen last."""
        del descriptors, step
        return tf.convert_to_tensor(self.gates.value)

    def present_lowest_segment(self) -> int:
        """`lowest_segment` of the present set, read outside of any graph: NumPy, as TensorFlow's operations add up."""
        on = self.gates.numpy() > 0.5
        chosen = [segment for segment, is_on in zip(self._segments, on, strict=True) if is_on]
        return min(chosen, default=int(tf.int32.max))

    def observe(self, first: tf.Tensor, second: tf.Tensor, classes: tf.Tensor, costs: tf.Tensor) -> tf.Tensor:
        """Adds a measurement to the means and chooses the set anew.

        One that is not finite, or in which either half says nothing (a meta batch of 1 has but one), is passed over.

        To be called in a replica's context, by all replicas alike, and not inside `tf.cond`.

        Args:
          first, second: float [n, L], the scores by either half of the meta batch, this replica's share.
          classes: float [n, c], distributions, the given labels of the examples.
          costs: float32 [L], what it costs to reach each layer.

        Returns:
          float32 [L], rho of each layer alone, by the means.
        """
        groups = classes if self.per_class else tf.ones_like(classes[:, :1])
        found = [tf.cast(one, tf.float32) for one in repeatability.moments(first, second, groups)]
        sizes = replicas.all_reduce_sum([tf.reduce_sum(tf.abs(half)) for half in (first, second)])
        counts = tf.reduce_all(tf.math.is_finite(found)) & tf.reduce_all(tf.stack(sizes) > 0)
        means = []
        for mean, new in zip((self._between, self._within), found, strict=True):
            means.append(tf.where(counts, self.momentum * mean.value + (1.0 - self.momentum) * new, mean.value))
            mean.assign(means[-1])
        between, within = means
        chosen = repeatability.choose(between, within, self._segments, costs, self.price)
        self.gates.assign(tf.where(tf.reduce_any(chosen > 0.5), chosen, self.gates.value))
        return repeatability.of_layers(between, within)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        names = ("every", "price", "momentum", "per_class")
        return super().get_config() | {name: getattr(self, name) for name in names}


# Those whose steps are traced for a depth that is an int.
STATIC = (AllLayers, FixedBlock, AgreementSelector)


Selector = AllLayers | RandomLayers | FixedBlock | GradientSampler | AgreementSelector
