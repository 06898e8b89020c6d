"""Forward, backward and tangent passes over a chain of segments, each able to leave out what lies below `lowest`.

The meta gradient needs two backward passes and one Jacobian-vector product of the network: the logit tangent
zdot = (dz / dw) . v. It is taken segment by segment with nested tapes. The inner tape gives the vector-Jacobian product
vjp(c) for a dummy cotangent c, in which it is linear; the outer tape differentiates <vjp(c), v> with respect to c.
TensorFlow prunes what the result does not need, and forward-mode operations are what is left.
"""

import functools
import itertools

import tensorflow as tf

from famus_tf.losses import softmax


def weights_at(segments):
    """The segments' trainable variables as tensors, a flat list, lowest segment first."""
    return [tf.convert_to_tensor(variable.value) for segment in segments for variable in segment.variables]


class RecordedForward:
    """A forward pass of a chain of segments in training mode, with one gradient tape for each segment.

    Args:
      segments: list of `segments.Segment`.
      images: [n, height, width, channels], in the type that the network takes.
      weights: None for the network's own variables, whose pass moves the BatchNorm statistics; or a function of a slice
        of the flat list of variables -> list of tensors to use in their place, as in Phi(x; w_hat), in which case no
        state of the network changes. It is called segment by segment, so that they need not be in memory all at once.

    Attributes:
      logits: [n, c], the output of the last segment.
    """

    def __init__(self, segments, images, weights=None):
        self._inputs = []
        self._outputs = []
        self._tapes = []
        self._sources = []
        x = images
        self._slices = _slices(segments)
        for segment, part in zip(segments, self._slices, strict=True):
            with tf.GradientTape(persistent=True) as tape:
                if x.dtype.is_floating:
                    tape.watch(x)
                if weights is None:
                    sources = [variable.value for variable in segment.variables]
                    y = segment.model(x, training=True)
                else:
                    with tf.control_dependencies([x]):
                        sources = list(weights(part))
                    tape.watch(sources)
                    states = [variable.value for variable in segment.model.non_trainable_variables]
                    # The new BatchNorm statistics are dropped: only the pass at w moves them (Actual-Train).
                    y, _ = segment.model.stateless_call(sources, states, x, training=True)
            self._inputs.append(x)
            self._outputs.append(y)
            self._tapes.append(tape)
            self._sources.append(sources)
            x = y
        # Below the lowest trainable variable there is nothing to differentiate.
        self._bottom = next((k for k, sources in enumerate(self._sources) if sources), len(segments))
        self.logits = x

    def backward(self, cotangent, lowest=0):
        """Gradients of <cotangent, logits>, from the top down to segment `lowest`.

        Args:
          cotangent: [n, c], the derivative of a scalar with respect to the logits.
          lowest: int or int32 scalar tensor; the segments below it are not computed and their gradients are zeros.
            An int leaves them out of the graph, a tensor puts each segment into a conditional.

        Returns:
          A flat list of dense tensors, one for each variable, lowest segment first.
        """
        gradients = [None] * self._slices[-1].stop
        cotangent = tf.cast(cotangent, self.logits.dtype)
        for k in reversed(range(self._bottom, len(self._tapes))):
            compute = functools.partial(self._vjp, k, cotangent)
            results = _run_if(lowest, k, compute, functools.partial(self._zero_vjp, k, lowest, cotangent))
            gradients[self._slices[k]] = results[: len(self._sources[k])]
            cotangent = results[-1]
        return gradients

    def tangent(self, directions, lowest=0):
        """The logit tangent zdot = (dz / dw) . directions.

        Args:
          directions: function of a slice of the flat list of variables -> list of tensors of their shapes; it is called
            where they are needed, so that for segments below `lowest` none are made. These count as zeros.
          lowest: as in `backward`.

        Returns:
          [n, c] in the logits' type.
        """
        tangent = None
        for k in range(self._bottom, len(self._tapes)):
            if isinstance(lowest, int) and k <= lowest:
                tangent = None
            results = _run_if(
                lowest,
                k,
                lambda k=k, t=tangent: [self._jvp(k, t, directions(self._slices[k]))],
                lambda k=k: [tf.zeros_like(self._outputs[k])],
            )
            tangent = results[0]
        return tangent

    def _vjp(self, k, cotangent):
        """Gradients of segment k's variables, then that of its input where a lower segment needs it."""
        targets = list(self._sources[k])
        if k > self._bottom:
            targets.append(self._inputs[k])
        return self._pull_back(k, cotangent, targets)

    def _pull_back(self, k, cotangent, targets):
        gradients = self._tapes[k].gradient(
            self._outputs[k], targets, output_gradients=cotangent, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [tf.convert_to_tensor(gradient) for gradient in gradients]  # an embedding's comes as IndexedSlices

    def _zero_vjp(self, k, lowest, cotangent):
        """Zeros in place of `_vjp`, which do not fill the memory before the backward pass has come down to here."""
        targets = [*self._sources[k], self._inputs[k]] if k > self._bottom else self._sources[k]
        # The graph optimizer would make full tensors of a constant 0, and hold them from step to step.
        zero = 0 if isinstance(lowest, int) else tf.cast(k >= lowest, tf.int32)
        with tf.control_dependencies([cotangent]):
            return [tf.fill(tf.shape(target), tf.cast(zero, target.dtype)) for target in targets]

    def _jvp(self, k, tangent, directions):
        """Tangent of segment k's output for a tangent of its input (None: zero) and of its variables."""
        targets = list(self._sources[k])
        tangents = list(directions)
        if tangent is not None and k > self._bottom:
            targets.append(self._inputs[k])
            tangents.append(tangent)
        if not targets:
            return tf.zeros_like(self._outputs[k])
        dummy = tf.zeros_like(self._outputs[k])
        with tf.GradientTape() as outer:
            outer.watch(dummy)
            pulled = self._pull_back(k, dummy, targets)
            products = [tf.reduce_sum(p * tf.cast(d, p.dtype)) for p, d in zip(pulled, tangents, strict=True)]
            # Under a mixed policy the variables' products are float32 and the input's is not.
            product = tf.add_n([softmax.at_least_float32(part) for part in products])
        return outer.gradient(product, dummy, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def inner_products(segments, g, u, lowest):
    """<u_p, g_p> of each variable's two gradients.

    Args:
      segments: list of `segments.Segment`.
      g, u: flat lists of tensors, lowest segment first.
      lowest: as in `RecordedForward.backward`: zeros below it, where g is not kept in memory until u is there.

    Returns:
      Flat list of scalars, at least float32.
    """

    def products(part):
        return [softmax.at_least_float32(tf.reduce_sum(a * b)) for a, b in zip(g[part], u[part], strict=True)]

    def zeros(part):
        return [softmax.at_least_float32(tf.zeros([], a.dtype)) for a in g[part]]

    scalars = []
    for k, part in enumerate(_slices(segments)):
        if part.start < part.stop:
            scalars += _run_if(lowest, k, functools.partial(products, part), functools.partial(zeros, part))
    return scalars


def _slices(segments):
    """Where the variables of each segment stand in the flat list."""
    stops = list(itertools.accumulate(len(segment.variables) for segment in segments))
    return [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]


def _run_if(lowest, k, compute, zeros):
    """`compute()` where segment k is at or above `lowest`, else `zeros()`; lists of tensors of the same shapes."""
    if isinstance(lowest, int):
        return compute() if k >= lowest else zeros()
    # Without a function of its own, the graph optimizer may move a TemporaryVariable of a branch that is not taken
    # into the step, and the second step of a large network fails with "AlreadyExistsError: ... tmp_var".
    keep_whole = {"_noinline": True}
    return tf.cond(
        k >= lowest,
        lambda: tf.function(compute, autograph=False, experimental_attributes=keep_whole)(),
        zeros,
    )


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
