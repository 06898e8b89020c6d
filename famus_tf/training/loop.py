"""The one training loop, for one device or many, one network or several in turn; callbacks, resume in mid-epoch."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import distribution
from famus_tf.training import best_epoch as selection
from famus_tf.training import interruption, stopping

# Records of a step with an entry for each example, and those of which each replica has its share.
_ROWS = ("index", "example_weight")
_SHARES = ("loss", "meta_loss")


@dataclasses.dataclass(frozen=True)
class Turn:
    """The part of an epoch in which one network is trained.

    Attributes:
      number: which of the `Learner`s, counted from 0; each has one turn in an epoch at the most.
      steps: how many steps it takes.
      batches: function of the first step, counted from the turn's own start -> iterator of pairs of a training and a
        meta batch, shared out over the replicas; the latter None in a step without a meta update. Data is a function of
        the step, never of an iterator's state: this is what makes resuming exact.
    """

    number: int
    steps: int
    batches: Callable


class OneNetwork:
    """A plan of epochs, as `TrainingLoop` takes it: one network, all its training batches in their order.

    Args:
      trainer: a `famus.FaMUS`.
      training_batches, meta_batches: functions first_step -> iterator of the batches from that step on, shared out over
        the replicas; for `meta_batches` the meta steps are counted.
      steps_per_epoch: whole batches in an epoch.
      total_steps: number of steps of the whole run.
    """

    def __init__(self, trainer, training_batches, meta_batches, steps_per_epoch, total_steps):
        self._trainer, self._training_batches, self._meta_batches = trainer, training_batches, meta_batches
        self._per_epoch, self._total = steps_per_epoch, total_steps
        self.epochs = -(-total_steps // steps_per_epoch)
        self._pairs = None

    def begin_epoch(self, epoch):
        """Nothing: all epochs are alike."""

    def turns(self, epoch):
        """The one turn of that epoch; the last may be shorter."""
        start = epoch * self._per_epoch

        def batches(first):
            # One iterator for all epochs: what is read ahead is not thrown away between two of them.
            if self._pairs is None:
                self._pairs = self._iterate(start + first)
            return self._pairs

        return [Turn(0, min(self._per_epoch, self._total - start), batches)]

    def describe_epoch(self):
        """What the epoch's history says besides: nothing."""
        return {}

    def _iterate(self, first_step):
        is_meta_step = self._trainer.is_meta_step
        meta_steps_before = sum(map(is_meta_step, range(first_step)))
        meta = None
        for step, batch in enumerate(self._training_batches(first_step), start=first_step):
            if is_meta_step(step):
                if meta is None:
                    meta = self._meta_batches(meta_steps_before)
                yield batch, next(meta)
            else:
                yield batch, None


def compile_step(strategy, trainer, jit_compile=False, prepare=None):
    """One step of `trainer` on every replica, as a `tf.function`.

    Args:
      strategy: a `tf.distribute.Strategy`.
      trainer: a compiled `famus.FaMUS`, made in the strategy's scope.
      jit_compile: whether XLA compiles the step; for strategies of one replica.
      prepare: function of a replica's shares of both batches -> those that the trainer gets; None: as they are.

    Returns:
      Function of a training and a meta batch (None in a step without a meta update) -> (records, logs); records hold
      one tensor for each replica, or with several workers one that holds all replicas' records; logs are the first
      replica's running means.
    """

    def replica_step(training_batch, meta_batch):
        if prepare is not None:
            training_batch, meta_batch = prepare(training_batch, meta_batch)
        data = training_batch if meta_batch is None else (training_batch, meta_batch)
        records = trainer.step(data, with_meta=meta_batch is not None)
        records = distribution.complete_records(strategy, records, rows=_ROWS, shares=_SHARES)
        return records, trainer.get_metrics_result()

    @tf.function(autograph=False, jit_compile=jit_compile or None)
    def step(training_batch, meta_batch):
        records, logs = strategy.run(replica_step, args=(training_batch, meta_batch))
        kept = 1 if distribution.num_workers(strategy) > 1 else None
        records = {name: strategy.experimental_local_results(value)[:kept] for name, value in records.items()}
        return records, {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return step


def gather(records):
    """Joins the replicas' records: per-example rows one behind the other, losses summed, the rest is alike on all."""
    joined = {}
    for name, parts in records.items():
        values = [part.numpy() for part in parts]
        if name in _ROWS:
            joined[name] = np.concatenate(values)
        elif name in _SHARES:
            joined[name] = sum(values)
        else:
            joined[name] = values[0]
    return joined


class Learner:
    """One network in training: its compiled step, and what has been done with it.

    Args:
      strategy: a `tf.distribute.Strategy`.
      trainer: a compiled `famus.FaMUS`, made in the strategy's scope.
      progress: its `progress.Progress`, perhaps restored.
      jit_compile, prepare: as in `compile_step`.
      metrics: the metric objects that the trainer was compiled with.
    """

    def __init__(self, strategy, trainer, progress, jit_compile=False, prepare=None, metrics=()):
        self.strategy, self.trainer, self.progress, self._metrics = strategy, trainer, progress, list(metrics)
        self._step = compile_step(strategy, trainer, jit_compile, prepare)
        # BatchNorm's statistics are each replica's own; one set of them is evaluated, saved and exported.
        statistics = [v.value for v in trainer.network.non_trainable_variables if tf.as_dtype(v.dtype).is_floating]
        self.average_statistics = distribution.make_averager(strategy, statistics)
        self._pending = None
        self._last_end = None  # when the last step ended; None where something else has run since

    def run_step(self, training_batch, meta_batch):
        """One step; its records are fetched when the next step is under way, so that the device need not wait."""
        traced = self._step.experimental_get_tracing_count()
        records, logs = self._step(training_batch, meta_batch)
        self._fetch()
        now = time.perf_counter()
        if self._last_end is not None and traced == self._step.experimental_get_tracing_count():
            self.progress.time(now - self._last_end, meta_batch is not None)
        self._last_end = now
        self._pending = records
        self.progress.step += 1
        self.progress.epoch_step += 1
        return logs

    def settle(self):
        """Brings `progress` and the network up to date with the last step, before anything else is done with them."""
        self._fetch()
        self.average_statistics()
        self._last_end = None

    # Keras builds what holds the compiled metrics in the first step, and neither resets nor reads it before. After a
    # resume the metrics have values by then: those of the last epoch, or of a turn that is over.

    def reset_metrics(self):
        """Begins the running means of an epoch."""
        self.trainer.reset_metrics()
        for metric in self._metrics:
            metric.reset_state()

    def logs(self):
        """The running means of the epoch, dict of floats."""
        known = [metric for metric in self.trainer.metrics if getattr(metric, "built", True)]
        logs = {}
        for metric in (*known, *self._metrics):
            found = metric.result()
            logs |= found if isinstance(found, dict) else {metric.name: found}
        return {name: float(value) for name, value in logs.items()}

    def _fetch(self):
        if self._pending is not None:
            self.progress.record(gather(self._pending))
            self._pending = None


class TrainingLoop:
    """Runs the epochs that a run still lacks.

    Args:
      learners: list of `Learner`.
      plan: what an epoch consists of: `epochs`, their number; `begin_epoch(epoch)`, called before its first step and
        after a resume, which changes nothing where it ends with an error; `turns(epoch)`, its list of `Turn`;
        `describe_epoch()`, what the history says of it besides.
      history: list of one dict for each epoch done, kept with the run: of one learner that of its progress, of several
        one that they have in common.
      checkpoints: `progress.Checkpoints`.
      checkpoint_every: steps between checkpoints; one is written at the end of the run too.
      evaluate: function () -> list of dicts of test and validation logs, one for each learner; of several learners a
        last one for all of them together.
      best_weights: `selection.BestWeights`, which the epochs' logs decide on.
    """

    def __init__(self, *, learners, plan, history, checkpoints, checkpoint_every, evaluate, best_weights):
        self._learners, self._plan, self._history = learners, plan, history
        self._checkpoints, self._checkpoint_every = checkpoints, checkpoint_every
        self._evaluate, self._best_weights = evaluate, best_weights
        self._stop = stopping.Stop(learners[0].strategy)
        self._model = learners[0].trainer  # what callbacks take for the model, and ask to stop

    def run(self, callbacks=(), verbose=None):
        """Trains to the last step.

        Args:
          callbacks: Keras callbacks; they get the epoch's logs with `test_accuracy`, `test_top5` and `test_loss`, and
            the same of further sets.
          verbose: 0 silent, 1 a progress bar, 2 a line for each epoch; None: a bar on a terminal, else lines.

        Raises:
          interruption.Interrupted: a signal has ended it, with a checkpoint of the last step.
          InputError: a file cannot be read or written; a checkpoint of the last step is there where it can be.
        """
        if verbose is None:
            verbose = 1 if sys.stdout.isatty() else 2
        with interruption.deferred(self._stop.patience):
            self._run(callbacks, verbose)

    def _run(self, callbacks, verbose):
        epochs = self._plan.epochs
        callbacks = keras.callbacks.CallbackList(
            list(callbacks), add_progbar=verbose > 0, model=self._model, verbose=verbose, epochs=epochs, steps=None
        )
        self._model.stop_training = False
        callbacks.on_train_begin()
        logs = {}
        while len(self._history) < epochs and not self._model.stop_training:
            logs = self._run_epoch(len(self._history), callbacks, {"verbose": verbose, "epochs": epochs})
        self._checkpoints.save()
        callbacks.on_train_end(logs)

    def _run_epoch(self, epoch, callbacks, params):
        before = self._steps_done() - sum(learner.progress.epoch_step for learner in self._learners)
        for learner in self._learners:
            if learner.progress.epoch_step == 0:
                learner.reset_metrics()
        with self._kept(self._learners[0]):
            self._plan.begin_epoch(epoch)
        turns = self._plan.turns(epoch)
        total = sum(turn.steps for turn in turns)
        callbacks.set_params({**params, "steps": total})
        callbacks.on_epoch_begin(epoch)
        for turn in turns:
            self._run_turn(turn, before, before + total, callbacks)
        logs = self._close_epoch()
        with self._kept(self._learners[-1]):
            callbacks.on_epoch_end(epoch, logs)
        if self._steps_done() // self._checkpoint_every > before // self._checkpoint_every:
            self._checkpoints.save()
        return logs

    def _run_turn(self, turn, before, end, callbacks):
        """The steps that are left of a turn, in an epoch from the run's step `before` to `end`."""
        learner = self._learners[turn.number]
        progress = learner.progress
        if progress.epoch_step >= turn.steps:
            return
        batches = turn.batches(progress.epoch_step)
        while progress.epoch_step < turn.steps:
            callbacks.on_train_batch_begin(self._steps_done() - before)
            with self._kept(learner):
                batch = next(batches)
            logs = learner.run_step(*batch)
            done = self._steps_done()
            with self._kept(learner):
                callbacks.on_train_batch_end(done - before - 1, logs)
                self._stop.if_asked(done)
            # At an epoch's end the checkpoint waits for the epoch's logs, which are part of the progress.
            if done % self._checkpoint_every == 0 and done < end:
                learner.settle()
                self._checkpoints.save()
        learner.settle()

    @contextlib.contextmanager
    def _kept(self, learner):
        """Saves a checkpoint where a signal, or a file that cannot be read, ends a run between two steps."""
        try:
            yield
        except (interruption.Interrupted, errors.InputError) as error:
            if not self._stop.agreed(error):
                raise
            learner.settle()
            self._checkpoints.save()
            self._stop.wait_for_all()
            step = self._steps_done()
            if isinstance(error, interruption.Interrupted):
                kept = f"a checkpoint of step {step:,} is written, and the same command goes on from it"
                raise interruption.Interrupted(error.status - 128, kept) from None
            raise

    def _close_epoch(self):
        """Evaluates, and adds the epoch to the histories; returns the logs of the run."""
        with self._kept(self._learners[-1]):
            found = self._evaluate()
        besides = self._plan.describe_epoch()
        alone = len(self._learners) == 1
        for learner, evaluated in zip(self._learners, found, strict=False):
            learner.progress.end_epoch(learner.logs() | evaluated | (besides if alone else {}))
            selection.drop_class_accuracies(learner.progress.history)
        logs = self._learners[0].progress.history[-1] if alone else found[-1]
        if not alone:
            epoch = {"epoch": len(self._history) + 1, "step": self._steps_done()}
            self._history.append(epoch | found[-1] | besides)
            selection.drop_class_accuracies(self._history)
        self._best_weights.keep_if_best(self._history)
        return {name: value for name, value in logs.items() if isinstance(value, float)}

    def _steps_done(self):
        return sum(learner.progress.step for learner in self._learners)
