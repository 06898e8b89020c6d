"""All methods on one data set, each with its best of three learning rates, in one table, the most accurate first.

    python -m benchmarks.baselines digits --study=symmetric_60
    python -m benchmarks.baselines cifar10n --study=worse_label --set=--data_dir=data --parallel=2

`benchmarks/baseline_rows.py` says which runs a study has. The rate of a row is chosen by runs with another seed, in
which a tenth of the training images, with the labels as they are given, is held out (`--validation_share=0.1`): the one
with the highest last accuracy on these. No test image has a say. It goes row by row and writes the file of `--json`
after each; interrupted, the same command goes on from there. With `--keep` a study is run in parts: rows that the file
has of other commands stay.
"""

import argparse
import json
import pathlib
import signal
import sys

from benchmarks import accuracy, baseline_rows, kept_rows, studies
from famus_tf.config import command_line
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table

RATES = (0.02, 0.05, 0.1)
CHOOSING_SEED = "100"
_NO_REPORT = ("--nolabel_report",)
_HELD_OUT = ("--validation_share=0.1", *_NO_REPORT)


def make_jobs(arguments, rates, plain_rate=None):
    """The runs of a study with given rates.

    Args:
      arguments: as `_parse` returns them.
      rates: {label: list of (rate, seed, further flags)}.
      plain_rate: that of cross-entropy, for rows that go on from its runs; None: not known yet.

    Returns:
      List of (`accuracy.Job`, rate).
    """
    made = []
    for label, flags in baseline_rows.rows(arguments.dataset, arguments.study).items():
        for rate, seed, further in rates.get(label, ()):
            directory = _directory(arguments, label, rate, seed)
            plain = str(_directory(arguments, baseline_rows.PLAIN, plain_rate, seed))
            common = f"--flagfile=flags/{arguments.dataset}.cfg", *studies.COMMON[arguments.dataset]
            where = f"--base_learning_rate={rate}", f"--seed={seed}", f"--workdir={directory}"
            own = [flag.replace(baseline_rows.PLAIN_RUN, plain) for flag in flags]
            flags_of_run = (*common, *own, *arguments.set, *further, *where)
            job = accuracy.Job(arguments.dataset, arguments.study, label, seed, directory, flags_of_run)
            made.append((job, rate))
    return made


def _directory(arguments, label, rate, seed):
    return arguments.runs / arguments.dataset / arguments.study / f"{accuracy.slug(label)}_rate{rate}_seed{seed}"


def try_rates(arguments, label, log, plain_rate=None):
    """Runs a row at each rate.

    Returns:
      {rate: last accuracy on what is held out}, {job: why it failed}.
    """
    asked = {label: [(rate, CHOOSING_SEED, _HELD_OUT) for rate in RATES]}
    jobs = make_jobs(arguments, asked, plain_rate)
    finished, failed = accuracy.train([job for job, _ in jobs], arguments.parallel, log)
    found = {}
    for job, rate in jobs:
        if job in finished:
            history = json.loads((finished[job] / "results.json").read_text())["history"]
            found[rate] = history[-1]["validation_accuracy"]
    return found, failed


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
        follow = [one for one in labels if any(baseline_rows.PLAIN_RUN in flag for flag in known[one])]
        if follow and baseline_rows.PLAIN not in labels:
            raise InputError(f"--only: {follow[0]} goes on from the runs of cross_entropy; expected that row too")
        kept = _kept_rows(arguments, labels) if arguments.keep else []
        rows, failed = _run(arguments, labels, kept)
    except InputError as error:
        print(f"baselines: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("baselines: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    if rows:
        print(table.format_rows(rows, arguments.markdown))
        print("learning rates, by what is held out:")
        print("\n".join(f"  {row['method']}: {row['learning_rate']}" for row in rows))
    for job, failure in failed.items():
        print(f"baselines: {job.name} failed: {failure}", file=sys.stderr)
    return 1 if failed else 0


def _run(arguments, labels, kept):
    """Runs the rows one by one.

    Returns:
      The table's rows, and {job: why it failed}.
    """
    groups, of_choice, failed, rows = {}, {}, {}, kept
    plain_rate = None
    for label in labels:
        found, failures = try_rates(arguments, label, _say, plain_rate)
        failed |= failures
        if not found:
            continue
        rate = best(found)
        runs = [(rate, seed, _NO_REPORT) for seed in arguments.seeds.split(",")]
        plain_rate = rate if label == baseline_rows.PLAIN else plain_rate
        jobs = [job for job, _ in make_jobs(arguments, {label: runs}, plain_rate)]
        finished, failures = accuracy.train(jobs, arguments.parallel, _say)
        failed |= failures
        if finished:
            groups[label] = [table.read_run(finished[job]) for job in jobs if job in finished]
            held_out = {str(tried): value for tried, value in found.items()}
            of_choice[label] = {"learning_rate": rate, "validation_accuracy_by_rate": held_out}
            rows = _rows(groups, of_choice, kept)
            if arguments.json:
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                table.write_json(arguments.json, rows)
    return rows, failed


def _rows(groups, of_choice, kept):
    """The rows of what has been run and of what is kept, the highest last accuracy first."""
    labels, runs = list(groups), list(groups.values())
    rows = table.with_provenance(table.rows(runs, labels), runs)
    rows = [row | of_choice[row["method"]] for row in rows] + [row for row in kept if row["method"] not in groups]
    return sorted(rows, key=lambda row: -row["last_test_accuracy"]["mean"])


def _kept_rows(arguments, labels):
    if not arguments.json.exists():
        return []
    try:
        kept = json.loads(arguments.json.read_text(encoding="utf-8"))
        rate_of = {row["method"]: row["learning_rate"] for row in kept}
        seed_of = {row["method"]: row["seeds"][0] for row in kept}
    except (ValueError, TypeError, KeyError, IndexError):
        raise InputError(f"--json={arguments.json}: expected a file that this command wrote") from None
    every = {label: [(RATES[0], "0", ())] for label in baseline_rows.rows(arguments.dataset, arguments.study)}
    rates = {label: [(rate, seed_of[label], _NO_REPORT)] for label, rate in rate_of.items()}
    jobs = [job for job, _ in make_jobs(arguments, every | rates, rate_of.get(baseline_rows.PLAIN))]
    wanted = {job.label: command_line.read_config(["famus_tf.main", *job.flags]) for job in jobs}
    return kept_rows.read(arguments.json, wanted, labels, arguments.study)


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
    made.add_argument("--keep", action="store_true", help="keep the rows that the file of --json has of other runs")
    arguments = made.parse_args(argv)
    if arguments.keep and not arguments.json:
        made.error("--keep: expected --json with it")
    if arguments.study not in baseline_rows.STUDIES[arguments.dataset]:
        made.error(f"--study={arguments.study}: expected one of {', '.join(baseline_rows.STUDIES[arguments.dataset])}")
    return arguments


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the runs are ended too
    sys.exit(closed_pipe.status_of(main))
