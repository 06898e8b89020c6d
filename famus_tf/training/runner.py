"""One method in training: its compiled step, and what has been done with it."""

import time

import tensorflow as tf

from famus_tf.devices import sharing
from famus_tf.training import divergence
from famus_tf.training import step as steps


class Runner:
    """Takes the steps of one method and keeps account of them.

    Args:
      strategy: a `tf.distribute.Strategy`.
      method: a compiled `methods.base.Method`, made in the strategy's scope.
      progress: its `progress.Progress`, perhaps restored.
      jit_compile, prepare: as in `step.compile_step`.
      metrics: the metric objects that the method was compiled with.
    """

    def __init__(self, strategy, method, progress, jit_compile=False, prepare=None, metrics=()):
        self.strategy = strategy
        self.method = method
        self.progress = progress
        self._metrics = list(metrics)
        self._step = steps.compile_step(strategy, method, jit_compile, prepare)
        # BatchNorm's statistics are each replica's own; one set of them is evaluated, saved and exported.
        statistics = []
        for network in method.networks:
            floating = [v for v in network.non_trainable_variables if tf.as_dtype(v.dtype).is_floating]
            statistics += [variable.value for variable in floating]
        self.average_statistics = sharing.make_averager(strategy, statistics)
        self._pending = None
        self._last_end = None  # when the last step ended; None where something else has run since

    def run_step(self, training_batch, meta_batch):
        """One step; its records are fetched when the next step is under way, so that the device need not wait."""
        variant = None if meta_batch is None else self.method.variant_of(self.progress.step)
        traced = self._step.experimental_get_tracing_count()
        records, logs = self._step(training_batch, meta_batch, variant)
        self._fetch()
        now = time.perf_counter()
        if self._last_end is not None and traced == self._step.experimental_get_tracing_count():
            self.progress.time(now - self._last_end, meta_batch is not None)
        self._last_end = now
        self._pending = records
        self.progress.step += 1
        self.progress.paired_steps += meta_batch is not None
        self.progress.epoch_step += 1
        return logs

    def settle(self):
        """Brings `progress` and the networks up to date with the last step, before anything else is done with them."""
        self._fetch()
        self.average_statistics()
        self._last_end = None

    # Keras builds what holds the compiled metrics in the first step, and neither resets nor reads it before. After a
    # resume the metrics have values by then: those of the last epoch, or of a phase that is over.

    def reset_metrics(self):
        """Begins the running means of an epoch."""
        self.method.reset_metrics()
        for metric in self._metrics:
            metric.reset_state()

    def logs(self):
        """The running means of the epoch, dict of floats."""
        known = [metric for metric in self.method.metrics if getattr(metric, "built", True)]
        logs = {}
        for metric in (*known, *self._metrics):
            result = metric.result()
            logs |= result if isinstance(result, dict) else {metric.name: result}
        return {name: float(value) for name, value in logs.items()}

    def _fetch(self):
        if self._pending is not None:
            records = steps.gather(self._pending)
            self._pending = None
            divergence.check_records(records, self.method, self.progress.step)
            self.progress.record(records)
