"""The paper's diagnostics: stage times (Fig. 1b), meta gradient (Fig. 4), selected layers (supplement, Fig. 2)."""

import keras
import matplotlib.backends.backend_agg
import matplotlib.figure
import numpy as np
import tensorflow as tf

from famus_tf.reports import event_file, pictures, tags
from famus_tf.reports import names as drawable

_MOST_LABELS = 32  # more names than that cannot be read beside one picture


class Diagnostics(keras.callbacks.Callback):
    """Writes `meta/gradient_*` and the picture `gates/selection` for TensorBoard after every epoch.

    Args:
      summaries: `tensorboard.TensorBoard`, whose event file is used; it stands before this in the list of callbacks.
      method: a `methods.base.Method`.
      progress: its `progress.Progress`, whose `history` has the epochs done.
    """

    def __init__(self, summaries, method, progress):
        super().__init__()
        self._summaries = summaries
        self._method = method
        self._progress = progress

    def on_epoch_end(self, epoch, logs=None):
        """Scalars of the epoch, and the picture of all epochs so far."""
        history = self._progress.history
        with self._summaries.events.at(self._progress.step):
            for name, value in history[-1].get("meta_gradient", {}).items():
                if name != "steps" and value is not None:
                    tf.summary.scalar(tags.meta_gradient(name), value)
            with pictures.optional(tags.SELECTION):
                figure = selection_figure(history, layer_names(self._method))
                if figure is not None:
                    tf.summary.image(tags.SELECTION, pixels(figure)[np.newaxis])
        self._summaries.events.flush()


def write_stage_times(directory, step, seconds):
    """Writes `time/stage_<stage>` for TensorBoard, in an event file of its own.

    Args:
      directory: folder of the event files.
      step: number of training steps done.
      seconds: dict stage -> seconds, as `stage_times.measure` returns it.
    """
    events = event_file.EventFile(directory)
    with events.at(step):
        for stage, value in seconds.items():
            tf.summary.scalar(tags.stage(stage), value)
    events.close()


def layer_names(method):
    """Names of the gated layers l = 1..L with their numbers, as in `gates/` of TensorBoard."""
    return [f"{n:03d}_{layer.name.replace('/', '.')}" for n, layer in enumerate(method.gated_layers, start=1)]


def selection_figure(history, names):
    """Draws how often each layer was selected in each epoch, the input's layer at the bottom.

    Args:
      history: list of one dict per epoch with its `epoch`, and `gates` (list of L shares) where it had meta steps.
      names: list of L texts.

    Returns:
      A matplotlib figure, or None where no epoch has gates.
    """
    epochs = [epoch for epoch in history if "gates" in epoch]
    if not epochs:
        return None
    numbers = [epoch["epoch"] for epoch in epochs]
    shares = np.full([len(names), numbers[-1] - numbers[0] + 1], np.nan)
    for epoch in epochs:
        shares[:, epoch["epoch"] - numbers[0]] = epoch["gates"]
    every = -(-len(names) // _MOST_LABELS)
    rows = range(0, len(names), every)
    figure = matplotlib.figure.Figure(figsize=(8, 1.6 + 0.2 * len(rows)), layout="constrained")
    axes = figure.subplots()
    extent = (numbers[0] - 0.5, numbers[-1] + 0.5, -0.5, len(names) - 0.5)
    image = axes.imshow(
        shares, aspect="auto", origin="lower", extent=extent, vmin=0, vmax=1, cmap="viridis", interpolation="nearest"
    )
    texts, options = drawable.drawn([names[row] for row in rows])
    axes.set_yticks(rows, texts, fontsize=8, **options)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="epoch", title="share of the epoch's meta steps in which a layer was selected")
    figure.colorbar(image, ax=axes, pad=0.01)
    return figure


def draw_selection(path, history, names):
    """Writes the picture of `selection_figure` as a PNG file, where there is anything to draw."""
    figure = selection_figure(history, names)
    if figure is not None:
        pictures.save_figure(figure, path)


def pixels(figure):
    """A matplotlib figure as uint8 [height, width, 4]."""
    canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
