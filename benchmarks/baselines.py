"""All methods on one data set, each with its best of three learning rates, in one table, the most accurate first.

    python -m benchmarks.baselines digits --study=symmetric_60
    python -m benchmarks.baselines cifar10n --study=worse_label --set=--data_dir=data --parallel=2

`benchmarks/baseline_rows.py` says which runs a study has. The rate of a row is chosen by runs with another seed, in
which a tenth of the training images, with the labels as they are given, is held out (`--validation_share=0.1`): the one
with the highest last accuracy on these. No test image has a say. Interrupted, the same command goes on from there.
"""

import argparse
import json
import pathlib
import signal
import statistics
import sys

from benchmarks import accuracy, baseline_rows, studies
from famus_tf.config import command_line
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table

RATES = (0.02, 0.05, 0.1)
CHOOSING_SEED = "100"
_HELD_OUT = ("--validation_share=0.1", "--nolabel_report")


def make_jobs(arguments, rates):
    """The runs of a study with given rates.

    Args:
      arguments: as `_parse` returns them.
      rates: {label: list of (rate, seed, further flags)}.

    Returns:
      List of (`accuracy.Job`, rate).
    """
    made = []
    for label, flags in baseline_rows.rows(arguments.dataset, arguments.study).items():
        for rate, seed, further in rates.get(label, ()):
            name = f"{accuracy.slug(label)}_rate{rate}_seed{seed}"
            directory = arguments.runs / arguments.dataset / arguments.study / name
            common = f"--flagfile=flags/{arguments.dataset}.cfg", *studies.COMMON[arguments.dataset]
            where = f"--base_learning_rate={rate}", f"--seed={seed}", f"--workdir={directory}"
            flags_of_run = (*common, *flags, *arguments.set, *further, *where)
            job = accuracy.Job(arguments.dataset, arguments.study, label, seed, directory, flags_of_run)
            made.append((job, rate))
    return made


def choose(arguments, labels, log):
    """The rate of each row, by what is held out.

    Returns:
      {label: rate}, {label: {rate: last accuracy on what is held out}}, {job: why it failed}.
    """
    asked = {label: [(rate, CHOOSING_SEED, _HELD_OUT) for rate in RATES] for label in labels}
    jobs = make_jobs(arguments, asked)
    finished, failed = accuracy.train([job for job, _ in jobs], arguments.parallel, log)
    found = {label: {} for label in labels}
    for job, rate in jobs:
        if job in finished:
            history = json.loads((finished[job] / "results.json").read_text())["history"]
            found[job.label][rate] = history[-1]["validation_accuracy"]
    chosen = {label: best(by_rate) for label, by_rate in found.items() if by_rate}
    return chosen, found, failed


def best(by_rate):
    """The rate with the highest accuracy; of equals the smallest."""
    return max(sorted(by_rate), key=by_rate.get)


def main(argv=None):
    """Runs one command line and returns the exit status: 1 where a run failed, 2 for a mistake in the command."""
    arguments = _parse(argv)
    known = baseline_rows.rows(arguments.dataset, arguments.study)
    slugs = {accuracy.slug(label): label for label in known}
    try:
        unknown = [name for name in arguments.only if name not in slugs]
        if unknown:
            raise InputError(f"--only={unknown[0]}: expected some of {', '.join(slugs)}")
        labels = [label for name, label in slugs.items() if not arguments.only or name in arguments.only]
        chosen, found, failed = choose(arguments, labels, _say)
        seeds = arguments.seeds.split(",")
        rates = {label: [(rate, seed, ("--nolabel_report",)) for seed in seeds] for label, rate in chosen.items()}
        jobs = [job for job, _ in make_jobs(arguments, rates)]
        finished, further = accuracy.train(jobs, arguments.parallel, _say)
        if finished:
            print(_report(arguments, jobs, finished, chosen, found))
    except InputError as error:
        print(f"baselines: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    for job, failure in (failed | further).items():
        print(f"baselines: {job.name} failed: {failure}", file=sys.stderr)
    return 1 if failed or further else 0


def _report(arguments, jobs, finished, chosen, found):
    """Writes the JSON where it is asked for; returns the table, sorted by the last accuracy."""
    last = {}
    for job in jobs:
        if job in finished:
            run = table.read_run(finished[job])
            last.setdefault(job.label, []).append(run.number("test_accuracy", "last"))
    order = sorted(last, key=lambda label: -statistics.fmean(last[label]))
    runs = [
        [table.read_run(finished[job]) for job in jobs if job.label == label and job in finished] for label in order
    ]
    rows = table.with_provenance(table.rows(runs, order), runs)
    for row, label in zip(rows, order, strict=True):
        held_out = {str(rate): value for rate, value in found[label].items()}
        row |= {"learning_rate": chosen[label], "validation_accuracy_by_rate": held_out}
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        table.write_json(arguments.json, rows)
    rates = "\n".join(f"  {label}: {chosen[label]}" for label in order)
    return f"{table.format_rows(rows, arguments.markdown)}\nlearning rates, by what is held out:\n{rates}"


def _say(line):
    print(line, flush=True)


def _parse(argv):
    made = argparse.ArgumentParser(
        prog="baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("dataset", choices=tuple(baseline_rows.STUDIES))
    made.add_argument("--study", required=True, help="one of the data set's studies")
    made.add_argument("--seeds", default="0,1,2", help="joined by commas (default: %(default)s)")
    made.add_argument("--parallel", type=int, default=1, help="runs at a time (default: %(default)s)")
    made.add_argument(
        "--only", type=lambda text: text.split(","), default=[], help="only these rows, as directories are"
    )
    made.add_argument("--set", metavar="--FLAG=VALUE", action="append", default=[], help="a flag for every run")
    made.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs", "baselines"))
    made.add_argument("--markdown", action="store_true")
    made.add_argument("--json", type=pathlib.Path, help="file to write")
    arguments = made.parse_args(argv)
    if arguments.study not in baseline_rows.STUDIES[arguments.dataset]:
        made.error(f"--study={arguments.study}: expected one of {', '.join(baseline_rows.STUDIES[arguments.dataset])}")
    return arguments


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the runs are ended too
    sys.exit(closed_pipe.status_of(main))
