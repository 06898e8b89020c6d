"""Seconds of each stage of a step (Fig. 1b of the paper), from the differences of ever longer prefixes of it.

A prefix computes the step up to the end of a stage and returns what the stage made; TensorFlow prunes the rest. No
prefix changes a variable: the optimizers, the BatchNorm statistics and the metrics are left out, and their time, with
that of the records, is what a whole step takes more than the last prefix.
"""

import functools
import itertools
import statistics
import time

import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import batches, layers, meta_gradient, objectives, replicas

UPDATES = "updates and records"
# Every stage there is, for tables and pictures; the one-loop schedule makes Actual-Train first.
STAGES = (
    "Virtual-Train forward",
    "Virtual-Train backward",
    "Actual-Train forward",
    "Meta-Train forward",
    "Meta-Train backward",
    "Meta-Train tangent",
    "meta update",
    "Actual-Train backward",
    UPDATES,
)
_WARM_ROUNDS = 2


def measure(trainer, data, rounds=5, strategy=None, whole_step=None):
    """Times the stages of one meta step of a trainer, whose state stays as it is.

    Args:
      trainer: a compiled `famus.FaMUS` with a meta step.
      data: `((images, labels[, index]), (meta_images, meta_labels[, index]))`, as `trainer.step` takes it.
      rounds: all prefixes are timed in turn, so many times.
      strategy: the `tf.distribute.Strategy` that the trainer was made in; the current one where None.
      whole_step: function () that makes a whole step; with it the result has the stage `UPDATES` too.

    Returns:
      Dict stage -> seconds, the median over rounds of the difference to the prefix before it, which may come out
      below 0 for a stage that takes next to no time. In the order of the step.

    Raises:
      InputError: the trainer has no meta step.
    """
    if not trainer.meta_learner.has_meta_step:
        raise errors.InputError(f"{type(trainer.meta_learner).__name__} has no meta step: there are no stages to time")
    strategy = strategy or tf.distribute.get_strategy()
    names = _names(trainer, strategy, data)
    runs = [functools.partial(_compile(trainer, strategy, stop, data), data) for stop in range(len(names))]
    if whole_step is not None:
        names, runs = [*names, UPDATES], [*runs, whole_step]
    seconds = [[] for _ in names]
    for number in range(_WARM_ROUNDS + rounds):
        for series, run in zip(seconds, runs, strict=True):
            start = time.perf_counter()
            run()
            tf.test.experimental.sync_devices()
            if number >= _WARM_ROUNDS:
                series.append(time.perf_counter() - start)
    before = [[0.0] * rounds, *seconds]
    return {
        name: statistics.median(long - short for long, short in zip(series, shorter, strict=True))
        for name, series, shorter in zip(names, seconds, before, strict=False)
    }


def _names(trainer, strategy, data):
    """Names of the stages; tracing finds them out, nothing is computed."""
    found = []

    def replica(data):
        found[:] = [name for name, _ in stages(trainer, data)]
        return tf.constant(0)

    tf.function(lambda data: strategy.run(replica, args=(data,)), autograph=False).get_concrete_function(data)
    return found


def _compile(trainer, strategy, stop, data):
    """The graph of the stages up to number `stop`, a function of `data` that returns that stage's tensors."""

    def replica(data):
        return next(itertools.islice((tensors for _, tensors in stages(trainer, data)), stop, None))

    step = tf.function(lambda data: strategy.run(replica, args=(data,)), autograph=False)
    return step.get_concrete_function(data)


def stages(trainer, data):
    """The stages of a meta step one after the other, without any update of a variable.

    Args:
      trainer, data: as in `measure`, on one replica.

    Yields:
      Pairs (name of the stage, list of the tensors that it made).
    """
    (images, labels, _), (meta_images, meta_labels, _) = batches.unpack(data, with_meta=True)
    one_loop, learner = trainer.schedule == "one_loop", trainer.meta_learner

    def training_loss(logits, theta):
        return learner.loss(logits, labels, theta)

    # Tensors in the variables' place: this pass leaves the BatchNorm statistics alone.
    w = meta_gradient.weights_at(trainer.segments)
    forward = meta_gradient.RecordedForward(trainer.segments, images, w.__getitem__)
    yield f"{'Actual' if one_loop else 'Virtual'}-Train forward", [forward.logits]

    theta, w_hat, g = learner.parameters((images, labels)), w.__getitem__, None
    rate = tf.convert_to_tensor(trainer.optimizer.learning_rate)
    if one_loop or not learner.starts_at_zero:
        _, dz = meta_gradient.logit_gradient(lambda z: training_loss(z, theta), forward.logits)
        g = forward.backward(dz) if one_loop else replicas.all_reduce_sum(forward.backward(dz))
        yield f"{'Actual' if one_loop else 'Virtual'}-Train backward", g
        w_hat = functools.partial(objectives.virtual_weights, w, g, rate)

    seen = _seen(trainer, g)
    with tf.GradientTape() as sampler_tape:
        gates = trainer.selector(seen, trainer.optimizer.iterations)
    lowest = _lowest_segment(trainer, gates)
    meta_forward = meta_gradient.RecordedForward(trainer.segments, meta_images, w_hat)
    yield "Meta-Train forward", [meta_forward.logits]

    validation_loss = functools.partial(objectives.mean_cross_entropy, meta_labels)
    _, dz = meta_gradient.logit_gradient(validation_loss, meta_forward.logits)
    u = replicas.all_reduce_sum(meta_forward.backward(dz, lowest))
    yield "Meta-Train backward", u

    v = functools.partial(objectives.directions, trainer.gated_layers, gates, u, seen[-1], rate, trainer.lambda_g)
    logit_tangent = forward.tangent(v, lowest)
    yield "Meta-Train tangent", [logit_tangent]

    theta_gradient = meta_gradient.meta_gradient(training_loss, forward.logits, logit_tangent, theta)
    updates = list(theta_gradient)
    if trainer.selector.learned:
        products = meta_gradient.inner_products(trainer.segments, u if g is None else g, u, lowest)
        agreement = objectives.agreement(trainer.gated_layers, products)
        eta = [variable.value for variable in trainer.selector.trainable_variables]
        updates += sampler_tape.gradient(gates, eta, output_gradients=agreement)
    yield "meta update", updates

    if not one_loop:
        # Any theta that needs the whole meta gradient will do for the time.
        theta_new = [t - tf.cast(gradient, t.dtype) for t, gradient in zip(theta, theta_gradient, strict=True)]
        _, dz = meta_gradient.logit_gradient(lambda z: training_loss(z, theta_new), forward.logits)
        yield "Actual-Train backward", forward.backward(dz)


def _seen(trainer, g):
    """What the selector sees; zeros where the step has no virtual gradient."""
    if g is None:
        return [tf.zeros([layer.width]) for layer in trainer.gated_layers]
    return replicas.all_reduce_sum([layers.avg_pool(layer, g) for layer in trainer.gated_layers])


def _lowest_segment(trainer, gates):
    lowest, top = trainer.selector.lowest_segment(gates), trainer.gated_layers[-1].segment
    if not trainer.lambda_g:
        return lowest
    return min(lowest, top) if isinstance(lowest, int) else tf.minimum(lowest, top)
