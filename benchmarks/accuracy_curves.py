"""Draws the test accuracy over the epochs, a line for each method: what is learned, and what is lost again."""

import pathlib
from collections.abc import Sequence

import matplotlib.figure
import numpy as np

from benchmarks import bands
from famus_tf.errors import InputError
from famus_tf.reports import compare as table


def draw(path: pathlib.Path, groups: Sequence[Sequence[table.Run]], labels: Sequence[str]) -> None:
    """Writes a PNG file: of each group its runs' mean, in a band from the smallest to the largest.

    Args:
      path: of the file.
      groups: runs that differ in the seed only; of runs of several lengths the epochs that all have are drawn.
      labels: one for each group.

    Raises:
      InputError: a run's history has no epoch with a test accuracy.
    """
    figure = matplotlib.figure.Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    for runs, label in zip(groups, labels, strict=True):
        accuracies = [run.test_accuracies for run in runs]
        length = min(len(one) for one in accuracies)
        if not length:
            raise InputError(f"{label}: no history of test accuracies; expected runs of an epoch or more")
        rows = 100 * np.array([one[:length] for one in accuracies])
        bands.draw(axes, np.arange(1, length + 1), rows, f"{label}: {rows[:, -1].mean():.1f} in the end")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="epoch", ylabel="test accuracy (%)")
    bands.save(path, figure)
