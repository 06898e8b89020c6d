"""The one training loop: one device or many, one method or several alternately; callbacks, resume in mid-epoch."""

import contextlib
import signal

import keras

from famus_tf import errors
from famus_tf.devices import cluster as clusters
from famus_tf.training import divergence, interruption, stopping


class TrainingLoop:
    """Runs the epochs that a run still lacks.

    Args:
      runners: list of `runner.Runner`.
      plan: what an epoch consists of: `epochs`, their number; `begin_epoch(epoch)`, called before its first step and
        after a resume, which changes nothing where it ends with an error; `phases(epoch)`, its list of `plan.Phase`;
        `describe_epoch()`, the plan's part of the epoch's logs, a dict.
      history: `history.MethodHistory` or `history.JointHistory`.
      checkpoints: `progress.Checkpoints`.
      checkpoint_every: steps between checkpoints; one is written at the end of each epoch too.
      evaluate: function () -> list of dicts of test and validation logs, of each network and of all of them together.
      best_weights: `best_epoch.BestWeights`, which the epochs' logs decide on.
    """

    def __init__(self, *, runners, plan, history, checkpoints, checkpoint_every, evaluate, best_weights):
        self._runners = runners
        self._plan = plan
        self._history = history
        self._checkpoints = checkpoints
        self._checkpoint_every = checkpoint_every
        self._evaluate = evaluate
        self._best_weights = best_weights
        self._methods = [runner.method for runner in runners]
        self._strategy = runners[0].strategy
        self._stop = stopping.Stop(self._strategy)
        self._has_stepped = False
        self._model = runners[0].method  # what callbacks take for the model, and ask to stop

    def run(self, callbacks=()):
        """Trains to the last step.

        Args:
          callbacks: Keras callbacks; they get the epoch's logs with `test_accuracy`, `test_top5` and `test_loss`, and
            the same of further sets.

        Raises:
          interruption.Interrupted: a signal has ended it, or the reader of its output has gone; with a checkpoint of
            the last step.
          InputError: a file cannot be read or written; a checkpoint of the last step is there where it can be.
          divergence.Diverged: numbers are not finite any more; the sentence names the last checkpoint.
        """
        with interruption.deferred(self._stop.patience), self._divergence_explained():
            divergence.check_variables(self._methods, self._strategy, self._steps_done())
            self._run(callbacks)

    def _run(self, callbacks):
        epochs = self._plan.epochs
        callbacks = keras.callbacks.CallbackList(
            list(callbacks), add_progbar=False, model=self._model, verbose=0, epochs=epochs, steps=None
        )
        self._model.stop_training = False
        callbacks.on_train_begin()
        logs = {}
        while len(self._history.epochs) < epochs and not self._model.stop_training:
            logs = self._run_epoch(len(self._history.epochs), callbacks, {"verbose": 0, "epochs": epochs})
        callbacks.on_train_end(logs)

    def _run_epoch(self, epoch, callbacks, params):
        before = self._steps_done() - sum(runner.progress.epoch_step for runner in self._runners)
        for runner in self._runners:
            if runner.progress.epoch_step == 0:
                runner.reset_metrics()
        with self._kept(self._runners[0]):
            self._plan.begin_epoch(epoch)
        phases = self._plan.phases(epoch)
        total = sum(phase.steps for phase in phases)
        callbacks.set_params({**params, "steps": total})
        callbacks.on_epoch_begin(epoch)
        for phase in phases:
            self._run_phase(phase, before, before + total, callbacks)
        logs = self._close_epoch()
        with self._kept(self._runners[-1]):
            callbacks.on_epoch_end(epoch, logs)
        self._checkpoints.save()  # the variables were looked at before the evaluation
        return logs

    def _run_phase(self, phase, before, end, callbacks):
        """The steps that are left of a phase, in an epoch from the run's step `before` to `end`."""
        runner = self._runners[phase.number]
        progress = runner.progress
        if progress.epoch_step >= phase.steps:
            return
        batches = phase.batches(progress.epoch_step)
        while progress.epoch_step < phase.steps:
            with self._kept(runner), self._first_at_once():
                callbacks.on_train_batch_begin(self._steps_done() - before)
                batch = next(batches)
            with self._first_at_once():
                logs = runner.run_step(*batch)
            self._has_stepped = True
            done = self._steps_done()
            with self._kept(runner):
                callbacks.on_train_batch_end(done - before - 1, logs)
                self._stop.if_asked(done)
            # At an epoch's end the checkpoint waits for the epoch's logs, which are part of the progress.
            if done % self._checkpoint_every == 0 and done < end:
                runner.settle()
                self._save()
        runner.settle()

    def _first_at_once(self):
        """Around the first step, for which a run may wait minutes: a signal ends it there, as nothing is lost."""
        return contextlib.nullcontext() if self._has_stepped else self._stop.first_step()

    @contextlib.contextmanager
    def _kept(self, runner):
        """Saves a checkpoint where a signal, a file or the output's closed pipe ends a run between two steps.

        Before this process has taken a step there is nothing to save.
        """
        try:
            yield
        except (interruption.Interrupted, errors.InputError, BrokenPipeError) as error:
            diverged = isinstance(error, divergence.Diverged)
            if diverged or not self._has_stepped or not self._stop.agreed(error):
                raise
            runner.settle()
            self._save()
            self._stop.wait_for_all()
            step = self._steps_done()
            if isinstance(error, errors.InputError):
                raise
            number = signal.SIGPIPE if isinstance(error, BrokenPipeError) else error.status - 128
            kept = f"a checkpoint of step {step:,} is written, and the same command goes on from it"
            raise interruption.Interrupted(number, kept) from None

    def _close_epoch(self):
        """Evaluates, and adds the epoch to the histories; returns the logs of the run."""
        divergence.check_variables(self._methods, self._strategy, self._steps_done())
        with self._kept(self._runners[-1]):
            evaluated = self._evaluate()
        divergence.check_logs(evaluated, self._methods, self._steps_done())
        logs = self._history.end_epoch(self._runners, evaluated, self._plan.describe_epoch())
        self._best_weights.keep_if_best(self._history.epochs)
        if clusters.is_chief(self._strategy):
            for runner in self._runners:
                divergence.note_collapse(runner.progress, runner.method)
        return {name: value for name, value in logs.items() if isinstance(value, float)}

    def _save(self):
        """Writes a checkpoint; what is not finite is no state to go on from."""
        divergence.check_variables(self._methods, self._strategy, self._steps_done())
        self._checkpoints.save()

    @contextlib.contextmanager
    def _divergence_explained(self):
        try:
            yield
        except divergence.Diverged as error:
            raise divergence.Diverged(
                f"{error}; {self._checkpoints.describe_newest()}; expected finite numbers: the same command would end "
                "alike, so give it other rates and another option `workdir`"
            ) from None

    def _steps_done(self):
        return self._history.step
