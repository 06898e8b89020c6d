"""What "layer l" is, and how its gradient becomes the sampler's input (Avg-Pool of Eq. 8)."""

import dataclasses

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.losses import softmax
from famus_tf.meta import blocks


@dataclasses.dataclass(frozen=True)
class GatedLayer:
    """A Keras layer that owns trainable variables: a kernel with its bias, or a normalisation's gamma and beta.

    Attributes:
      name: path of the layer in the network, such as `stage2_block1/conv1`.
      positions: where its variables stand in the list of all segments' variables, lowest segment first.
      pooled_axes: for each of them, the axes that Avg-Pool averages over; empty for vectors.
      width: length D of its pooled gradient.
      segment: index of the segment that holds it, 0 at the input.
      cost: c_l in (0, 1], the share of the network's cost traversed to reach the layer's segment from the top.
      block: name of the network's block that it belongs to, "" where it belongs to none.
    """

    name: str
    positions: tuple
    pooled_axes: tuple
    width: int
    segment: int
    cost: float
    block: str = ""


def find_gated_layers(segments):
    """Lists the layers l = 1..L of a segmented network, in the order in which an image meets them.

    Args:
      segments: list of `segments.Segment`.

    Returns:
      A list of `GatedLayer`; the last is the classifier, "layer L" of Eq. 11.

    Raises:
      InputError: nothing in the network is trainable, or a layer regularises its activity.
    """
    groups = {}
    position = 0
    for index, segment in enumerate(segments):
        owners = _owners(segment.model)
        for variable in segment.variables:
            owner = owners[id(variable)]
            # A layer of one's own may hold layers inside: there the path tells them apart.
            key = (index, id(owner), variable.path.rpartition("/")[0])
            axes = (0, 1) if _is_depthwise(owner, variable) else tuple(range(len(variable.shape) - 1))
            groups.setdefault(key, []).append((position, axes, variable))
            position += 1
    if not groups:
        raise errors.InputError("the network has no trainable variables: nothing to train, nothing to select")
    owned = []
    for (_, _, path), members in groups.items():
        owned.append((path, [variable for _, _, variable in members]))
    block_names = blocks.find_blocks(segments, owned)
    layers = []
    for ((index, _, path), members), block in zip(groups.items(), block_names, strict=True):
        positions, pooled_axes, variables = zip(*members, strict=True)
        width = sum(map(_pooled_size, variables, pooled_axes))
        cost = min(1.0, sum(segment.cost for segment in segments[index:]))
        layers.append(
            GatedLayer(path, positions, pooled_axes, width=width, segment=index, cost=cost, block=block),
        )
    return layers


def _owners(model):
    """{id(variable): layer} over a model and the models nested in it."""
    owners = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            owners |= _owners(layer)
            continue
        if getattr(layer, "activity_regularizer", None) is not None:
            raise errors.InputError(
                f"layer {layer.name!r} has an activity_regularizer, which is not supported: expected regularizers of "
                "weights only"
            )
        owners |= {id(variable): layer for variable in layer.trainable_variables}
    return owners


def _is_depthwise(layer, variable):
    """Whether it is a kernel [height, width, channels, multiplier], whose output dimension is the last two axes."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return variable is layer.kernel
    return isinstance(layer, keras.layers.SeparableConv2D) and variable is layer.depthwise_kernel


def _pooled_size(variable, axes):
    size = 1
    for axis, length in enumerate(variable.shape):
        size *= 1 if axis in axes else length
    return size


def avg_pool(layer, gradients):
    """Avg-Pool of Eq. 8: averages over all but the output dimension and leaves vectors unchanged.

    Args:
      layer: a `GatedLayer`.
      gradients: list of the gradients of all segments' variables.

    Returns:
      float32 [D] (float64 for float64 gradients): the layer's pooled gradients, one behind the other.
    """
    pooled = []
    for position, axes in zip(layer.positions, layer.pooled_axes, strict=True):
        part = softmax.at_least_float32(gradients[position])
        # A network of 450 layers is worth leaving out what changes nothing.
        part = tf.reduce_mean(part, axis=axes) if axes else part
        pooled.append(part if part.shape.rank == 1 else tf.reshape(part, [-1]))
    return pooled[0] if len(pooled) == 1 else tf.concat(pooled, axis=0)


def avg_pool_transpose(layer, pooled, gradients):
    """The adjoint of `avg_pool`: spreads [D] over the variables, divided by the number of entries averaged.

    Args:
      layer: a `GatedLayer`.
      pooled: float32 [D].
      gradients: as in `avg_pool`; only their shapes and types are used.

    Returns:
      A dict position -> tensor of that variable's shape, with <result, g> = <pooled, avg_pool(g)> for every g.
    """
    spread = {}
    start = 0
    for position, axes in zip(layer.positions, layer.pooled_axes, strict=True):
        gradient = gradients[position]
        shape = gradient.shape.as_list()
        kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
        count = 1
        for axis in axes:
            count *= shape[axis]
        size = 1
        for length in kept:
            size *= length
        part = tf.reshape(pooled[start : start + size], kept) / count
        spread[position] = tf.cast(tf.broadcast_to(part, shape), gradient.dtype)
        start += size
    return spread


def lowest_selected(gates):
    """Number of the lowest selected layer, int32 in 1..L as in the paper; L + 1 where none of `gates` [L] is on."""
    count = gates.shape[0]
    return tf.reduce_min(tf.where(gates > 0.5, tf.range(1, count + 1), count + 1))
