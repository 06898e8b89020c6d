"""Forward, backward and tangent passes over a chain of segments, each able to leave out what lies below `lowest`.

The meta gradient needs, besides the two backward passes, one Jacobian-vector product of the network: the logit tangent
zdot = (dz / dw) . v. It is taken segment by segment (`traced_segment`).
"""

import tensorflow as tf

from famus_tf.meta import replicas, traced_segment


def weights_at(segments):
    """The segments' trainable variables as tensors, a flat list, lowest segment first."""
    return [tf.convert_to_tensor(variable.value) for segment in segments for variable in segment.variables]


class RecordedForward:
    """A forward pass of a chain of segments in training mode, from which gradients and tangents can be taken.

    Args:
      segments: list of `segments.Segment`.
      images: [n, height, width, channels], in the type that the network takes.
      weights: None for the network's own variables, whose pass moves the BatchNorm statistics; or a flat list of
        tensors to use in their place, as in Phi(x; w_hat), in which case no state of the network changes.

    Attributes:
      logits: [n, c], the output of the last segment.
    """

    def __init__(self, segments, images, weights=None):
        own_weights, weights = weights is None, weights_at(segments) if weights is None else weights
        # Below the lowest trainable variable there is nothing to differentiate.
        self._bottom = next((k for k, segment in enumerate(segments) if segment.variables), len(segments))
        self._weights, self._slices, self._passes, self._saved, self._tensors = weights, [], [], [], [images]
        start = 0
        for k, segment in enumerate(segments):
            self._slices.append(slice(start, start + len(segment.variables)))
            start += len(segment.variables)
            if k < self._bottom:
                y, passes, saved = _untrained_output(segment.model, self._tensors[k], own_weights), None, None
            else:
                passes = _passes(segment, self._tensors[k], differentiable_input=k > self._bottom)
                y, saved = _forward(passes, segment.model, self._tensors[k], weights[self._slices[k]], own_weights)
            self._passes.append(passes)
            self._saved.append(saved)
            self._tensors.append(y)
        self.logits = self._tensors[-1]

    def backward(self, cotangent, lowest=0):
        """Gradients of <cotangent, logits>, from the top down to segment `lowest`.

        Args:
          cotangent: [n, c], the derivative of a scalar with respect to the logits.
          lowest: int or int32 scalar tensor; the segments below it are not computed and their gradients are zeros.
            An int leaves them out of the graph, a tensor puts each segment into a conditional.

        Returns:
          A flat list of dense tensors, one for each variable, lowest segment first.
        """
        gradients = [None] * len(self._weights)
        cotangent = tf.cast(cotangent, self.logits.dtype)
        for k in reversed(range(self._bottom, len(self._passes))):
            results = _run_if(
                lowest,
                k,
                lambda k=k, c=cotangent: self._passes[k].vjp(self._saved[k], c),
                lambda k=k: self._zero_vjp(k),
            )
            gradients[self._slices[k]] = results[: self._slices[k].stop - self._slices[k].start]
            cotangent = results[-1]
        return gradients

    def tangent(self, directions, lowest=0):
        """The logit tangent zdot = (dz / dw) . directions.

        Args:
          directions: flat list of tensors of the variables' shapes; those below segment `lowest` count as zeros.
          lowest: as in `backward`.

        Returns:
          [n, c] in the logits' type.
        """
        tangent = None
        for k in range(self._bottom, len(self._passes)):
            weights = self._weights[self._slices[k]]
            along = [tf.cast(d, w.dtype) for d, w in zip(directions[self._slices[k]], weights, strict=True)]
            if k > self._bottom:
                along.append(tangent)
            (tangent,) = _run_if(
                lowest,
                k,
                lambda k=k, along=along: [self._passes[k].jvp(self._saved[k], along)],
                lambda k=k: [tf.zeros_like(self._tensors[k + 1])],
            )
        return tf.zeros_like(self.logits) if tangent is None else tangent

    def _zero_vjp(self, k):
        zeros = [tf.zeros(weight.shape, weight.dtype) for weight in self._weights[self._slices[k]]]
        return [*zeros, tf.zeros_like(self._tensors[k])] if k > self._bottom else zeros


def _untrained_output(model, x, own_weights):
    """The output of a segment at the bottom that has no trainable variables."""
    if own_weights:
        return model(x, training=True)
    states = [variable.value for variable in model.non_trainable_variables]
    return model.stateless_call([], states, x, training=True)[0]


def _forward(passes, model, x, weights, keep_states):
    """Output and saved tensors of a segment; keeps what the pass makes of BatchNorm statistics and random seeds."""
    variables = model.non_trainable_variables
    states = [tf.convert_to_tensor(variable.value) for variable in variables]
    y, new_states, saved = passes.forward(x, weights, states)
    if keep_states:
        for position, value in new_states.items():
            variables[position].assign(value)
    return y, saved


def _passes(segment, x, differentiable_input):
    """The segment's functions for inputs like `x`, traced once for each device, whose name their operations carry."""
    if replicas.count() > 1 and any(getattr(layer, "synchronized", False) for layer in segment.model._flatten_layers()):
        return traced_segment.TapedSegment(segment.model, differentiable_input)
    key = (tuple(x.shape), x.dtype, tf.zeros([]).device)
    if key not in segment.passes:
        segment.passes[key] = traced_segment.TracedSegment(segment, x, differentiable_input)
    return segment.passes[key]


def _run_if(lowest, k, compute, zeros):
    """`compute()` where segment k is at or above `lowest`, else `zeros()`; lists of tensors of the same shapes."""
    if isinstance(lowest, int):
        return compute() if k >= lowest else zeros()
    return tf.cond(k >= lowest, compute, zeros)


def logit_gradient(loss, logits):
    """The derivative of a loss of the logits.

    Args:
      loss: function [n, c] -> scalar.
      logits: [n, c].

    Returns:
      The scalar, and its derivative [n, c].
    """
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(logits)
    return value, tape.gradient(value, logits)


def meta_gradient(loss, logits, logit_tangent, theta):
    """d/dtheta <d loss / d z (z; theta), zdot>: the meta gradient once the network is summed up in `logit_tangent`.

    With zdot = (dz / dw) . (-alpha r u) this is the gradient of L_c through w_hat = w - alpha g(w; theta), over the
    layers with r_l = 1: Eq. 9, and with every gate on Eq. 7. Theta meets only (batch x class) tensors.

    Args:
      loss: function (logits, theta) -> scalar, the training loss.
      logits: [n, c] at w.
      logit_tangent: [n, c].
      theta: list of tensors, the meta parameters.

    Returns:
      List of tensors of theta's shapes.
    """
    theta = list(theta)
    with tf.GradientTape() as outer:
        outer.watch(theta)
        _, gradient = logit_gradient(lambda z: loss(z, theta), logits)
        product = tf.reduce_sum(gradient * tf.cast(tf.stop_gradient(logit_tangent), gradient.dtype))
    return outer.gradient(product, theta, unconnected_gradients=tf.UnconnectedGradients.ZERO)
