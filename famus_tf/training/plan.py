"""What an epoch consists of: which method takes its steps when, and on which batches."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Phase:
    """The part of an epoch in which one method takes its steps.

    Attributes:
      number: which of the run's methods, counted from 0; each has at most one phase in an epoch.
      steps: how many steps it takes.
      batches: function of the first step, counted from the phase's start -> iterator of pairs of a training and a
        meta batch, shared out over the replicas; the latter None in a step without a meta update. Data is a function of
        the step, never of an iterator's state: this is what makes resuming exact.
    """

    number: int
    steps: int
    batches: Callable


@dataclasses.dataclass(frozen=True, eq=False)
class Draw:
    """What the batches of one stream are drawn from in an epoch.

    Attributes:
      positions: of training examples, int [k], each drawn once before any comes again; one that stands here twice,
        twice. None: all.
      size: examples in a global batch; None: the run's batch size.
      views: how often each image comes, augmented in different ways; of several, images are [n, views, H, W, C].
    """

    positions: np.ndarray | None = None
    size: int | None = None
    views: int = 1


class AllBatches:
    """A plan of epochs, as `loop.TrainingLoop` takes it: one method, all training batches in their order.

    Args:
      method: a `methods.base.Method`.
      begin: function of an epoch, called before its first step; None for nothing.
      training_batches, meta_batches: functions first_step -> iterator of the batches from that step on, shared out over
        the replicas; for `meta_batches` the meta steps are counted.
      steps_per_epoch: whole batches in an epoch.
      total_steps: number of steps of the whole run.
    """

    def __init__(self, method, training_batches, meta_batches, steps_per_epoch, total_steps, begin=None):
        self._method = method
        self._begin = begin
        self._training_batches = training_batches
        self._meta_batches = meta_batches
        self._per_epoch = steps_per_epoch
        self._total = total_steps
        self.epochs = -(-total_steps // steps_per_epoch)
        self._pairs = None

    def begin_epoch(self, epoch):
        """The method's own beginning."""
        if self._begin is not None:
            self._begin(epoch)

    def phases(self, epoch):
        """The one phase of that epoch; the last may be shorter."""
        start = epoch * self._per_epoch

        def batches(first):
            # One iterator for all epochs: what is read ahead is not thrown away between two of them.
            if self._pairs is None:
                self._pairs = self._iterate(start + first)
            return self._pairs

        return [Phase(0, min(self._per_epoch, self._total - start), batches)]

    def describe_epoch(self):
        """No logs."""
        return {}

    def _iterate(self, first_step):
        is_meta_step = self._method.is_meta_step
        meta_steps_before = sum(map(is_meta_step, range(first_step)))
        meta = None
        for step, batch in enumerate(self._training_batches(first_step), start=first_step):
            if is_meta_step(step):
                if meta is None:
                    meta = self._meta_batches(meta_steps_before)
                yield batch, next(meta)
            else:
                yield batch, None


class DrawnEpochs:
    """A plan of epochs whose batches the method chooses for each epoch anew, `methods.base.Method.draws`.

    Args:
      method: a `methods.base.Method`.
      labels: given labels, int [N].
      stream: function (name, `Draw`, epoch, first step, last step) -> iterator of batches, shared out over the
        replicas; steps are counted from the epoch's start.
      steps_per_epoch, total_steps, begin: as in `AllBatches`.
    """

    def __init__(self, method, labels, stream, steps_per_epoch, total_steps, begin):
        self._method = method
        self._labels = labels
        self._stream = stream
        self._per_epoch = steps_per_epoch
        self._total = total_steps
        self._begin = begin
        self.epochs = -(-total_steps // steps_per_epoch)

    def begin_epoch(self, epoch):
        """The method's own beginning."""
        self._begin(epoch)

    def phases(self, epoch):
        """The one phase of that epoch; the last may be shorter."""
        start = epoch * self._per_epoch
        steps = min(self._per_epoch, self._total - start)

        def batches(first):
            training, second = self._method.draws(epoch, self._labels)
            others = iter(self._stream("second", second, epoch, first, steps)) if second is not None else None
            for batch in self._stream("drawn", training, epoch, first, steps):
                yield batch, None if others is None else next(others)

        return [Phase(0, steps, batches)]

    def describe_epoch(self):
        """No logs."""
        return {}
