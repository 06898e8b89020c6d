"""What the commands that train one row of a study have in common: arguments, runs of the program, means over seeds."""

import pathlib
import statistics
import subprocess
import sys

from benchmarks import accuracy, command, settings, studies
from benchmarks.record import Record
from famus_tf.config import command_line
from famus_tf.errors import InputError


def parser(module, text):
    """An `argparse.ArgumentParser` of a study, one of its rows, seeds, flags for every run, and files to write.

    Args:
      module: name of the command's module.
      text: its docstring.
    """
    made = command.bare_parser(module, text)
    made.add_argument("dataset", choices=tuple(studies.STUDIES))
    made.add_argument("--study", required=True, help="one of the data set's studies")
    made.add_argument("--row", default="remembering_agreement", help="of the study (default %(default)s)")
    made.add_argument(
        "--seeds", type=whole_numbers, default=[0, 1, 2], help="whole numbers joined by commas (default 0,1,2)"
    )
    made.add_argument(
        "--set", metavar="--FLAG=VALUE", action="append", default=[], help="a flag for every run; may be repeated"
    )
    runs = pathlib.Path("runs", module.rpartition(".")[2])
    made.add_argument("--runs", type=pathlib.Path, default=runs, help="folder of the runs (default %(default)s)")
    made.add_argument("--json", type=pathlib.Path, help="file to write")
    return made


def whole_numbers(text):
    """A list of ints of 0 or more from texts joined by commas, for `argparse`."""
    return [settings.non_negative(part) for part in text.split(",")]


def run(made, argv, measure, show):
    """Parses `argv`, measures, shows and writes the results; returns the exit status: 2 with one line for a mistake.

    Args:
      made: what `parser` returned.
      argv: list of arguments, None for the process's own.
      measure: of the parsed arguments; returns the results.
      show: of the results; prints them.
    """
    arguments = made.parse_args(argv)
    record = Record(arguments)
    try:
        results = measure(arguments)
        if arguments.json:
            record.write(arguments.json, results=results)
    except (InputError, OSError) as error:
        print(f"{made.prog}: error: {command_line.with_flags(str(error))}", file=sys.stderr)
        return 2
    show(results)
    return 0


def train(flags, log):
    """Runs famus_tf with `flags` in a process of its own; its output goes to the file `log`.

    Raises:
      InputError: The run failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        done = subprocess.run([sys.executable, "-m", "famus_tf.main", *flags], stdout=file, stderr=file, check=False)
    if done.returncode:
        raise InputError(f"{log}: exit status {done.returncode}, {accuracy.last_line(log)}")


def spread(values):
    """{"mean", "std", "values"} over the seeds; std: the sample's standard deviation, None for one seed."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "values": values}


def text(figures, form):
    """`mean ± std` of what `spread` returned, each formatted by `form`, as `.3f`; n/a for None."""
    if figures is None:
        return "n/a"
    shown = [figures["mean"]] if figures["std"] is None else [figures["mean"], figures["std"]]
    return " ± ".join(format(value, form) for value in shown)
