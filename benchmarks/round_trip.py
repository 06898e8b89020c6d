"""From the report of distrusted labels to cleaned lists and a training on those: what it is worth.

    python -m benchmarks.round_trip fashion_mnist --study=memory_asymmetric_20 --seeds=0,1,2

For each seed: the study's row and its cross-entropy row are trained (`benchmarks.accuracy`), the labels that the row's
report distrusts (a suspicion above `--above`) are dropped, or relabelled as its network predicts (`--mode=clean`), and
both methods are trained on each cleaned list. Last test accuracy, and the share of wrong labels that were trained on;
mean ± sample standard deviation. Finished runs are not trained again.
"""

import argparse
import csv
import json
import sys

import numpy as np

from benchmarks import accuracy, study_command
from famus_tf.experiment import clean
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table
from famus_tf.reports import label_report

_PLAIN = "cross_entropy"
_ACTIONS = {"drop": "dropped", "relabel": "relabelled"}


def measure(dataset, study, row, seed, extra, above, root):
    """One seed: {what was trained: {"accuracy": last test accuracy, "wrong": share of wrong labels}}."""
    jobs = accuracy.make_jobs(dataset, study, [seed], [row, _PLAIN], extra, root)
    found = {}
    for job in jobs:
        found[f"{job.label}, given labels"] = {"accuracy": _trained(job.directory, job.flags)}
    (learned,) = (job for job in jobs if job.label != "cross-entropy")
    lines = label_report.read_csv(learned.directory / "labels.csv")
    truth = _true_labels(learned.directory / "labels.csv")
    for figures in found.values():
        figures["wrong"] = wrong_share(lines, truth, {line.index: line.given for line in lines if not line.is_trusted})
    for action, name in _ACTIONS.items():
        labels, _ = clean.decided(lines, {}, 0.0, action, above)
        flags = f"--clean_above={above}", f"--clean_action={action}"
        runs = {f"{job.label}, distrusted {name}": job for job in jobs}
        places = {label: learned.directory / f"{action}_{accuracy.slug(job.label)}" for label, job in runs.items()}
        if not all((place / "results.json").exists() for place in places.values()):
            study_command.train([*learned.flags, "--mode=clean", *flags], learned.directory / "log_clean.txt")
        again = f"--flagfile={learned.directory / 'cleaned' / 'cleaned.cfg'}"
        for label, job in runs.items():
            method = ["--method=cross_entropy"] if job is not learned else []
            place = places[label]
            figures = {"accuracy": _trained(place, [again, *method, "--nolabel_report", f"--workdir={place}"])}
            found[label] = figures | {"wrong": wrong_share(lines, truth, labels)}
    return found


def wrong_share(lines, truth, labels):
    """The share of wrong labels among those that are trained on.

    Args:
      lines: list of `label_report.Line`.
      truth: {index: name of the true class}.
      labels: {index: name of the class} of the training images.
    """
    known = [line.index for line in lines if not line.is_trusted and line.index in labels]
    return float(np.mean([labels[index] != truth[index] for index in known]))


def _true_labels(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {int(row["index"]): row["true_label"] for row in csv.DictReader(file)}


def _trained(directory, flags):
    """Trains, unless that is done; returns the last test accuracy."""
    results = directory / "results.json"
    if not results.exists():
        study_command.train(flags, directory / "log.txt")
    return json.loads(results.read_text())["test_accuracy"]["last"]


def summary(seeds):
    """{what was trained: {figure: {"mean", "std", "values"}}} of a list of what `measure` returned."""
    figures = "accuracy", "wrong"
    return {
        name: {figure: study_command.spread([found[name][figure] for found in seeds]) for figure in figures}
        for name in seeds[0]
    }


def _measured(arguments):
    which = arguments.dataset, arguments.study, arguments.row
    return summary([measure(*which, seed, arguments.set, arguments.above, arguments.runs) for seed in arguments.seeds])


def _show(results):
    lines = [
        [name, study_command.text(row["accuracy"], ".1%"), study_command.text(row["wrong"], ".1%")]
        for name, row in results.items()
    ]
    print(table.format_table([["trained", "last test accuracy", "wrong labels"], *lines], markdown=True))


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it, or where a run failed."""
    parser = study_command.parser("benchmarks.round_trip", __doc__)
    parser.add_argument(
        "--above", type=_suspicion, default=0.9, help="suspicion of what is distrusted (default %(default)s)"
    )
    return study_command.run(parser, argv, _measured, _show)


def _suspicion(text):
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number in [0, 1)")
    return value


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
