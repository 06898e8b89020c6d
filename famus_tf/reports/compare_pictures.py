"""Test accuracy over the time of training, of several runs."""

import matplotlib.figure
import numpy as np

from famus_tf.errors import InputError
from famus_tf.reports import names as drawable
from famus_tf.reports import pictures


def draw(path, groups, labels):
    """Draws the mean over the seeds of each group, and the range over them.

    Time is the number of steps times the seconds of a step; evaluations and checkpoints are no part of it.

    Args:
      path: PNG file to write.
      groups: lists of `compare.Run`.
      labels: the name of each group.

    Raises:
      InputError: no run has both, or the file cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    texts, options = drawable.drawn(labels, most=80)
    empty = True
    for group, text in zip(groups, texts, strict=True):
        curves = [_curve(run) for run in group]
        curves = [curve for curve in curves if curve is not None]
        if not curves:
            continue
        empty = False
        length = min(len(accuracies) for _, accuracies in curves)
        seconds = np.mean([times[:length] for times, _ in curves], axis=0)
        accuracies = 100 * np.array([values[:length] for _, values in curves])
        (line,) = axes.plot(seconds, accuracies.mean(axis=0), label=text)
        if len(curves) > 1:
            axes.fill_between(
                seconds, accuracies.min(axis=0), accuracies.max(axis=0), alpha=0.2, color=line.get_color()
            )
    if empty:
        raise InputError(f"{path}: no run has the accuracies and the time of its steps; expected runs that have ended")
    axes.set(xlabel="seconds of training", ylabel="test accuracy in percent", xlim=(0, None))
    axes.legend(loc="lower right", fontsize=8, prop={"family": options["fontfamily"], "size": 8})
    axes.grid(alpha=0.3)
    pictures.save_figure(figure, path)


def _curve(run):
    """Seconds and test accuracies behind each epoch; None where the run does not have them."""
    seconds = run.number("train_seconds_per_step")
    epochs = [epoch for epoch in run.results.get("history", ()) if "test_accuracy" in epoch and "step" in epoch]
    if not seconds or not epochs:
        return None
    return [epoch["step"] * seconds for epoch in epochs], [epoch["test_accuracy"] for epoch in epochs]
