"""Seconds of each stage of a step (Fig. 1b of the paper), from the differences of ever longer prefixes of it.

The step itself says where its stages end: `method.mark(stage, tensors)`. A prefix is the step up to such a mark, and
returns the tensors made there; TensorFlow prunes what they do not need. What a whole step takes more than the last
prefix are the update of the weights and the records.
"""

import contextlib
import functools
import time

import numpy as np
import tensorflow as tf

from famus_tf import errors

LABEL_GUESSING = "label guessing and MixUp"
UPDATES = "updates and records"
# Every stage there is, for tables and pictures; the one-loop schedule makes Actual-Train first.
STAGES = (
    LABEL_GUESSING,
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


def measure(method, data, rounds=5, strategy=None, whole_step=None, prepare=None):
    """Times the stages of one meta step of a method, whose state is the same afterwards.

    Args:
      method: a compiled `famus.FaMUS` with a meta step.
      data: pair of a training and a meta batch, as `method.step` or `prepare` takes them.
      rounds: all prefixes are timed in turn, so many times.
      strategy: the `tf.distribute.Strategy` that the method was made in; the current one where None.
      whole_step: function () that makes a whole step; with it the result has the stage `UPDATES` too.
      prepare: as in `training.step.compile_step`; its time is the stage `LABEL_GUESSING`.

    Returns:
      Dict stage -> seconds, the median over rounds of the difference to the prefix before it, which may come out
      below 0 for a stage that takes next to no time. In the order of the step.

    Raises:
      InputError: the method has no meta step.
    """
    if not method.meta_learner.has_meta_step:
        raise errors.InputError(f"{type(method.meta_learner).__name__} has no meta step: there are no stages to time")
    strategy = strategy or tf.distribute.get_strategy()
    names = names_of_stages(method, strategy, data, prepare)
    runs = [functools.partial(compile_prefix(method, strategy, name, data, prepare), data) for name in names]
    if whole_step is not None:
        names = [*names, UPDATES]
        runs = [*runs, whole_step]
    seconds = [[] for _ in names]
    for number in range(_WARM_ROUNDS + rounds):
        for series, run in zip(seconds, runs, strict=True):
            with contextlib.nullcontext() if run is whole_step else unchanged(method):
                start = time.perf_counter()
                run()
                tf.test.experimental.sync_devices()
                passed = time.perf_counter() - start
            if number >= _WARM_ROUNDS:
                series.append(passed)
    differences = np.diff(seconds, axis=0, prepend=0.0)  # [stages, rounds], each to the prefix before it
    return dict(zip(names, np.median(differences, axis=1).tolist(), strict=True))


@contextlib.contextmanager
def unchanged(method):
    """Gives every variable of a method and of its optimizers the value back that it had before the context."""
    variables = list(method.variables)
    for optimizer in method.optimizers.values():
        variables += optimizer.variables
    copies = []
    for variable in variables:
        copies += getattr(variable.value, "values", (variable.value,))  # one for each replica, as BatchNorm has them
    before = [copy.numpy() for copy in copies]
    try:
        yield
    finally:
        for copy, value in zip(copies, before, strict=True):
            copy.assign(value)


def names_of_stages(method, strategy, data, prepare=None):
    """Names of the stages of a step, in its order; tracing finds them out, nothing is computed."""
    stages = {}

    def mark(name, tensors):
        del tensors
        stages[name] = None

    _trace(method, strategy, mark, data, prepare)
    return list(stages)


def compile_prefix(method, strategy, stage, data, prepare=None):
    """The graph of a step up to a stage.

    Args:
      method, strategy, data, prepare: as in `measure`.
      stage: one of `names_of_stages`.

    Returns:
      Function of data alike -> the tensors that the stage made, on every replica. It moves what the step moves until
      then, such as the BatchNorm statistics (`unchanged`).
    """

    def mark(name, tensors):
        if name == stage:
            raise _Reached(tensors)

    return _trace(method, strategy, mark, data, prepare)


class _Reached(Exception):
    """The end of the stage that is wanted; `args` has its tensors."""


def _trace(method, strategy, mark, data, prepare):
    def replica(data):
        try:
            if prepare is not None:
                data = prepare(*data)
                method.mark(LABEL_GUESSING, tf.nest.flatten(data))
            method.step(data)
        except _Reached as reached:
            return reached.args[0]
        return tf.constant(0)

    def on_every_replica(data):
        # Not in the replica's function: replicas are traced in turns.
        before = method.mark
        method.mark = mark
        try:
            return strategy.run(replica, args=(data,))
        finally:
            method.mark = before

    return tf.function(on_every_replica, autograph=False).get_concrete_function(data)
