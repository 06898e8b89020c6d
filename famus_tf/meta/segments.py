"""Cuts a functional network into a chain of segments, so that a part of it can be left uncomputed at run time.

Which layers the sampler selects is known only while the graph runs, so a backward pass that stops early needs control
flow at places where the network is one tensor wide. `find_segments` finds those places in any functional
`keras.Model`; the segments are sub-models that share its layers and variables.
"""

import dataclasses
import math

import keras

from famus_tf import errors

MAX_SEGMENTS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """A part of a network between two cuts.

    Attributes:
      model: functional `keras.Model` from the lower cut to the upper one; its layers belong to the whole network too.
      variables: its trainable variables, a list of `keras.Variable`.
      cost: its share of the network's multiplications, in [0, 1].
    """

    model: keras.Model
    variables: list
    cost: float


@dataclasses.dataclass(frozen=True)
class _Node:
    """One application of an operation: its input and output tensors and its number of multiplications."""

    operation: object
    inputs: tuple
    outputs: tuple
    cost: float


def find_segments(network, max_segments=MAX_SEGMENTS):
    """Cuts `network` into segments of similar cost.

    A cut is possible behind an operation where exactly one tensor is still needed later and no layer with weights is
    used on both sides. Of these, one is taken whenever the cost since the last (kernel size x output pixels) reaches
    1 / `max_segments` of the whole; the last possible cut below the top-most kernel is always taken, so that the
    classifier alone is the cheapest segment to traverse.

    Args:
      network: a built functional `keras.Model` with one input and one output tensor.
      max_segments: about how many segments to make at most; one more comes from the classifier's cut.

    Returns:
      A list of `Segment` from the input to the output. Their composition equals `network`.

    Raises:
      InputError: `network` is not functional, or has several inputs or outputs.
    """
    source, result = _single_tensors(network)
    nodes = _topological_nodes(result, source)
    cuts = _choose_cuts(nodes, source, result, max_segments)
    total = sum(node.cost for node in nodes) or 1.0
    segments = []
    lower = source
    start = 0
    for position, tensor in [*cuts, (len(nodes) - 1, result)]:
        model = keras.Model(lower, tensor, name=f"segment_{len(segments)}")
        cost = sum(node.cost for node in nodes[start : position + 1]) / total
        segments.append(Segment(model, list(model.trainable_variables), cost))
        lower = tensor
        start = position + 1
    _check_same_variables(network, segments)
    return segments


def as_functional(network):
    """The network itself or, of a subclassed model, a functional one that calls it and shares its variables.

    Such a model is one segment: nothing of it can be left uncomputed, and the gradients are exact.

    Raises:
      InputError: a subclassed model that has not been built.
    """
    if getattr(network, "inputs", None) or not isinstance(network, keras.Model):
        return network
    shape = (network.get_build_config() or {}).get("input_shape") if network.built else None
    if shape is None:
        raise errors.InputError(
            f"network {network.name!r} is a {type(network).__name__} without a graph of layers: expected a functional "
            "keras.Model, or one that has been built, by network.build((None, height, width, channels))"
        )
    images = keras.Input(tuple(shape[1:]), dtype=network.compute_dtype if network.compute_dtype == "float64" else None)
    return keras.Model(images, network(images), name=f"{network.name}_in_one_piece")


def pieces(network):
    """The operations of a network between every two places where it is one tensor wide.

    Args:
      network: as in `find_segments`.

    Returns:
      List of lists of operations (Keras layers, as a rule), from the input to the output.
    """
    source, result = _single_tensors(network)
    nodes = _topological_nodes(result, source)
    ends = [position + 1 for position, _ in _possible_cuts(nodes, source, result)]
    bounds = zip([0, *ends], [*ends, len(nodes)], strict=True)
    return [[node.operation for node in nodes[start:end]] for start, end in bounds]


def last_block_input(network):
    """The tensor that the last block of a network takes, by `blocks.find_blocks`' rule for unnamed ones.

    It is where the network is one tensor wide for the last time below its topmost layer with a kernel, and, where that
    layer is one of several between two such places, below all of these.

    Args:
      network: as in `find_segments`, images -> features.

    Raises:
      InputError: there is no such place.
    """
    source, result = _single_tensors(network)
    nodes = _topological_nodes(result, source)
    top = max((position for position, node in enumerate(nodes) if _has_kernel(node.operation)), default=0)
    below = [tensor for position, tensor in _possible_cuts(nodes, source, result) if position < top]
    if not below:
        raise errors.InputError(f"network {network.name!r}: expected a block below the classifier, to have it twice")
    return below[-1]


def _single_tensors(network):
    inputs, outputs = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if not inputs or not outputs:
        raise errors.InputError(
            f"network {getattr(network, 'name', network)!r} is a {type(network).__name__} without a graph of layers: "
            "expected a functional keras.Model or a built keras.Sequential"
        )
    if len(inputs) != 1 or len(outputs) != 1:
        raise errors.InputError(
            f"network {network.name!r} has {len(inputs)} inputs and {len(outputs)} outputs: expected images -> logits"
        )
    return inputs[0], outputs[0]


def _topological_nodes(result, source):
    """Nodes between `source` and `result`, each behind everything it needs (a post-order walk, without recursion)."""
    nodes = []
    finished = set()
    stack = [(result, False)]
    while stack:
        tensor, expanded = stack.pop()
        operation, node_index, _ = tensor._keras_history
        key = (id(operation), node_index)
        if key in finished or tensor is source:
            continue
        node = operation._inbound_nodes[node_index]
        if expanded:
            finished.add(key)
            nodes.append(_Node(operation, tuple(node.input_tensors), tuple(node.outputs), _cost(operation, node)))
        else:
            stack.append((tensor, True))
            stack.extend((needed, False) for needed in reversed(node.input_tensors))
    return nodes


def _cost(operation, node):
    """Multiplications per image: kernel sizes x output pixels, plus one for each output number."""
    numbers = math.prod(size or 1 for size in node.outputs[0].shape[1:])
    shape = node.outputs[0].shape
    pixels = math.prod(size or 1 for size in shape[1:-1]) if len(shape) > 2 else 1
    kernels = sum(math.prod(weight.shape) for weight in _weights(operation) if len(weight.shape) > 1)
    return float(kernels * pixels + numbers)


def _weights(operation):
    return getattr(operation, "weights", [])


def _has_kernel(operation):
    return any(len(weight.shape) > 1 for weight in _weights(operation))


def _choose_cuts(nodes, source, result, max_segments):
    possible = _possible_cuts(nodes, source, result)
    step = sum(node.cost for node in nodes) / max_segments
    top = max((position for position, node in enumerate(nodes) if _has_kernel(node.operation)), default=0)
    below_top = [position for position, _ in possible if position < top]
    cuts = []
    since_cut = 0.0
    candidates = dict(possible)
    for position, node in enumerate(nodes):
        since_cut += node.cost
        forced = below_top and position == below_top[-1]
        if position in candidates and (since_cut >= step or forced):
            cuts.append((position, candidates[position]))
            since_cut = 0.0
    return cuts


def _possible_cuts(nodes, source, result):
    """Pairs (position, tensor): behind that node the tensor is all that is still needed."""
    last_use = {id(result): len(nodes)}
    last_node_of = {}
    for position, node in enumerate(nodes):
        for tensor in node.inputs:
            last_use[id(tensor)] = max(position, last_use.get(id(tensor), 0))
        if _weights(node.operation):
            last_node_of[id(node.operation)] = position
    live = {id(source): source}
    shared_until = -1
    cuts = []
    for position, node in enumerate(nodes[:-1]):
        live.update((id(tensor), tensor) for tensor in node.outputs)
        live = {key: tensor for key, tensor in live.items() if last_use.get(key, -1) > position}
        shared_until = max(shared_until, last_node_of.get(id(node.operation), -1))
        if len(live) == 1 and id(source) not in live and shared_until <= position:
            cuts.append((position, next(iter(live.values()))))
    return cuts


def _check_same_variables(network, segments):
    expected = {id(variable) for variable in network.trainable_variables}
    in_segments = [id(variable) for segment in segments for variable in segment.variables]
    if len(in_segments) != len(set(in_segments)) or set(in_segments) != expected:
        raise errors.InputError(
            f"network {network.name!r}: {len(expected)} trainable variables in the whole and {len(in_segments)} in its "
            "segments; a layer outside the path from images to logits, or one shared in an unsupported way"
        )
