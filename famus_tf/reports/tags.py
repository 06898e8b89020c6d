"""The names under which TensorBoard shows a run, and the dashboard "Custom Scalars" that lays them out for reading."""

from __future__ import annotations

import re

from tensorboard.plugins.custom_scalar import layout_pb2

_OF_META_STEPS = ("meta_loss", "selected_layers", "lowest_layer")

STEP_SECONDS = "time/step_seconds"
SELECTION = "gates/selection"  # a picture

# {heading: {chart: pattern of the tags that it shows}}; for the eye, the first question first.
_DASHBOARD = {
    "1. Is training healthy?": {
        "accuracy": r"(test|validation|train)/accuracy",
        "training loss": r"train/loss",
        "loss on the meta set": r"meta/meta_loss",
        "mean weight of right (clean) and of wrong (noisy) labels": r"example_weight/(clean|noisy)_mean",
        "what trust is made of": r"train/trust_.*",
        "what is particular to the method": r"train/(?!loss$|accuracy$|trust_).*",
        "learning rates": r"learning_rate/.*",
        "seconds of a step": STEP_SECONDS,
    },
    "2. Layers over time": {
        "layers selected": r"meta/selected_layers",
        "lowest layer selected": r"meta/lowest_layer",
        "share of the steps in which each layer was selected": r"gates/\d+_.*",
        "repeatability of each layer's scores": r"repeatability/.*",
    },
    "3. Algorithm 2": {
        "accuracy of each network": r"(test|validation)/network\d+_accuracy",
        "splits": r"split/.*",
    },
    "4. The paper's figures": {
        "Fig. 1b: seconds of each stage": r"time/stage_.*",
        "Fig. 3a: test accuracy": r"test/accuracy",
        "Fig. 3b: test loss": r"test/loss",
        "Fig. 1c and 4: variance of the meta gradient": r"meta/gradient_.*",
    },
}


def of_log(name: str) -> str:
    """The tag of a running mean of the steps, by its name in the logs."""
    return f"{'meta' if name in _OF_META_STEPS else 'train'}/{name}"


def matrix(name: str) -> str:
    """The tag of a picture of one of a method's matrices."""
    return f"method/{name}"


def learning_rate(optimizer: str) -> str:
    """The tag of an optimizer's rate."""
    return f"learning_rate/{optimizer}"


def evaluation(evaluated: str, name: str, prefix: str = "") -> str:
    """The tag of a figure of the evaluation on a set; `prefix` tells of which network."""
    return f"{evaluated}/{prefix}{name}"


def example_weight(labels: str, mean: bool = False) -> str:
    """The tag of the weights of the right ("clean") or wrong ("noisy") labels, or of their mean."""
    return f"example_weight/{labels}{'_mean' if mean else ''}"


def of_layer(group: str, number: int, layer: str) -> str:
    """The tag of a figure of a layer, "gates" or "repeatability"; number: l = 1..L."""
    return f"{group}/{number:03d}_{layer.replace('/', '.')}"


def meta_gradient(name: str) -> str:
    """The tag of a figure of the meta gradient (Fig. 4)."""
    return f"meta/gradient_{name}"


def stage(name: str) -> str:
    """The tag of the seconds of a stage of a step (Fig. 1b)."""
    return f"time/stage_{re.sub(r'[^a-z0-9]+', '_', name.lower())}"


def split(network: int, name: str) -> str:
    """The tag of a figure of a network's pseudo-clean split."""
    return f"split/network{network}_{name}"


def layout() -> layout_pb2.Layout:
    """The dashboard of all charts, as TensorBoard's plugin "custom scalars" takes it."""
    categories = []
    for heading, charts in _DASHBOARD.items():
        made = [
            # The plugin looks for a match at the beginning of a tag.
            layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=[f"^{pattern}$"]))
            for title, pattern in charts.items()
        ]
        categories.append(layout_pb2.Category(title=heading, chart=made, closed=heading[0] not in "12"))
    return layout_pb2.Layout(category=categories)
