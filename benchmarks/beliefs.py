"""Draws which layers carried the meta gradient of some runs, and what their learner believed, over the epochs.

    python -m benchmarks.beliefs runs/human runs/flips --labels="human labels,40% asymmetric" --plot=beliefs.png

A column for each run, of a learner that remembers: above its layers by epochs, coloured by the share of the meta steps
in which each was selected; below the shares of the mixture of what it remembers, and the test accuracy.
"""

import argparse
import json
import pathlib
import sys

import matplotlib.figure
import numpy as np

from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import names as drawable
from famus_tf.reports import pictures

_TRUST = "trust_"
_NAMES = {"probability": "p(given label)", "score": "score", "loss": "loss", "agreement": "agreement"}


def read_history(directory):
    """The epochs of a run with meta steps, a list of dicts.

    Raises:
      InputError: there are no results, or none of a learner that remembers.
    """
    path = pathlib.Path(directory, "results.json")
    try:
        history = json.loads(path.read_text(encoding="utf-8"))["history"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: expected the results of a finished run ({error})") from error
    history = [epoch for epoch in history if epoch.get("gates") and any(name.startswith(_TRUST) for name in epoch)]
    if not history:
        raise InputError(f"{path}: no epoch with selected layers and a mixture; expected --method=memory_weight_net")
    return history


def draw(path, histories, labels):
    """Writes a PNG file; histories as from `read_history`, labels one text for each."""
    figure = matplotlib.figure.Figure(figsize=(1.0 + 3.4 * len(histories), 5.6), layout="constrained")
    rows = figure.subplots(2, len(histories), sharex="col", sharey="row", squeeze=False, height_ratios=(1.0, 1.0))
    for number, (history, label) in enumerate(zip(histories, labels, strict=True)):
        above, below = rows[:, number]
        epochs = np.array([epoch["epoch"] for epoch in history])
        gates = np.array([epoch["gates"] for epoch in history]).T
        edges = epochs[0] - 0.5, epochs[-1] + 0.5, 0.5, len(gates) + 0.5
        image = above.imshow(
            gates, aspect="auto", origin="lower", interpolation="nearest", cmap="viridis", vmin=0, vmax=1, extent=edges
        )
        (text,), options = drawable.drawn([label])
        above.set_title(text, fontsize=10, **options)
        names = [name.removeprefix(_TRUST) for name in history[0] if name.startswith(_TRUST)]
        shares = np.array([[epoch[_TRUST + name] for epoch in history] for name in names])
        below.stackplot(epochs, shares, labels=[_NAMES.get(name, name) for name in names], alpha=0.7)
        below.plot(epochs, [epoch["test_accuracy"] for epoch in history], color="black", label="test accuracy")
        below.set(xlabel="epoch", ylim=(0, 1))
        below.xaxis.get_major_locator().set_params(integer=True)
    rows[0, 0].set_ylabel("layer, from the input up")
    rows[1, 0].set_ylabel("share of the mixture")
    rows[0, 0].yaxis.get_major_locator().set_params(integer=True)
    rows[1, -1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.colorbar(image, ax=rows[0, :].tolist(), label="selected", pad=0.01)
    pictures.save_figure(figure, path)


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.beliefs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directory")
    parser.add_argument(
        "--labels", default="", help="of the columns, joined by commas (default: the directories' names)"
    )
    parser.add_argument("--plot", type=pathlib.Path, required=True, help="PNG file to write")
    arguments = parser.parse_args(argv)
    labels = arguments.labels.split(",") if arguments.labels else [pathlib.Path(run).name for run in arguments.runs]
    try:
        if len(labels) != len(arguments.runs):
            raise InputError(f"--labels: {len(labels)} for {len(arguments.runs)} runs; expected one for each")
        draw(arguments.plot, [read_history(run) for run in arguments.runs], labels)
    except (InputError, OSError) as error:
        print(f"beliefs: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
