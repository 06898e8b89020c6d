"""Draws the variance of the meta gradient over the training steps, as Fig. 4 of the paper; several runs in one picture.

    python -m benchmarks.meta_gradient_variance RUN_DIR... [--out=meta_gradient_variance.png]

For runs with --log_meta_gradient. Those that differ in nothing but the seed are one line, their mean, in a band from
the smallest to the largest. The right side divides by the squared norm of the mean gradient: a gradient that is only
smaller, because fewer layers add to it, has less variance on the left and the same on the right.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

import matplotlib.figure
import numpy as np

from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table

_PANELS = {
    "variance": "variance, mean over the components",
    "relative_variance": "variance / squared norm of the mean",
}


def curve(group: Sequence[table.Run], name: str) -> tuple[np.ndarray, np.ndarray]:
    """One of the figures of `EpochStatistics.close` over the epochs.

    Args:
      group: runs that differ in the seed only.
      name: "variance", "relative_variance" or "norm".

    Returns:
      Steps [T] at the epochs' ends, and values [number of runs, T]; epochs that a run lacks are left out.

    Raises:
      InputError: a run has no such figures.
    """
    by_run = []
    for run in group:
        history = run.results.get("history", [])
        by_step = {epoch["step"]: epoch.get("meta_gradient", {}).get(name) for epoch in history}
        by_run.append({step: value for step, value in by_step.items() if value is not None})
    steps = sorted(set.intersection(*map(set, by_run)))
    if not steps:
        raise InputError("no meta gradient recorded in one of the runs; expected runs with --log_meta_gradient")
    rows = [list(map(values.get, steps)) for values in by_run]
    return np.array(steps), np.array(rows)


def draw(path: pathlib.Path, groups: Sequence[Sequence[table.Run]], labels: Sequence[str]) -> None:
    """Draws a PNG file with a line for each group; InputError where a run has nothing to draw."""
    figure = matplotlib.figure.Figure(figsize=(10, 3.8), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
        for group, label in zip(groups, labels, strict=True):
            steps, values = curve(group, name)
            seeds = f"{len(group)} seeds" if len(group) > 1 else f"seed {group[0].seed}"
            (line,) = axes.plot(steps, values.mean(0), label=f"{label} ({seeds})")
            if len(group) > 1:
                axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set(xlabel="training step", yscale="log", title=title)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=9, loc="upper right")
    figure.suptitle("variance of the meta gradient over the meta steps of each epoch")
    figure.savefig(path, dpi=110)


def main(argv: Sequence[str] | None = None) -> int:
    """Draws the runs in `argv`; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dirs", metavar="RUN_DIR", type=pathlib.Path, nargs="+")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("meta_gradient_variance.png"))
    arguments = parser.parse_args(argv)
    try:
        groups = table.group_runs(map(table.read_run, dict.fromkeys(arguments.run_dirs)))
        draw(arguments.out, groups, table.name_groups(groups))
    except InputError as error:
        print(f"meta_gradient_variance: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"meta_gradient_variance: error: {arguments.out}: cannot write it ({error.strerror})", file=sys.stderr)
        return 2
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
