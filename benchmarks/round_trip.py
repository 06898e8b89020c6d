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
import pathlib
import statistics
import subprocess
import sys

import numpy as np

from benchmarks import accuracy, studies
from benchmarks.record import Record
from famus_tf.config import command_line
from famus_tf.errors import InputError
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
            _run([*learned.flags, "--mode=clean", *flags], learned.directory / "log_clean.txt")
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
        directory.mkdir(parents=True, exist_ok=True)
        _run(flags, directory / "log.txt")
    return json.loads(results.read_text())["test_accuracy"]["last"]


def _run(flags, log):
    with open(log, "ab") as file:
        done = subprocess.run([sys.executable, "-m", "famus_tf.main", *flags], stdout=file, stderr=file, check=False)
    if done.returncode:
        raise InputError(f"{log.parent}: exit status {done.returncode}; {log} says why")


def main(argv=None):
    """Runs one command line and returns the exit status: 2 for a mistake in it, or where a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.round_trip",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", choices=tuple(studies.STUDIES))
    parser.add_argument("--study", required=True, help="one of the data set's studies, with a row cross-entropy")
    parser.add_argument("--row", default="remembering_agreement", help="of the study (default %(default)s)")
    parser.add_argument("--seeds", default="0,1,2", help="whole numbers joined by commas (default %(default)s)")
    parser.add_argument(
        "--above", type=float, default=0.5, help="suspicion of what is distrusted (default %(default)s)"
    )
    parser.add_argument(
        "--set", metavar="--FLAG=VALUE", action="append", default=[], help="a flag for every run; may be repeated"
    )
    parser.add_argument(
        "--runs", type=pathlib.Path, default=pathlib.Path("runs", "round_trip"), help="folder of the runs"
    )
    parser.add_argument("--json", type=pathlib.Path, help="file to write")
    arguments = parser.parse_args(argv)
    record = Record(arguments)
    try:
        seeds = arguments.seeds.split(",")
        if not all(seed.isdecimal() for seed in seeds) or not 0 <= arguments.above < 1:
            raise InputError(
                f"--seeds={arguments.seeds}, --above={arguments.above}: expected whole numbers joined by commas, and a "
                "number in [0, 1)"
            )
        which = arguments.dataset, arguments.study, arguments.row
        found = [measure(*which, seed, arguments.set, arguments.above, arguments.runs) for seed in seeds]
        results = summary(found)
        if arguments.json:
            record.write(arguments.json, results=results)
    except (InputError, OSError) as error:
        print(f"round_trip: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    lines = [[name, _percent(row["accuracy"]), _percent(row["wrong"])] for name, row in results.items()]
    print(table.format_table([["trained", "last test accuracy", "wrong labels"], *lines], markdown=True))
    return 0


def summary(seeds):
    """{what was trained: {figure: {"mean", "std", "values"}}} of a list of what `measure` returned."""
    result = {}
    for name in seeds[0]:
        result[name] = {}
        for figure in ("accuracy", "wrong"):
            values = [found[name][figure] for found in seeds]
            std = statistics.stdev(values) if len(values) > 1 else None
            result[name][figure] = {"mean": statistics.fmean(values), "std": std, "values": values}
    return result


def _percent(spread):
    return f"{spread['mean']:.1%}" + ("" if spread["std"] is None else f" ± {spread['std']:.1%}")


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
