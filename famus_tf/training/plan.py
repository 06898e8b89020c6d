"""What an epoch consists of: which method takes its steps when, and on which batches."""

import dataclasses
from collections.abc import Callable


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


class AllBatches:
    """A plan of epochs, as `loop.TrainingLoop` takes it: one method, all training batches in their order.

    Args:
      method: a `methods.base.Method`.
      training_batches, meta_batches: functions first_step -> iterator of the batches from that step on, shared out over
        the replicas; for `meta_batches` the meta steps are counted.
      steps_per_epoch: whole batches in an epoch.
      total_steps: number of steps of the whole run.
    """

    def __init__(self, method, training_batches, meta_batches, steps_per_epoch, total_steps):
        self._method = method
        self._training_batches = training_batches
        self._meta_batches = meta_batches
        self._per_epoch = steps_per_epoch
        self._total = total_steps
        self.epochs = -(-total_steps // steps_per_epoch)
        self._pairs = None

    def begin_epoch(self, epoch):
        """Nothing: all epochs are alike."""

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
