"""Draws the test accuracy of each class over the class's size, a line for each method.

    python -m benchmarks.class_accuracy RUN_DIR... [--out=class_accuracy.png] [--json=OUT]

Runs that differ in nothing but the seed are one line, their mean, in a band from the smallest to the largest. Their
classes must have the same sizes.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

import matplotlib.figure
import numpy as np

from benchmarks import bands
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table


def by_class(groups: Sequence[Sequence[table.Run]]) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
    """What the runs say of each class, the largest first.

    Args:
      groups: runs that differ in the seed only.

    Returns:
      Names [c], training images [c], and for each group accuracies [number of runs, c].

    Raises:
      InputError: a run says nothing of its classes, or its classes are others than those of the first run.
    """
    first = None
    accuracies = []
    for group in groups:
        rows = []
        for run in group:
            classes = run.results.get("classes")
            if not classes or any(one.get("test_accuracy") is None for one in classes):
                raise InputError("a run's results.json has no accuracy of each class; expected runs of this version")
            sizes = [(one["name"], one["training_images"]) for one in classes]
            first = first or sizes
            if sizes != first:
                raise InputError("runs with classes of other sizes; expected the same data in all")
            rows.append([one["test_accuracy"] for one in classes])
        accuracies.append(np.array(rows))
    counts = np.array([count for _, count in first])
    order = np.argsort(-counts, kind="stable")
    return [first[k][0] for k in order], counts[order], [rows[:, order] for rows in accuracies]


def draw(path: pathlib.Path, groups: Sequence[Sequence[table.Run]], labels: Sequence[str]) -> dict:
    """Draws a PNG file with a line for each group, and gives its numbers; InputError where there is nothing to draw."""
    names, counts, accuracies = by_class(groups)
    figure = matplotlib.figure.Figure(figsize=(10, 4.4), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(names))
    for number, (rows, label) in enumerate(zip(accuracies, labels, strict=True)):
        mean = 100 * rows.mean()
        style = "-" if number < 5 else "--"
        bands.draw(axes, place, 100 * rows, f"{label}: mean {mean:.1f}", style)
    if len(names) <= 30:
        ticks = [f"{name}\n{count:,}" for name, count in zip(names, counts, strict=True)]
        axes.set_xticks(place, ticks, fontsize=8)
    axes.set(xlabel="class and its training images, the largest first", ylabel="test accuracy (%)")
    bands.save(path, figure)
    lines = {label: rows.tolist() for label, rows in zip(labels, accuracies, strict=True)}
    return {"classes": names, "training_images": counts.tolist(), "test_accuracy": lines}


def main(argv: Sequence[str] | None = None) -> int:
    """Draws the runs in `argv`; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=pathlib.Path, nargs="+")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("class_accuracy.png"))
    parser.add_argument("--json", type=pathlib.Path, help="write the numbers to this file too")
    arguments = parser.parse_args(argv)
    try:
        groups = table.group_runs(map(table.read_run, dict.fromkeys(arguments.run_dirs)))
        numbers = draw(arguments.out, groups, table.name_groups(groups))
        if arguments.json:
            arguments.json.write_text(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except InputError as error:
        print(f"class_accuracy: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"class_accuracy: error: {error.filename}: cannot write it ({error.strerror})", file=sys.stderr)
        return 2
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
