"""Draws layers by epochs, coloured by how far their scores repeat, beside how well these tell right from wrong."""

import matplotlib.colors
import matplotlib.figure
import numpy as np

from famus_tf.reports import names as drawable
from famus_tf.reports import pictures

_MOST_LABELS = 40
_PANELS = (
    ("repeatability", "repeatability of the layer's scores (no truth needed)", "viridis"),
    ("repeatability_per_class", "repeatability, classes' means taken out", "viridis"),
    ("auc", "AUC of the layer's scores, right against wrong labels", "RdBu"),
)


def draw(path, results, title):
    """Writes a PNG file: a panel for each figure, the input's layer at the bottom; a dot marks each column's largest.

    Args:
      path: of the file.
      results: as `selection.measure` returns them; without known labels there is no AUC, and no panel for it.
      title: of the picture.
    """
    layers, pauses = results["layers"], results["pauses"]
    panels = [panel for panel in _PANELS if pauses[0]["layers"][panel[0]] is not None]
    height = 1.8 + 0.2 * min(len(layers), _MOST_LABELS)
    figure = matplotlib.figure.Figure(figsize=(2.6 + 3.6 * len(panels), height), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, label, colours) in zip(all_axes, panels, strict=True):
        values = np.array([pause["layers"][name] for pause in pauses], float).T  # [layers, pauses]
        image = axes.imshow(
            values, aspect="auto", origin="lower", interpolation="nearest", cmap=colours, norm=_norm(name, values)
        )
        places = np.arange(len(pauses))
        axes.plot(places, np.argmax(np.nan_to_num(values, nan=-1.0), axis=0), "o", color="black", markersize=4)
        axes.set_xticks(places, [pause["epoch"] for pause in pauses])
        axes.set_xlabel("epoch")
        axes.set_title(label, fontsize=9)
        figure.colorbar(image, ax=axes, pad=0.02)
    rows = range(0, len(layers), -(-len(layers) // _MOST_LABELS))
    texts, options = drawable.drawn([layers[row]["name"] for row in rows])
    all_axes[0].set_yticks(rows, texts, fontsize=8, **options)
    figure.suptitle(f"{title}; black: the largest of its epoch", fontsize=10)
    pictures.save_figure(figure, path)


def _norm(name, values):
    if name == "auc":  # white is chance
        furthest = max(0.02, float(np.nanmax(np.abs(values - 0.5))))
        return matplotlib.colors.Normalize(0.5 - furthest, 0.5 + furthest)
    return matplotlib.colors.Normalize(min(0.0, float(np.nanmin(values))), max(0.05, float(np.nanmax(values))))
