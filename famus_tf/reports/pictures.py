"""Pictures of a run: curves.png and class_accuracy.png."""

import contextlib
import logging
from collections.abc import Iterator

import matplotlib.figure
import numpy as np
from matplotlib import ticker

from famus_tf.files import whole_files
from famus_tf.reports import names
from famus_tf.reports import results as run_results

_LOG = logging.getLogger(__name__)

_MOST_BARS = 40  # classes whose names are written


@contextlib.contextmanager
def optional(what: object) -> Iterator[None]:
    """Around what draws and nothing else: a picture that cannot be drawn is a line, and the run goes on.

    Args:
      what: the picture's file, or its name in TensorBoard.
    """
    try:
        yield
    except Exception as error:  # matplotlib's many kinds; a defect here must not cost a training
        text = (str(error).strip().splitlines() or [""])[-1][:200]
        reason = ": ".join(filter(None, (type(error).__name__, text)))
        _LOG.info(f"{what}: the picture is left out ({reason}); nothing else is missing")


def save_figure(figure, path, dpi=110):
    """Writes a matplotlib figure as PNG, whole or not at all; an InputError says that it cannot be written."""
    with whole_files.written(path) as place:
        figure.savefig(place, dpi=dpi)


def draw(path, summary, progress, dataset, clean_probability=None):
    """Draws a run: accuracy over the steps, and how far right and wrong labels are trusted.

    By the weights of the examples; where labels are split by a clean probability, by that, as what then is trained on
    without its label has a weight too.

    Args:
      path: PNG file to write.
      summary: what `results` returned.
      progress, dataset: as in `results`.
      clean_probability: float [N], NaN where nothing is known; None without a split.
    """
    figure = matplotlib.figure.Figure(figsize=(10, 3.6), layout="constrained")
    curve, weights = figure.subplots(1, 2)
    steps = [epoch["step"] for epoch in progress.history]
    for name in dataset.held_out:
        if name != "meta":
            values = [100 * epoch[f"{name}_accuracy"] for epoch in progress.history]
            curve.plot(steps, values, color="tab:blue" if name == "test" else None, label=name)
    if "accuracy" in progress.history[0]:
        training = [100 * epoch["accuracy"] for epoch in progress.history]
        curve.plot(steps, training, color="tab:gray", label="training, given labels")
    elif "split" in progress.history[-1]:
        scanned = [epoch for epoch in progress.history if "split" in epoch]
        training = [100 * _given_label_accuracy(epoch["split"]) for epoch in scanned]
        curve.plot([epoch["step"] for epoch in scanned], training, color="tab:gray", label="training, given labels")
    last, peak = summary["test_accuracy"]["last"], summary["test_accuracy"]["peak"]
    curve.set(xlabel="training step", ylabel="accuracy (%)", title=f"test accuracy: last {last:.1%}, peak {peak:.1%}")
    curve.legend(loc="lower right")
    curve.grid(alpha=0.3)
    if clean_probability is None:
        trust, what, top = progress.example_weight, "example weight (1: as in a plain mean)", None
    else:
        trust, what, top = clean_probability, "clean probability, by the losses' mixture", 1.0
    parts = run_results.split_example_weights(trust, *dataset.noisy_labels)
    top = top or max([float(values.max()) for values in parts.values() if len(values)], default=1.0) or 1.0
    looks = {"clean": ("label right", "tab:green"), "noisy": ("label wrong", "tab:red"), "all": ("all", "tab:blue")}
    for name, values in parts.items():
        label, color = looks[name]
        if len(values):
            weights.hist(
                values, bins=np.linspace(0, top, 40), alpha=0.6, color=color, label=f"{label} ({len(values):,} images)"
            )
    weights.set(xlabel=what, ylabel="images", title="how far each label is trusted")
    weights.set_ylim(top=1.25 * weights.get_ylim()[1])  # room for the legend; a search for a free place is slow
    weights.legend(loc="upper center")
    weights.grid(alpha=0.3)
    save_figure(figure, path)


def _given_label_accuracy(splits):
    return np.mean([split["given_label_accuracy"] for split in splits])


def draw_classes(path, summary, dataset):
    """Draws the test accuracy of each class over the number of its training images, and the means of the groups.

    Where all classes have about as many images, a bar for each class, the lowest accuracy first.

    Args:
      path: PNG file to write.
      summary: what `results` returned.
      dataset: as in `results`.
    """
    classes = [one for one in summary["classes"] if one["test_accuracy"] is not None]
    counts = np.array([max(one["training_images"], 1) for one in classes])
    accuracies = np.array([100 * one["test_accuracy"] for one in classes])
    if counts.max() < 2 * counts.min():
        return _draw_bars(path, classes, summary, dataset)
    figure = matplotlib.figure.Figure(figsize=(7, 3.8), layout="constrained")
    axis = figure.subplots()
    axis.scatter(counts, accuracies, color="tab:blue", s=22, zorder=3, label="a class")
    for name, low, high in (("many", 101, np.inf), ("medium", 20, 100), ("few", 0, 19)):
        inside = (counts >= low) & (counts <= high)
        if inside.any() and name in summary["by_class_size"]:
            mean = 100 * summary["by_class_size"][name]
            ends = counts[inside].min() / 1.08, counts[inside].max() * 1.08
            axis.hlines(mean, *ends, color="tab:orange", linewidth=2.5, zorder=2)
            axis.annotate(
                f"{name}: {mean:.1f}", (ends[0], mean), (0, 4), textcoords="offset points", color="tab:orange"
            )
    if len(classes) <= 20:
        texts, options = names.drawn([one["name"] for one in classes])
        for text, count, accuracy in zip(texts, counts, accuracies, strict=True):
            axis.annotate(text, (count, accuracy), (4, -9), textcoords="offset points", fontsize=7, **options)
    axis.set(xscale="log", xlabel="training images of the class, by the given labels", ylabel="test accuracy (%)")
    axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())
    axis.set_ylim(-3, 108)
    axis.margins(x=0.12)
    axis.set_title(_title_of_classes(summary, dataset))
    axis.grid(alpha=0.3)
    save_figure(figure, path)


def _title_of_classes(summary, dataset):
    return f"{dataset.name}: test accuracy by class, mean {100 * summary['by_class_size']['class_mean']:.1f}%"


def _draw_bars(path, classes, summary, dataset):
    classes = sorted(classes, key=lambda one: one["test_accuracy"])
    accuracies = [100 * one["test_accuracy"] for one in classes]
    named = len(classes) <= _MOST_BARS
    figure = matplotlib.figure.Figure(figsize=(7, max(2.5, 0.22 * min(len(classes), _MOST_BARS))), layout="constrained")
    axis = figure.subplots()
    axis.barh(range(len(classes)), accuracies, color="tab:blue", height=0.8 if named else 1.0)
    axis.axvline(100 * summary["by_class_size"]["class_mean"], color="tab:orange", linewidth=2)
    if named:
        texts, options = names.drawn([one["name"] for one in classes])
        axis.set_yticks(range(len(classes)), texts, fontsize=8, **options)
    else:
        axis.set(yticks=[], ylabel=f"{len(classes)} classes")
    axis.set(xlabel="test accuracy (%)", xlim=(0, 100), ylim=(-0.6, len(classes) - 0.4))
    axis.set_title(_title_of_classes(summary, dataset))
    axis.grid(alpha=0.3, axis="x")
    save_figure(figure, path)
