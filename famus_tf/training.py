"""The one training loop, for one device or many: steps, Keras callbacks, checkpoints, resume in mid-epoch."""

import io
import json
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from famus_tf import distribution, epoch_statistics, selection

_KEPT_DURATIONS = 2000
# Records of a step with an entry for each example, and those of which each replica has its share.
_ROWS = ("index", "example_weight")
_SHARES = ("loss", "meta_loss")


class Progress(tf.train.experimental.PythonState):
    """What a run has done so far; saved with every checkpoint, so that a resumed run reports as if uninterrupted.

    Args:
      num_examples: N, the number of training images.
      num_layers: L, the number of gated layers.

    Attributes:
      step: number of training steps done.
      history: list of one dict for each epoch done, with its `epoch`, `step`, the epoch's logs and its statistics;
        `test_class_accuracy` in the best and the last alone.
      epoch_statistics: `epoch_statistics.EpochStatistics` of the epoch under way.
      stage_times: list of one dict for each time that the stages of a step were timed, `step` and `seconds` by stage.
      example_weight: float32 [N], each example's weight when it was last seen; NaN before.
      gate_sums: float64 [L], how often each gate was on; `gate_steps` is the number of steps with gates.
      lowest_sum: sum over those steps of the lowest selected layer's number (1..L).
      meta_durations, plain_durations: seconds of the last steps with and without a meta step, without evaluation,
        checkpoints and tracing.
    """

    def __init__(self, num_examples, num_layers):
        self.step = 0
        self.history = []
        self.epoch_statistics = epoch_statistics.EpochStatistics(num_layers)
        self.stage_times = []
        self.example_weight = np.full([num_examples], np.nan, np.float32)
        self.gate_sums = np.zeros([num_layers])
        self.gate_steps = 0
        self.lowest_sum = 0.0
        self.meta_durations = []
        self.plain_durations = []

    def record(self, records):
        """Adds the records of one step, as `FaMUS.step` returns them, gathered over the replicas."""
        self.epoch_statistics.record(records)
        index = records["index"]
        known = index >= 0
        self.example_weight[index[known]] = records["example_weight"][known]
        if "gates" in records:
            self.gate_sums += records["gates"]
            self.lowest_sum += float(records["lowest_layer"])
            self.gate_steps += 1

    def time(self, seconds, with_meta):
        """Adds the duration of one step."""
        durations = self.meta_durations if with_meta else self.plain_durations
        durations.append(seconds)
        del durations[:-_KEPT_DURATIONS]

    def seconds_per_step(self, last=_KEPT_DURATIONS):
        """Mean over the kinds of steps, by their shares, of the median of the `last` durations; None without any."""
        kinds = [
            (self.gate_steps, self.meta_durations[-last:]),
            (self.step - self.gate_steps, self.plain_durations[-last:]),
        ]
        kinds = [(max(steps, 1), float(np.median(durations))) for steps, durations in kinds if durations]
        total = sum(steps for steps, _ in kinds)
        return sum(steps * seconds for steps, seconds in kinds) / total if kinds else None

    def serialize(self):
        """Bytes of everything above; called by TensorFlow's checkpoint."""
        buffer = io.BytesIO()
        plain = {
            "step": self.step,
            "history": self.history,
            "stage_times": self.stage_times,
            "gate_steps": self.gate_steps,
            "lowest_sum": self.lowest_sum,
            "meta_durations": self.meta_durations,
            "plain_durations": self.plain_durations,
        }
        arrays = {"example_weight": self.example_weight, "gate_sums": self.gate_sums}
        np.savez(buffer, **arrays, **self.epoch_statistics.arrays(), plain=json.dumps(plain))
        return buffer.getvalue()

    def deserialize(self, string_value):
        """The inverse of `serialize`."""
        with np.load(io.BytesIO(string_value)) as arrays:
            self.example_weight, self.gate_sums = arrays["example_weight"], arrays["gate_sums"]
            self.epoch_statistics.restore(arrays)
            for name, value in json.loads(str(arrays["plain"])).items():
                setattr(self, name, value)


class Checkpoints:
    """Saves and restores the trainer (weights, optimizers, metrics) together with the progress.

    Args:
      trainer: a compiled `famus.FaMUS`.
      progress: `Progress`.
      directory: folder of the checkpoints; the last two are kept.
      metrics: the metric objects that `trainer` was compiled with.
      strategy: the strategy of the trainer. Of several workers each must save and restore; only the chief writes.
    """

    def __init__(self, trainer, progress, directory, metrics=(), strategy=None):
        # Keras leaves the states of its random layers (Dropout) out of checkpoints, so they are named apart.
        seeds = [v.value for v in trainer.network.non_trainable_variables if v.path.endswith("seed_generator_state")]
        # The same goes for metrics, whose means over the epoch are half done in mid-epoch.
        # Keras lists a compiled metric only once it was used, so those are given.
        means = [variable.value for metric in (*trainer.metrics, *metrics) for variable in metric.variables]
        self._checkpoint = tf.train.Checkpoint(trainer=trainer, progress=progress, seeds=seeds, means=means)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(directory), max_to_keep=2)
        self._progress = progress
        self._strategy = strategy or tf.distribute.get_strategy()
        self._saved_step = None

    def restore(self):
        """Restores the newest checkpoint, if there is one; returns whether there was."""
        latest = self._manager.latest_checkpoint
        if latest is None:
            return False
        self._checkpoint.restore(latest).assert_existing_objects_matched()
        self._saved_step = self._progress.step
        return True

    def save(self):
        """Writes a checkpoint of the present step, unless it is there already."""
        # Asked of this process, not of the folder, so that all workers decide alike.
        if self._saved_step == self._progress.step:
            return
        if distribution.is_chief(self._strategy):
            self._manager.save(checkpoint_number=self._progress.step)
        else:
            with distribution.place_to_write(self._strategy, "checkpoint") as place:
                self._checkpoint.write(str(place))
        self._saved_step = self._progress.step


def compile_step(strategy, trainer, jit_compile=False):
    """One step of `trainer` on every replica, as a `tf.function`.

    Args:
      strategy: a `tf.distribute.Strategy`.
      trainer: a compiled `famus.FaMUS`, made in the strategy's scope.
      jit_compile: whether XLA compiles the step; for strategies of one replica.

    Returns:
      Function of a training and a meta batch (None in a step without a meta update) -> (records, logs); records hold
      one tensor for each replica, or with several workers one that holds all replicas' records; logs are the first
      replica's running means.
    """

    def replica_step(training_batch, meta_batch):
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


class TrainingLoop:
    """Runs the steps that a run still lacks.

    Args:
      strategy: a `tf.distribute.Strategy`.
      trainer: a compiled `famus.FaMUS`, made in the strategy's scope.
      training_batches, meta_batches: functions first_step -> iterator of the batches from that step on, shared out over
        the replicas; for `meta_batches` the meta steps are counted. Data is a function of the step, never of an
        iterator's state: this is what makes resuming exact.
      steps_per_epoch: whole batches in an epoch.
      total_steps: number of steps of the whole run.
      progress: `Progress`, perhaps restored.
      checkpoints: `Checkpoints`.
      checkpoint_every: steps between checkpoints; one is written at the end of the run too.
      evaluate: function () -> dict of test and validation logs, after every epoch.
      best_weights: `selection.BestWeights`, which the epochs' logs decide on.
      jit_compile: as in `compile_step`.
    """

    def __init__(
        self,
        *,
        strategy,
        trainer,
        training_batches,
        meta_batches,
        steps_per_epoch,
        total_steps,
        progress,
        checkpoints,
        checkpoint_every,
        evaluate,
        best_weights,
        jit_compile=False,
    ):
        self._strategy, self._trainer = strategy, trainer
        self._training_batches, self._meta_batches = training_batches, meta_batches
        self._steps_per_epoch, self._total_steps = steps_per_epoch, total_steps
        self._progress, self._checkpoints, self._checkpoint_every = progress, checkpoints, checkpoint_every
        self._evaluate, self._best_weights = evaluate, best_weights
        self._step = compile_step(strategy, trainer, jit_compile)
        # BatchNorm's statistics are each replica's own; one set of them is evaluated, saved and exported.
        statistics = [v.value for v in trainer.network.non_trainable_variables if tf.as_dtype(v.dtype).is_floating]
        self._average_statistics = distribution.make_averager(strategy, statistics)
        self._pending = None
        self._last_end = None  # when the last step ended; None where something else has run since

    def run(self, callbacks=(), verbose=None):
        """Trains to the last step.

        Args:
          callbacks: Keras callbacks; they get the epoch's logs with `test_accuracy`, `test_top5` and `test_loss`, and
            the same of further sets.
          verbose: 0 silent, 1 a progress bar, 2 a line for each epoch; None: a bar on a terminal, else lines.
        """
        progress, per_epoch = self._progress, self._steps_per_epoch
        epochs = -(-self._total_steps // per_epoch)
        if verbose is None:
            verbose = 1 if sys.stdout.isatty() else 2
        callbacks = keras.callbacks.CallbackList(
            list(callbacks),
            add_progbar=verbose > 0,
            model=self._trainer,
            verbose=verbose,
            epochs=epochs,
            steps=per_epoch,
        )
        self._trainer.stop_training = False
        callbacks.on_train_begin()
        batches = self._iterate(progress.step)
        logs = {}
        while progress.step < self._total_steps and not self._trainer.stop_training:
            logs = self._run_epoch(progress.step // per_epoch, batches, callbacks)
        self._checkpoints.save()
        callbacks.on_train_end(logs)

    def _run_epoch(self, epoch, batches, callbacks):
        progress, per_epoch = self._progress, self._steps_per_epoch
        if progress.step % per_epoch == 0:
            self._trainer.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        end = min((epoch + 1) * per_epoch, self._total_steps)
        while progress.step < end:
            callbacks.on_train_batch_begin(progress.step % per_epoch)
            logs = self._run_step(batches)
            callbacks.on_train_batch_end((progress.step - 1) % per_epoch, logs)
            # At an epoch's end the checkpoint waits for the epoch's logs, which are part of the progress.
            if progress.step % self._checkpoint_every == 0 and progress.step < end:
                self._settle()
                self._average_statistics()
                self._checkpoints.save()
                self._last_end = None
        self._settle()
        self._average_statistics()
        logs = {name: float(value) for name, value in self._trainer.get_metrics_result().items()}
        logs |= self._evaluate()
        entry = {"epoch": epoch + 1, "step": progress.step, **logs, **progress.epoch_statistics.close()}
        logs.pop("test_class_accuracy", None)  # callbacks want numbers
        progress.history.append(entry)
        selection.drop_class_accuracies(progress.history)
        self._best_weights.keep_if_best(progress.history)
        callbacks.on_epoch_end(epoch, logs)
        if progress.step // self._checkpoint_every > (epoch * per_epoch) // self._checkpoint_every:
            self._checkpoints.save()
        self._last_end = None
        return logs

    def _run_step(self, batches):
        """One step; its records are fetched when the next step is under way, so that the device need not wait."""
        traced = self._step.experimental_get_tracing_count()
        training_batch, meta_batch = next(batches)
        with_meta = meta_batch is not None
        records, logs = self._step(training_batch, meta_batch)
        self._settle()
        now = time.perf_counter()
        if self._last_end is not None and traced == self._step.experimental_get_tracing_count():
            self._progress.time(now - self._last_end, with_meta)
        self._last_end = now
        self._pending = records
        self._progress.step += 1
        return logs

    def _settle(self):
        if self._pending is not None:
            self._progress.record(gather(self._pending))
            self._pending = None

    def _iterate(self, first_step):
        """Pairs of distributed batches from `first_step` on; the second is None in a step without a meta update."""
        is_meta_step = self._trainer.is_meta_step
        meta_steps_before = sum(map(is_meta_step, range(first_step)))
        meta = None
        training = self._training_batches(first_step)
        for step, batch in enumerate(training, start=first_step):
            if is_meta_step(step):
                if meta is None:
                    meta = self._meta_batches(meta_steps_before)
                yield batch, next(meta)
            else:
                yield batch, None
