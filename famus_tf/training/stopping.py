"""When a run that was asked to stop by a signal does so: after the step under way, all workers after the same one."""

import contextlib

import tensorflow as tf

from famus_tf.devices import cluster as clusters
from famus_tf.training import interruption

# Workers ask each other after every so many steps, which takes a collective operation of three numbers.
_ASKED_EVERY = 5
# Seconds that a signal waits for a step of several workers, one of which may never come.
_PATIENCE = 60.0


class Stop:
    """Ends a run of one process or of several.

    A signal may reach one worker only, and none can go on, or save a checkpoint, without the others. So all of them
    ask all after every fifth step, and stop after the first such step at which any has had a signal. Evaluations of
    several workers go on to their end. Where the others do not answer within 60 seconds, a worker ends by itself.

    Args:
      strategy: a `tf.distribute.Strategy`.
    """

    def __init__(self, strategy):
        self._strategy = strategy
        self._together = clusters.num_workers(strategy) > 1
        self.patience = _PATIENCE if self._together else None

        @tf.function(autograph=False)
        def over_all(asked):
            return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(tf.identity, args=(asked,)), axis=None)

        self._over_all = over_all

    def first_step(self):
        """Context of a run's first step, whose tracing may take minutes: a signal ends one process at once."""
        return contextlib.nullcontext() if self._together else interruption.at_once()

    def if_asked(self, step):
        """Raises `interruption.Interrupted` where a signal asks for it; to be called by all workers after each step."""
        number = interruption.received()
        if self._together:
            number = self._of_all(number) if step % _ASKED_EVERY == 0 else 0
        if number:
            raise interruption.Interrupted(number)

    def agreed(self, error):
        """Whether all workers end by this error at the same step, and so can write a checkpoint together."""
        return not self._together or isinstance(error, interruption.Interrupted)

    def wait_for_all(self):
        """Returns when all workers have come here: what ends one of them must not end another in its writing."""
        if self._together:
            self._of_all(0)

    def during(self, batches):
        """Batches of an evaluation, which a signal ends where there is one process."""
        return batches if self._together else interruption.watched(batches)

    def _of_all(self, number):
        asked = tf.constant([int(number == one) for one in interruption.SIGNALS])
        counts = self._over_all(asked).numpy()
        return max((int(one) for one, count in zip(interruption.SIGNALS, counts, strict=True) if count), default=0)
