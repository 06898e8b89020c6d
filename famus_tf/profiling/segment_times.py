"""What each segment of a network costs, measured on the device at hand instead of counted."""

import time

import numpy as np
import tensorflow as tf


def measure(segments, images, repeats=5):
    """Times one forward and one backward pass of each segment; no state of the network changes.

    Args:
      segments: list of `segments.Segment`, from the input to the output.
      images: [n, height, width, channels], a batch of the usual size.
      repeats: timed passes of each segment; the median counts.

    Returns:
      List of floats, each segment's share of the whole; they sum to 1.
    """
    seconds = []
    x = tf.convert_to_tensor(images)
    for segment in segments:
        run = _forward_and_backward(segment)
        output, _ = run(x)  # traces
        durations = []
        for _ in range(repeats):
            start = time.perf_counter()
            _, norm = run(x)
            norm.numpy()  # waits for the device
            durations.append(time.perf_counter() - start)
        seconds.append(float(np.median(durations)))
        x = output
    return [value / sum(seconds) for value in seconds]


def costs_from_top(gated_layers, shares):
    """c_l of each layer: the sum of the segments' shares from the top down to the layer's segment, in (0, 1].

    Args:
      gated_layers: list of `layers.GatedLayer`.
      shares: list of floats, one for each segment.
    """
    return [min(1.0, sum(shares[layer.segment :])) for layer in gated_layers]


def _forward_and_backward(segment):
    states = [variable.value for variable in segment.model.non_trainable_variables]

    @tf.function(autograph=False)
    def run(x):
        weights = [tf.convert_to_tensor(variable.value) for variable in segment.variables]
        sources = [*weights, x] if x.dtype.is_floating else weights
        with tf.GradientTape() as tape:
            tape.watch(sources)
            output, _ = segment.model.stateless_call(weights, states, x, training=True)
        gradients = tape.gradient(output, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return output, tf.add_n([tf.reduce_sum(tf.cast(g, tf.float32)) for g in gradients] or [tf.constant(0.0)])

    return run
