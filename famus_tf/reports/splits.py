"""What TensorBoard shows of the splits of Algorithm 2, and of the two networks taken together."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from famus_tf.reports import event_file, gates, pictures, split_pictures, tags, tensorboard


class SplitSummaries(keras.callbacks.Callback):
    """Writes the splits' sizes and quality as scalars `split/*` after every epoch, and pictures of the losses.

    Where there are two networks, `test/*` and the same of further sets are of both together.

    Args:
      directory: folder of the event files.
      state: `co_divide.CoDivideState`.
      history: list of one dict for each epoch of the run; the last is written.
      is_clean: bool [N], which labels are right; None where nobody knows.
      sets: names of the sets that are evaluated.
    """

    def __init__(self, directory, state, history, is_clean, sets):
        super().__init__()
        self._directory = str(directory)
        self._state = state
        self._history = history
        self._is_clean = is_clean
        self._sets = sets
        self._events = None

    def on_train_begin(self, logs=None):
        """Opens the event file."""
        self._events = event_file.EventFile(self._directory)

    def on_epoch_end(self, epoch, logs=None):
        """Scalars and pictures of the epoch."""
        entry = self._history[-1]
        with self._events.at(entry["step"]):
            tensorboard.write_evaluations(entry, self._sets)
            for number, quality in enumerate(entry.get("split", ()), start=1):
                for name, value in quality.items():
                    if isinstance(value, (int, float)):
                        tf.summary.scalar(tags.split(number, name), value)
                name = tags.split(number, "losses")
                with pictures.optional(name):
                    figure = figure_of(self._state, number - 1, self._is_clean, quality)
                    tf.summary.image(name, gates.pixels(figure)[np.newaxis])
        self._events.flush()

    def on_train_end(self, logs=None):
        """Closes the event file."""
        self._events.close()


def figure_of(state, number, is_clean, quality):
    """The losses of one network, counted from 0, with the mixture (`split_pictures.loss_figure`)."""
    title = f"network {number + 1}, epoch {state.epoch + 1}: "
    title += f"{quality['clean']:,} pseudo-clean, {quality['noisy']:,} not"
    if quality.get("auc") is not None:
        title += f", AUC {quality['auc']:.3f}"
    losses = state.losses[number].mean(axis=0)
    return split_pictures.loss_figure(losses, state.splits[number], state.mixtures[number], is_clean, title)


def draw(folder, state, is_clean, history):
    """Writes the last splits as `losses_1.png`, `losses_2.png` into a folder, where there are any."""
    quality = next((entry["split"] for entry in reversed(history) if "split" in entry), ())
    for number, one in enumerate(quality):
        path = pathlib.Path(folder, f"losses_{number + 1}.png")
        with pictures.optional(path):
            pictures.save_figure(figure_of(state, number, is_clean, one), path)
