"""What TensorBoard shows of a run: scalars and histograms."""

import types

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.custom_scalar import summary as custom_scalars
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2 as hparams_api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

from famus_tf.reports import event_file, tags
from famus_tf.reports import results as run_results


class TensorBoard(keras.callbacks.Callback):
    """Writes a run's scalars and histograms for TensorBoard, the dashboard for them, and its flags for "HParams".

    Every `every` steps: running means of the epoch, learning rates and the time of a step. After every epoch: the
    evaluations, the weights of right and of wrong labels, how often each layer was selected in this epoch, and the
    repeatability of each by the epoch's last measurement, where there is one. The step axis is the number of training
    steps; the names are those of `tags`.

    Args:
      directory: folder of the event files.
      method: a `methods.base.Method`.
      progress: its `progress.Progress`, which the training loop keeps up to date. Steps and epochs that leave it as it
        is are another network's.
      given_labels, true_labels: int [N]; the latter None where nobody knows them.
      every: steps between two writings of the scalars.
      sets: names of the sets that are evaluated.
      hyperparameters: {flag: value} by which TensorBoard tells runs apart; none where empty.
      name: of the run, there.
    """

    def __init__(
        self,
        directory,
        method,
        progress,
        given_labels,
        true_labels,
        every,
        sets=("test",),
        hyperparameters=types.MappingProxyType({}),
        name=None,
    ):
        super().__init__()
        self._hyperparameters = dict(hyperparameters)
        self._name = name
        self._directory = str(directory)
        self._every = every
        self._method = method
        self._progress = progress
        self._given_labels = given_labels
        self._true_labels = true_labels
        self._sets = sets
        self._last_step = progress.step
        self.events = None

    def on_train_begin(self, logs=None):
        """Opens the event file, and begins it with what does not change."""
        self.events = event_file.EventFile(self._directory)
        with self.events.at(self._progress.step):
            tf.summary.experimental.write_raw_pb(custom_scalars.pb(tags.layout()).SerializeToString())
            if self._hyperparameters:
                hparams.hparams(self._hyperparameters, trial_id=self._name)

    def on_train_batch_end(self, batch, logs=None):
        """Scalars, every so many steps."""
        step = self._progress.step
        before = self._last_step
        self._last_step = step
        if step == before or step % self._every:
            return
        with self.events.at(step):
            for name, value in (logs or {}).items():
                tf.summary.scalar(tags.of_log(name), value)
            for name, optimizer in self._method.optimizers.items():
                tf.summary.scalar(tags.learning_rate(name), optimizer.learning_rate)
            seconds = self._progress.seconds_per_step(last=self._every)
            if seconds is not None:
                tf.summary.scalar(tags.STEP_SECONDS, seconds)

    def on_epoch_end(self, epoch, logs=None):
        """Test results, example weights and gates of the epoch."""
        with self.events.at(self._progress.step):
            epoch = self._progress.history[-1]
            write_evaluations(epoch, self._sets)
            for number, logs in enumerate(epoch.get("networks", ()), start=1):
                write_evaluations(logs, self._sets, f"network{number}_")
            weights = run_results.split_example_weights(
                self._progress.example_weight, self._given_labels, self._true_labels
            )
            for name, values in weights.items():
                if len(values):
                    tf.summary.scalar(tags.example_weight(name, mean=True), values.mean())
                    tf.summary.histogram(tags.example_weight(name), values)
            self._write_layers()
            for name, matrix in self._method.matrices().items():
                tf.summary.image(tags.matrix(name), _picture(matrix))
        self.events.flush()

    def on_train_end(self, logs=None):
        """Closes the event file."""
        if self._hyperparameters:
            with self.events.at(self._progress.step):
                ended = hparams_summary.session_end_pb(hparams_api_pb2.STATUS_SUCCESS)
                tf.summary.experimental.write_raw_pb(ended.SerializeToString())
        self.events.close()

    def _write_layers(self):
        for group in ("gates", "repeatability"):
            values = self._progress.history[-1].get(group, ())
            for number, (layer, value) in enumerate(zip(self._method.gated_layers, values, strict=False), start=1):
                tf.summary.scalar(tags.of_layer(group, number, layer.name), value)


def _picture(matrix):
    """Values from 0 (white) to 1 (black) as squares, about 200 pixels in all, uint8 [1, height, width, 1]."""
    side = max(1, 200 // max(matrix.shape))
    shades = np.round(255 * (1 - np.clip(matrix, 0, 1))).astype(np.uint8)
    return np.kron(shades, np.ones((side, side), np.uint8))[np.newaxis, :, :, np.newaxis]


def write_evaluations(epoch, sets, prefix=""):
    """Writes what an epoch's history says of its evaluations as scalars of the present writer.

    Args:
      epoch: dict of a history.
      sets: names of the sets that are evaluated.
      prefix: of `tags.evaluation`.
    """
    for name, value in epoch.items():
        for evaluated in sets:
            if name.startswith(f"{evaluated}_") and isinstance(value, float):
                tf.summary.scalar(tags.evaluation(evaluated, name.removeprefix(f"{evaluated}_"), prefix), value)
