"""What TensorBoard shows of a run: scalars and histograms."""

import keras
import tensorflow as tf

from famus_tf.reports import event_file
from famus_tf.reports import results as run_results


class TensorBoard(keras.callbacks.Callback):
    """Writes a run's scalars and histograms for TensorBoard.

    Every `every` steps: `train/*` (running means of the epoch), `learning_rate/*`, `time/step_seconds` and, with a
    meta step, `meta/*`. After every epoch: `test/*` and the same of further sets, `example_weight/{clean,noisy}` as
    mean and as histogram, `gates/<layer>` (how often it was on in this epoch), `repeatability/<layer>` (by the epoch's
    last measurement, where there is one). The step axis is the number of training steps.

    Args:
      directory: folder of the event files.
      method: a `methods.base.Method`.
      progress: its `progress.Progress`, which the training loop keeps up to date. Steps and epochs that leave it as it
        is are another network's.
      given_labels, true_labels: int [N]; the latter None where nobody knows them.
      every: steps between two writings of the scalars.
      sets: names of the sets that are evaluated.
    """

    def __init__(self, directory, method, progress, given_labels, true_labels, every, sets=("test",)):
        super().__init__()
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
        """Opens the event file."""
        self.events = event_file.EventFile(self._directory)

    def on_train_batch_end(self, batch, logs=None):
        """Scalars, every so many steps."""
        step = self._progress.step
        before = self._last_step
        self._last_step = step
        if step == before or step % self._every:
            return
        with self.events.at(step):
            for name, value in (logs or {}).items():
                group = "meta" if name in ("meta_loss", "selected_layers", "lowest_layer") else "train"
                tf.summary.scalar(f"{group}/{name}", value)
            for name, optimizer in self._method.optimizers.items():
                tf.summary.scalar(f"learning_rate/{name}", optimizer.learning_rate)
            seconds = self._progress.seconds_per_step(last=self._every)
            if seconds is not None:
                tf.summary.scalar("time/step_seconds", seconds)

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
                    tf.summary.scalar(f"example_weight/{name}_mean", values.mean())
                    tf.summary.histogram(f"example_weight/{name}", values)
            self._write_layers()
        self.events.flush()

    def on_train_end(self, logs=None):
        """Closes the event file."""
        self.events.close()

    def _write_layers(self):
        for group in ("gates", "repeatability"):
            values = self._progress.history[-1].get(group, ())
            for number, (layer, value) in enumerate(zip(self._method.gated_layers, values, strict=False), start=1):
                tf.summary.scalar(f"{group}/{number:03d}_{layer.name.replace('/', '.')}", value)


def write_evaluations(epoch, sets, prefix=""):
    """Writes what an epoch's history says of its evaluations as scalars `<set>/<what>` of the present writer.

    Args:
      epoch: dict of a history.
      sets: names of the sets that are evaluated.
      prefix: of <what>.
    """
    for name, value in epoch.items():
        for evaluated in sets:
            if name.startswith(f"{evaluated}_") and isinstance(value, float):
                tf.summary.scalar(f"{evaluated}/{prefix}{name.removeprefix(f'{evaluated}_')}", value)
