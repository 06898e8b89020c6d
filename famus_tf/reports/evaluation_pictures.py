"""What is drawn of an evaluation: which classes are taken for which, and how far the network's confidence is right."""

import matplotlib.figure
import numpy as np

from famus_tf.reports import names as drawable
from famus_tf.reports import pictures

_MOST_NAMES = 40  # classes whose names are written
_MOST_NUMBERS = 15  # classes whose counts are written


def draw_confusion(path, measures, title):
    """Draws true classes by predicted ones, coloured by the share of the true class.

    Args:
      path: PNG file to write.
      measures: what `evaluation.measures.of` returned.
      title: of the picture.
    """
    counts = np.array(measures["confusion"], float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    c = len(counts)
    side = min(max(4.5, 0.28 * c), 12)
    figure = matplotlib.figure.Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    if c <= _MOST_NAMES:
        texts, options = drawable.drawn([one["name"] for one in measures["classes"]])
        axes.set_xticks(range(c), texts, rotation=90, **options)
        axes.set_yticks(range(c), texts, **options)
    if c <= _MOST_NUMBERS:
        for row, column in np.ndindex(c, c):
            colour = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    pictures.save_figure(figure, path)


def draw_calibration(path, measures, title):
    """Draws accuracy by confidence, and how many examples have each confidence.

    Args:
      path, measures, title: as in `draw_confusion`.
    """
    bins = measures["calibration"]
    width = 1 / len(bins)
    centres = (np.arange(len(bins)) + 0.5) * width
    figure = matplotlib.figure.Figure(figsize=(5, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    accuracies = [one["accuracy"] or 0.0 for one in bins]
    upper.bar(centres, accuracies, width * 0.95, color="#2457c5", label="accuracy")
    upper.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--", label="as right as confident")
    known = [one for one in bins if one["examples"]]
    points = [one["confidence"] for one in known], [one["accuracy"] for one in known]
    upper.plot(
        *points, "o", color="#d9822b", markersize=4, clip_on=False, label="accuracy at the bin's mean confidence"
    )
    error = measures["expected_calibration_error"]
    upper.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1), title=f"{title}\nexpected calibration error {error:.3f}")
    upper.legend(loc="upper left", fontsize=8)
    lower.bar(centres, [one["examples"] for one in bins], width * 0.95, color="grey")
    lower.set(xlabel="confidence, the probability of the predicted class", ylabel="images")
    pictures.save_figure(figure, path)
