"""How far each layer's share of the meta gradient trusts each training example: s_li = <u_l, g_li>.

u_l is the gradient of the validation loss by layer l's variables, g_li that of example i's training loss. Their product
is taken where the layer stands: with x_l the layer's input and delta_l the gradient of the summed training loss at its
output, s_li = <delta_li, (d layer(x_li; w_l) / d w_l) . u_l>, a tangent of one layer. For a convolution that is the
layer applied with u_l in the place of its kernel, so all layers together cost about a forward pass.

The sum over the examples is <u_l, sum_i g_li> to rounding error. Each s_li alone is that product too, unless BatchNorm
in training mode mixes the examples above the layer: then delta_li has what example i's place in the batch contributes.
A layer that is called several times has the sum over its calls.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax
from famus_tf.meta import meta_gradient


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of an operation that owns trainable variables.

    Attributes:
      operation, arguments, options: what was called, with which positional and keyword arguments.
      outputs: flat list of the tensors that it returned.
      layers: {number of a gated layer: positions of its variables}, of those inside the operation.
    """

    operation: Any
    arguments: tuple
    options: dict
    outputs: list
    layers: dict


def layer_scores(segments, gated_layers, images, losses, directions):
    """The scores of every layer for every example, at the network's own weights in training mode.

    No state of the network changes, BatchNorm's statistics and the seeds of random layers included.

    Args:
      segments: list of `segments.Segment`.
      gated_layers: list of L `layers.GatedLayer`.
      images: [n, height, width, channels], this replica's share.
      losses: function of logits [n, c] -> training loss of each example [n].
      directions: list of flat lists of tensors, u of each of all segments' variables.

    Returns:
      List with a tensor [n, L] for each of `directions`, at least float32.
    """
    weights = meta_gradient.weights_at(segments)
    forward = _forward(segments, _Places(segments, gated_layers, weights), images)
    logits = forward[-1].output
    _, cotangent = meta_gradient.logit_gradient(lambda z: tf.reduce_sum(losses(z)), logits)
    nothing = softmax.at_least_float32(tf.zeros([tf.shape(logits)[0]], logits.dtype))
    columns = [[nothing] * len(gated_layers) for _ in directions]
    for recorded in reversed(forward):
        deltas, cotangent = recorded.backward(cotangent)
        for call, delta in zip(recorded.calls, deltas, strict=True):
            for number, positions in call.layers.items():
                tangents = _tangents(call, recorded.values, weights, positions, directions)
                for column, tangent in zip(columns, tangents, strict=True):
                    column[number] = column[number] + _products(delta, tangent)
    return [tf.stack(column, axis=1) for column in columns]


def half_gradients(segments, images, loss):
    """u of either half of a batch, at the network's own weights in training mode; no state of the network changes.

    Examples at even places of the global batch are one half, those at odd places the other, whatever replica has them.

    Args:
      segments: list of `segments.Segment`.
      images: [m, height, width, channels], this replica's share.
      loss: function of logits [m, c] -> this replica's share of the loss, a sum over the examples.

    Returns:
      Two flat lists of tensors, summed over the replicas. Their sum is the gradient of the whole.
    """
    weights = meta_gradient.weights_at(segments)
    forward = meta_gradient.RecordedForward(segments, images, weights=weights.__getitem__)
    _, cotangent = meta_gradient.logit_gradient(loss, forward.logits)
    count = tf.shape(cotangent)[0]
    place = tf.range(count) + count * tf.cast(replicas.number(), count.dtype)
    odd = tf.cast(place % 2, cotangent.dtype)[:, tf.newaxis]
    return [replicas.all_reduce_sum(forward.backward(cotangent * half)) for half in (1.0 - odd, odd)]


class _Places:
    """Which variable is where, and what stands for it.

    Args:
      segments, gated_layers: as in `layer_scores`.
      weights: flat list of tensors.
    """

    def __init__(self, segments, gated_layers, weights):
        variables = [variable for segment in segments for variable in segment.variables]
        self._position = {id(variable): position for position, variable in enumerate(variables)}
        self._layer = {position: number for number, layer in enumerate(gated_layers) for position in layer.positions}
        self._weights = weights

    def values(self, variables):
        """Pairs of a variable and the tensor for it, as `keras.StatelessScope` takes them."""
        return [(variable, self._weights[self._position[id(variable)]]) for variable in variables]

    def layers(self, operation):
        """{number of a gated layer: positions of its variables} inside an operation."""
        found = {}
        for variable in getattr(operation, "trainable_variables", ()):
            position = self._position[id(variable)]
            found.setdefault(self._layer[position], []).append(position)
        return found


@dataclasses.dataclass(frozen=True)
class _Recorded:
    """A segment's forward pass: its tape, input, output, calls, and what stands for its variables."""

    tape: tf.GradientTape
    input: tf.Tensor
    output: tf.Tensor
    calls: list
    values: list

    def backward(self, cotangent):
        """For a cotangent of the output: those of each call's outputs, and that of the input (None for whole numbers).

        Weights are constants here, so the pass does not compute their gradients.
        """
        targets = [output for call in self.calls for output in call.outputs]
        below = [self.input] if self.input.dtype.is_floating else []
        gradients = self.tape.gradient(
            self.output,
            targets + below,
            output_gradients=tf.cast(cotangent, self.output.dtype),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        ends = iter(gradients)
        return [[next(ends) for _ in call.outputs] for call in self.calls], next(ends, None)


def _forward(segments, places, images):
    """A list of `_Recorded`, one for each segment."""
    recorded = []
    x = images
    for segment in segments:
        calls = []
        values = places.values(segment.variables)
        with tf.GradientTape() as tape, keras.StatelessScope(values):
            if x.dtype.is_floating:
                tape.watch(x)
            y = _run(segment.model, x, _Recorder(places, tape, calls, type(segment.model)))
        recorded.append(_Recorded(tape, x, y, calls, values))
        x = y
    return recorded


class _Recorder:
    """Calls the operations of a model in training mode, and notes the calls of those that own trainable variables.

    Args:
      places: `_Places`.
      tape: the tape of the pass, which watches their outputs.
      calls: list that the `_Call`s are added to.
      functional: Keras's class of functional models, which has no public name. Such a model in the model, and a
        `Sequential`, is not one operation: its layers are called in its place.
    """

    def __init__(self, places, tape, calls, functional):
        self._places = places
        self._tape = tape
        self._calls = calls
        self._with_graphs = (functional, keras.Sequential)

    def __call__(self, operation):
        """The operation as a function of its arguments."""

        def call(*arguments, **options):
            if "training" in getattr(operation, "_call_context_args", ()):  # as `Functional.call` does
                options["training"] = True
            if type(operation) in self._with_graphs and len(operation.inputs) == len(operation.outputs) == 1:
                return _run(operation, arguments[0], self)
            result = operation(*arguments, **options)
            layers = self._places.layers(operation)
            if layers:
                outputs = tf.nest.flatten(result)
                self._tape.watch(outputs)
                self._calls.append(_Call(operation, arguments, options, outputs, layers))
            return result

        return call


def _run(model, x, operation_fn):
    """What a functional model of one input and one output does, with `operation_fn(operation)` for each operation."""
    model = getattr(model, "_functional", model)  # of a `Sequential`
    outputs = model._run_through_graph(model._standardize_inputs(x), operation_fn=operation_fn)
    (output,) = tf.nest.flatten(outputs)
    return output


def _tangents(call, values, weights, positions, directions):
    """Tangents of a call's outputs for tangents `directions` of the variables at `positions`, by nested tapes.

    Returns:
      For each direction a list of tensors of the outputs' shapes.
    """
    sources = [weights[position] for position in positions]
    with tf.GradientTape(persistent=True) as outer:
        dummies = [tf.zeros_like(output) for output in call.outputs]
        outer.watch(dummies)
        with tf.GradientTape() as inner:
            inner.watch(sources)
            with keras.StatelessScope(values):
                outputs = tf.nest.flatten(call.operation(*call.arguments, **call.options))
        pulled = inner.gradient(
            outputs, sources, output_gradients=dummies, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        pulled = [tf.convert_to_tensor(part) for part in pulled]  # an embedding's comes as IndexedSlices
        sums = []
        for direction in directions:
            parts = [
                softmax.at_least_float32(tf.reduce_sum(part * tf.cast(direction[position], part.dtype)))
                for part, position in zip(pulled, positions, strict=True)
            ]
            sums.append(tf.add_n(parts))
    return [outer.gradient(one, dummies, unconnected_gradients=tf.UnconnectedGradients.ZERO) for one in sums]


def _products(deltas, tangents):
    """<delta_i, tangent_i> of each example, [n], over all outputs."""
    products = []
    for delta, tangent in zip(deltas, tangents, strict=True):
        product = softmax.at_least_float32(delta) * softmax.at_least_float32(tangent)
        products.append(tf.reduce_sum(product, axis=list(range(1, product.shape.rank))))
    return tf.add_n(products)
