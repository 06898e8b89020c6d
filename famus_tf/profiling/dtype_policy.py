"""What option `dtype_policy`=auto stands for: mixed_bfloat16 where it measures as faster on the device at hand."""

import gc
import logging
import time

import numpy as np
import tensorflow as tf

from famus_tf.losses import softmax

_LOG = logging.getLogger(__name__)

BATCH_SIZE = 16
_ROUNDS = 5
# A gain within the noise of so short a measurement is not worth a lower precision.
_WORTHWHILE = 0.95


def choose(build, images, labels):
    """Times a forward and a backward pass of a network in both policies, alternately, and logs the result.

    Args:
      build: function of a policy's name -> the network.
      images: [n, height, width, channels]; the first few are used.
      labels: int [n].

    Returns:
      "mixed_bfloat16" or "float32".
    """
    images, labels = tf.constant(images[:BATCH_SIZE]), tf.constant(labels[:BATCH_SIZE])
    names = ("float32", "mixed_bfloat16")
    passes = {name: forward_and_backward(build(name), images, labels) for name in names}
    seconds = {name: [] for name in names}
    for _ in range(_ROUNDS):
        for name, run in passes.items():
            start = time.perf_counter()
            run().numpy()  # waits for the device
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    passes.clear()
    gc.collect()  # a network and its layers hold each other; two of them need not outlive the choice
    chosen = "mixed_bfloat16" if medians["mixed_bfloat16"] < _WORTHWHILE * medians["float32"] else "float32"
    _LOG.info(
        f"option `dtype_policy`=auto: {chosen}; forward and backward for {len(labels)} images take "
        f"{medians['float32']:.4f} s in float32, {medians['mixed_bfloat16']:.4f} s in mixed_bfloat16"
    )
    return chosen


def forward_and_backward(network, images, labels):
    """A function that runs both, already traced, and returns a number that depends on every gradient."""
    sources = [variable.value for variable in network.trainable_variables]

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(softmax.cross_entropy(labels, network(images, training=True)))
        gradients = tape.gradient(loss, sources)
        return tf.add_n([tf.reduce_sum(tf.cast(gradient, tf.float32)) for gradient in gradients])

    run()
    return run
