"""A picture of one co-divide step: the losses with their mixture, and the clean probability with the split."""

import textwrap

import matplotlib.figure
import numpy as np

_BINS = 80
_PARTS = {"clean": ("label right", "tab:green"), "noisy": ("label wrong", "tab:red"), "all": ("scanned", "tab:blue")}


def loss_figure(losses, split, mixture, is_clean, title):
    """Draws the losses with the mixture on the left, the clean probability with the pseudo-clean set on the right.

    Losses above their 99.9th percentile are counted in the axis label and not drawn. Their counts have a square-root
    scale: late in the training all right labels are in one bin, and on a linear one nothing else would be seen. The
    densities are scaled to the counts of the bins.

    Args:
      losses: float [N], NaN for examples that were not scanned.
      split: `clean_split.Split` of them.
      mixture: `clean_split.Mixture` of them, or None where there is none.
      is_clean: bool [N], true where the label is right; None where nobody knows.
      title: text above both.

    Returns:
      A matplotlib figure.
    """
    losses = np.asarray(losses, np.float64)
    scanned = split.scanned
    parts = {"all": scanned}
    if is_clean is not None:
        is_clean = np.asarray(is_clean, bool)
        parts = {"clean": scanned & is_clean, "noisy": scanned & ~is_clean}
    figure = matplotlib.figure.Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_losses(left, losses, parts, mixture)
    _draw_probability(right, split, parts)
    figure.suptitle(title)
    if split.fallback:
        figure.supxlabel("\n".join(textwrap.wrap(split.fallback, 150)), fontsize=9)
    return figure


def _draw_losses(axes, losses, parts, mixture):
    seen = losses[np.logical_or.reduce(list(parts.values()))]
    finite = seen[np.isfinite(seen)]
    low, high = (finite.min(), np.percentile(finite, 99.9)) if len(finite) else (0.0, 1.0)
    if not high > low:
        margin = 0.5 * max(1.0, abs(low))
        low, high = low - margin, low + margin
    edges = np.linspace(low, high, _BINS + 1)
    for name, inside in parts.items():
        label, color = _PARTS[name]
        axes.hist(losses[inside], bins=edges, alpha=0.55, color=color, label=f"{label} ({inside.sum():,})")
    if mixture is not None:
        points = np.linspace(low, high, 1000)
        curves = mixture.density(points) * len(seen) * (edges[1] - edges[0])
        axes.plot(points, curves.sum(axis=0), color="black", linewidth=1.6, label="mixture")
        for curve, color, label in zip(curves, ("tab:green", "tab:red"), ("clean", "noisy"), strict=True):
            axes.plot(points, curve, color=color, linewidth=1.4, linestyle="--", label=f"{label} component")
    beyond = int((seen > high).sum())
    axes.set(xlabel=f"loss ({beyond:,} above {high:.3g} not drawn)" if beyond else "loss")
    axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
    top = axes.get_ylim()[1]
    ticks = np.outer(10.0 ** np.arange(9), (1, 2, 5)).ravel()
    axes.set_yticks([0, *ticks[(ticks >= top / 100) & (ticks <= top)]])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0, top=1.5 * top)  # room for the legend, as on the right
    axes.set(xlim=(low, high), ylabel="examples (square-root scale)")
    axes.legend(fontsize=8, loc="upper center", ncols=2)
    axes.grid(alpha=0.3)


def _draw_probability(axes, split, parts):
    values = []
    colors = []
    labels = []
    hatches = []
    for chosen, where, hatch in ((split.clean, "in the set", ""), (~split.clean, "outside", "////")):
        for name, inside in parts.items():
            label, color = _PARTS[name]
            values.append(split.clean_probability[inside & chosen])
            colors.append(color)
            labels.append(f"{label}, {where} ({len(values[-1]):,})")
            hatches.append(hatch)
    axes.hist(values, bins=np.linspace(0, 1, 21), stacked=True, color=colors, label=labels, hatch=hatches, alpha=0.6)
    axes.set(xlabel="clean probability", ylabel="examples", xlim=(0, 1))
    axes.set_ylim(top=1.45 * axes.get_ylim()[1])  # room for the legend: no place is empty of bars for sure
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(f"pseudo-clean set: {split.clean.sum():,} of {split.scanned.sum():,}")
    axes.legend(fontsize=8, loc="upper center")
    axes.grid(alpha=0.3)
