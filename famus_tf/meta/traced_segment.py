"""A segment as three graph functions of tensors: forward, vector-Jacobian product and Jacobian-vector product.

All three are cut out of one trace of the segment. The inner tape of the trace gives the vector-Jacobian product vjp(c),
linear in the cotangent c; the outer tape differentiates <vjp(c), v> with respect to c, which is the Jacobian-vector
product. Of both, only the operations that the result needs are kept, and `forward` returns what they need of its
intermediate results, so that nothing is computed twice.

A step then calls each segment's functions, once for each of its passes. Taping every pass anew puts as many copies of
the network into the graph, which doubles the time that a network of 450 layers takes to its first step.
"""

import dataclasses

import tensorflow as tf

from famus_tf.meta import layers

# A function that the graph optimizer must leave whole: it works through a segment once, however often it is called, and
# it cannot move a TemporaryVariable of a branch that is not taken into the step, where the second step of a large
# network fails with "AlreadyExistsError: ... tmp_var".
_KEEP_WHOLE = {"_noinline": True}


class TracedSegment:
    """The passes of one segment for inputs of one shape and type.

    Args:
      segment: a `segments.Segment` at or above the lowest one with trainable variables.
      like: a tensor of the shape and type of the segment's input.
      differentiable_input: whether vjp and jvp go through to the input; of no use in the lowest segment with variables.
    """

    def __init__(self, segment, like, differentiable_input):
        trace = _Trace(segment, like, differentiable_input)
        self._changed = [i for i, name in enumerate(trace.states) if trace.new_states[i] != name]
        for_vjp = trace.needed_of_forward(trace.gradients, [trace.cotangent])
        for_jvp = trace.needed_of_forward([trace.output_tangent], trace.tangents)
        saved = list(dict.fromkeys([*for_vjp, *for_jvp]))
        self._for_vjp = [saved.index(name) for name in for_vjp]
        self._for_jvp = [saved.index(name) for name in for_jvp]
        new_states = [trace.new_states[i] for i in self._changed]
        self._forward = trace.function([trace.x, *trace.weights, *trace.states], [trace.output, *new_states, *saved])
        self._vjp = trace.function([*for_vjp, trace.cotangent], trace.gradients)
        self._jvp = trace.function([*for_jvp, *trace.tangents], [trace.output_tangent])

    def forward(self, x, weights, states):
        """One pass in training mode.

        Args:
          x: the segment's input.
          weights: list of tensors in the place of `segment.variables`.
          states: list of tensors in the place of `segment.model.non_trainable_variables`.

        Returns:
          The segment's output, {position in `states`: new value} of the states that such a pass changes, and a list of
          tensors for `vjp` and `jvp`.
        """
        output, *rest = self._forward(x, *weights, *states)
        count = len(self._changed)
        return output, dict(zip(self._changed, rest[:count], strict=True)), rest[count:]

    def vjp(self, saved, cotangent):
        """Gradients of <cotangent, output>: a list of the weights', then the input's where it is differentiable."""
        return list(self._vjp(*(saved[i] for i in self._for_vjp), cotangent))

    def jvp(self, saved, tangents):
        """Tangent of the output for a list of the weights' tangents, then the input's where it is differentiable."""
        return self._jvp(*(saved[i] for i in self._for_jvp), *tangents)[0]


class TapedSegment:
    """The same passes taped in the graph that calls them, with the methods of `TracedSegment`.

    For a segment with sums over replicas inside (synchronised BatchNorm), which may not stand in a function.

    Args:
      model: the segment's `keras.Model`.
      differentiable_input: as in `TracedSegment`.
    """

    def __init__(self, model, differentiable_input):
        self._model, self._differentiable_input = model, differentiable_input

    def forward(self, x, weights, states):
        """As `TracedSegment.forward`; every state comes back, and what is saved is a `_Taped`."""
        targets = [*weights, *([x] if self._differentiable_input else [])]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(targets)
            output, new_states = self._model.stateless_call(weights, states, x, training=True)
        return output, dict(enumerate(new_states)), _Taped(tape, output, targets)

    def vjp(self, saved, cotangent):
        """As `TracedSegment.vjp`."""
        zero = tf.UnconnectedGradients.ZERO
        gradients = saved.tape.gradient(saved.output, saved.targets, cotangent, unconnected_gradients=zero)
        return [tf.convert_to_tensor(gradient) for gradient in gradients]  # an embedding's comes as IndexedSlices

    def jvp(self, saved, tangents):
        """As `TracedSegment.jvp`."""
        return self.pull_and_push(saved, tangents)[2]

    def pull_and_push(self, saved, tangents):
        """A dummy cotangent, the gradients for it, and the output's tangent, in which the dummy does not appear."""
        cotangent = tf.identity(tf.zeros_like(saved.output))
        with tf.GradientTape() as outer:
            outer.watch(cotangent)
            gradients = self.vjp(saved, cotangent)
            products = [tf.reduce_sum(g * tf.cast(t, g.dtype)) for g, t in zip(gradients, tangents, strict=True)]
            # Under a mixed policy the weights' products are float32 and the input's is not.
            product = tf.add_n([layers.at_least_float32(part) for part in products])
        output_tangent = outer.gradient(product, cotangent, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return cotangent, gradients, output_tangent


@dataclasses.dataclass(frozen=True)
class _Taped:
    tape: tf.GradientTape
    output: tf.Tensor
    targets: list


class _Trace:
    """The graph of all passes. Its public attributes are names of tensors in it, or lists of such names."""

    def __init__(self, segment, like, differentiable_input):
        specs = [[tf.TensorSpec(v.shape, v.dtype) for v in segment.variables]]
        specs += [[tf.TensorSpec(v.shape, v.dtype) for v in segment.model.non_trainable_variables]]
        concrete = tf.function(self._record, autograph=False).get_concrete_function(
            segment.model, tf.TensorSpec(like.shape, like.dtype), *specs, differentiable_input
        )
        self._graph = concrete.graph
        definition = self._graph.as_graph_def()
        self._library = definition.library
        self._nodes = {node.name: node for node in definition.node}
        inside = self._graph.inputs[len(self._graph.inputs) - len(concrete.captured_inputs) :]
        self._captured = {i.name: outside for i, outside in zip(inside, concrete.captured_inputs, strict=True)}

    def _record(self, model, x, weights, states, differentiable_input):
        """The passes one behind the other, the dummies standing for arguments that are not known yet."""
        taped = TapedSegment(model, differentiable_input)
        output, new_states, saved = taped.forward(x, weights, states)
        self._forward_nodes = {operation.name for operation in output.graph.get_operations()}
        tangents = [tf.identity(tf.zeros_like(target)) for target in saved.targets]
        cotangent, gradients, output_tangent = taped.pull_and_push(saved, tangents)
        self.x, self.output, self.cotangent = x.name, output.name, cotangent.name
        self.output_tangent, self.tangents = output_tangent.name, [tangent.name for tangent in tangents]
        self.weights, self.states = [t.name for t in weights], [t.name for t in states]
        self.new_states, self.gradients = [t.name for t in new_states.values()], [g.name for g in gradients]
        return output

    def needed_of_forward(self, results, arguments):
        """Names of the forward pass's tensors from which, with `arguments`, the tensors `results` are computed."""
        return self._walk(results, arguments, stop_at_forward=True)[1]

    def function(self, arguments, results):
        """The part of the trace from the tensors named `arguments` to those named `results`, as a function of tensors.

        Returns:
          A function that takes them one by one and returns a list.
        """
        nodes, _ = self._walk(results, arguments, stop_at_forward=False)
        names = {node.name for node in nodes}
        part = tf.compat.v1.GraphDef(library=self._library)
        for node in nodes:
            copy = part.node.add()
            copy.CopyFrom(node)
            # Operations that it is to run beside or behind may have been left out.
            copy.attr.pop("_class", None)
            copy.input[:] = [name for name in node.input if not name.startswith("^") or name[1:] in names]
        used = {_tensor_name(name) for node in part.node for name in node.input}
        captured = {name: tensor for name, tensor in self._captured.items() if name in used or name in results}

        def run(*tensors):
            given = dict(zip(arguments, tensors, strict=True))
            given |= {name: tensors[0].graph.capture(tensor) for name, tensor in captured.items()}
            wanted = [name for name in results if name not in given]
            inputs = {name: tensor for name, tensor in given.items() if name in used}
            made = tf.graph_util.import_graph_def(part, input_map=inputs, return_elements=wanted)
            made = given | dict(zip(wanted, made, strict=True))
            return [made[name] for name in results]

        signature = [self._spec(name) for name in arguments]
        traced = tf.function(run, input_signature=signature, autograph=False, experimental_attributes=_KEEP_WHOLE)
        return traced.get_concrete_function()

    def _spec(self, name):
        tensor = self._graph.get_tensor_by_name(name)
        return tf.TensorSpec(tensor.shape, tensor.dtype)

    def _walk(self, results, arguments, stop_at_forward):
        """Nodes between `arguments` and `results`, and the forward pass's tensors where the walk down stopped."""
        ends, needed, found, waiting = {*arguments, *self._captured}, [], {}, list(results)
        while waiting:
            name = waiting.pop()
            node = self._nodes[name.lstrip("^").partition(":")[0]]
            forward = node.name in self._forward_nodes
            if name in ends or node.name in found:
                continue
            if stop_at_forward and forward and node.op != "Const":
                ends.add(name)
                needed.append(name)
                continue
            found[node.name] = node
            below = [_tensor_name(text) for text in node.input]
            # The forward pass has run by then; what it must run behind, it has run behind.
            waiting.extend(t for t in below if forward or not (t[0] == "^" and t[1:] in self._forward_nodes))
        return list(found.values()), needed


def _tensor_name(text):
    """A node's input in a GraphDef as the name of a tensor: "node" stands for "node:0"; control inputs are kept."""
    return text if ":" in text or text.startswith("^") else f"{text}:0"
