"""Pictures of several methods over several seeds: for each a line, its runs' mean, in a band around it."""

import pathlib

import matplotlib.axes
import matplotlib.figure
import numpy as np


def draw(axes: matplotlib.axes.Axes, places: np.ndarray, rows: np.ndarray, label: str, style: str = "-") -> None:
    """Draws the mean of several runs, and between their smallest and largest values a band where there are several.

    Args:
      axes: where.
      places: [n], along the horizontal axis.
      rows: [number of runs, n].
      label: in the legend.
      style: of the line, as Matplotlib names it.
    """
    (line,) = axes.plot(places, rows.mean(0), style, marker="o", markersize=4, label=label)
    if len(rows) > 1:
        axes.fill_between(places, rows.min(0), rows.max(0), color=line.get_color(), alpha=0.12, linewidth=0)


def save(path: pathlib.Path, figure: matplotlib.figure.Figure) -> None:
    """Writes a figure of one such picture as PNG, with the legend on the right."""
    (axes,) = figure.axes
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
