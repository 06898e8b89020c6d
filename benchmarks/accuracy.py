"""Trains a study's methods over several seeds and prints their table, which is that of docs/results.md.

    python -m benchmarks.accuracy digits
    python -m benchmarks.accuracy fashion_mnist --study=lambda_cost --seeds=0,1 --parallel=2 --markdown
    python -m benchmarks.accuracy digits --only=cross_entropy,famus --set=--epochs=2 --runs=runs/trial

benchmarks/studies.py says which runs a study has. Each is one `python -m famus_tf.main` in a run directory of its own,
<--runs>/<data set>/<study>/<name>_seed<k>, with its output in log.txt there. With --parallel=p, p runs at a time have
a p-th of the cores each to themselves. Interrupted, the same command goes on where it stopped. A finished run is not
run again, nor is one whose equal is finished in another study. A run that fails does not stop the others.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks import accuracy_curves, kept_rows, studies
from famus_tf.config import command_line
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run: its data set, study, the label of its row in the table, seed, directory and all its flags."""

    dataset: str
    study: str
    label: str
    seed: str
    directory: pathlib.Path
    flags: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.directory.name


def slug(label: str) -> str:
    """A row's label as part of a file name: "MW-Net exact" -> "mw_net_exact"."""
    return re.sub(r"[^a-z0-9.]+", "_", label.lower()).strip("_")


def make_jobs(
    dataset: str, study: str, seeds: Sequence[str], only: Sequence[str], extra: Sequence[str], root: pathlib.Path
) -> list[Job]:
    """The runs of a study, all of the first seed first, so that an early look at the table compares all methods.

    Args:
      dataset, study: keys of `studies.STUDIES`.
      seeds: whole numbers as text.
      only: slugs of the labels to run; all where empty.
      extra: flags for every run, which override the study's.
      root: parent of the data sets' directories.

    Raises:
      InputError: `only` has a name that the study lacks.
    """
    if study not in studies.STUDIES[dataset]:
        raise InputError(f"--study={study}: expected, of {dataset}, one of {', '.join(studies.STUDIES[dataset])}")
    rows = {slug(label): (label, flags) for label, flags in studies.STUDIES[dataset][study].items()}
    unknown = [name for name in only if name not in rows]
    if unknown:
        raise InputError(f"--only={unknown[0]}: expected some of {', '.join(rows)}")
    jobs = []
    for seed in seeds:
        for name, (label, flags) in rows.items():
            if only and name not in only:
                continue
            directory = root / dataset / study / f"{name}_seed{seed}"
            flagfile = f"--flagfile=flags/{dataset}.cfg"
            where = (f"--seed={seed}", f"--workdir={directory}")
            jobs.append(
                Job(
                    dataset, study, label, seed, directory, (flagfile, *studies.COMMON[dataset], *flags, *extra, *where)
                ),
            )
    return jobs


def finished_directory(job: Job) -> pathlib.Path | None:
    """Where the run is finished: its own directory or that of an equal run in another study; None where nowhere.

    Raises:
      InputError: a flag is wrong, or the run's own directory holds a run with other flags.
    """
    wanted = command_line.read_config(["famus_tf.main", *job.flags])
    flags_file = job.directory / "flags.cfg"
    difference = wanted.first_difference(flags_file.read_text().splitlines()) if flags_file.exists() else None
    if difference:
        raise InputError(f"{job.directory}: made with other flags; {difference}; expected another --runs")
    for results in (job.directory / "results.json", *sorted(job.directory.parents[1].glob("*/*/results.json"))):
        saved = results.with_name("flags.cfg")
        both = results.exists() and saved.exists()
        if both and wanted.first_difference(saved.read_text().splitlines()) is None:
            return results.parent
    return None


def split_cores(parallel: int) -> list[list[int]]:
    """Disjoint equal parts of the cores that this process may use, one for each of `parallel` runs.

    Raises:
      InputError: there are fewer cores than runs.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    share = len(cores) // parallel
    if share == 0:
        raise InputError(f"--parallel={parallel}: expected at most the {len(cores)} cores of this machine")
    return [cores[slot * share : (slot + 1) * share] for slot in range(parallel)]


class Runner:
    """Runs jobs, several at a time, each on cores of its own so that their step times can be compared.

    Args:
      parallel: number of runs at a time.

    Raises:
      InputError: there are fewer cores than runs.
    """

    def __init__(self, parallel: int):
        parts = split_cores(parallel)
        self._parallel = parallel
        self._threads = len(parts[0])
        self._free: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        for part in parts:
            self._free.put(part)
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen] = set()
        self._stopped = False

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str | None]]:
        """Yields each job when it ends, with None or with why it failed; ends what still runs when it is closed."""
        pool = concurrent.futures.ThreadPoolExecutor(self._parallel, initializer=self._pin)
        futures = {pool.submit(self._run, job): job for job in jobs}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._stop()
            pool.shutdown()

    def _pin(self) -> None:
        # A process starts with the affinity of the thread that starts it.
        part = self._free.get()
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, part)

    def _run(self, job: Job) -> str | None:
        threads = str(self._threads)
        environment = os.environ | {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-m", "famus_tf.main", *job.flags]
        log = job.directory / "log.txt"
        try:
            job.directory.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as output:
                with self._lock:
                    if self._stopped:
                        return "not started"
                    process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
                    self._processes.add(process)
                status = process.wait()
            with self._lock:
                self._processes.remove(process)
            if status == 0:
                return None
            return f"exit status {status}, {last_line(log)} ({log})"
        except OSError as error:
            return f"{log}: {error.strerror or error}"

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()


def last_line(log: pathlib.Path) -> str:
    """The last words of a run that failed, from the file that has its output."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


def train(jobs: Sequence[Job], parallel: int, log: Callable[[str], None]) -> tuple[dict, dict]:
    """Runs what is not finished yet.

    Args:
      jobs: as `make_jobs` returns them.
      parallel: number of runs at a time.
      log: function of a progress line, called for each run that ends.

    Returns:
      {job: directory of the finished run} and {job: why it failed}.

    Raises:
      InputError: there are fewer cores than runs.
    """
    finished: dict[Job, pathlib.Path] = {}
    failed: dict[Job, str] = {}
    todo = []
    runner = Runner(parallel)
    for job in jobs:
        try:
            directory = finished_directory(job)
        except InputError as error:
            failed[job] = str(error)
            continue
        if directory:
            finished[job] = directory
        else:
            todo.append(job)
    if finished or failed:
        log(f"{len(finished)} of {len(jobs)} runs are finished already, {len(failed)} cannot be run")
    start = time.monotonic()
    with contextlib.closing(runner.run(todo)) as ended:
        for done, (job, failure) in enumerate(ended, start=1):
            if failure:
                failed[job] = failure
            else:
                finished[job] = job.directory
            elapsed = time.monotonic() - start
            remaining = elapsed / done * (len(todo) - done)
            outcome = f"failed: {failure}" if failure else _accuracy(job.directory)
            log(f"[{done}/{len(todo)}] {job.name}: {outcome}; {_clock(elapsed)} elapsed, {_clock(remaining)} remaining")
    return finished, failed


def report(
    jobs: Sequence[Job],
    finished: dict,
    markdown: bool,
    out: pathlib.Path | None,
    plot: pathlib.Path | None = None,
    kept: Sequence[dict] = (),
) -> str:
    """The table of the finished runs, a row for each label in the study's order.

    Args:
      jobs, finished: as `make_jobs` and `train` return them.
      markdown: whether it is a Markdown table.
      out: JSON file for the numbers; None for none.
      plot: PNG file for the accuracies over the epochs; None for none.
      kept: further rows, of earlier commands, with the ratio to their own cross-entropy.

    Raises:
      InputError: a run has nothing to draw.
    """
    groups: dict[str, list[table.Run]] = {}
    for job in jobs:
        if job in finished:
            groups.setdefault(job.label, []).append(table.read_run(finished[job]))
    labels = dict.fromkeys(job.label for job in jobs)
    order = [label for label in labels if label in groups]
    runs = [groups[label] for label in order]
    numbers = table.with_provenance(table.rows(runs, order), runs)
    if kept:
        study = list(studies.STUDIES[jobs[0].dataset][jobs[0].study])
        numbers += [row for row in kept if row["method"] not in order]
        numbers.sort(key=lambda row: study.index(row["method"]))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        table.write_json(out, numbers)
    if plot:
        accuracy_curves.draw(plot, runs, order)
    return table.format_rows(numbers, markdown)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns the exit status: 1 where a run failed, 2 for a mistake in the command."""
    arguments = _parse(argv)
    try:
        only = arguments.only.split(",") if arguments.only else []
        seeds = arguments.seeds.split(",")
        jobs = make_jobs(arguments.dataset, arguments.study, seeds, only, arguments.set, arguments.runs)
        out = arguments.json
        kept = _kept_rows(arguments, jobs) if arguments.keep else ()
        finished, failed = train(jobs, arguments.parallel, lambda line: print(line, flush=True))
        if not (out or only or arguments.set):  # a part of a study must not replace the numbers of the whole
            out = pathlib.Path("benchmarks", "results", f"{arguments.dataset}_{arguments.study}.json")
        if finished:
            print(report(jobs, finished, arguments.markdown, out, arguments.plot, kept))
    except InputError as error:
        print(f"accuracy: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"accuracy: error: {error.filename}: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("accuracy: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    for job, failure in failed.items():
        print(f"accuracy: {job.name} failed: {failure}", file=sys.stderr)
    return 1 if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", choices=tuple(studies.STUDIES))
    known = tuple(dict.fromkeys(itertools.chain.from_iterable(studies.STUDIES.values())))
    parser.add_argument("--study", choices=known, help="default: the data set's first")
    parser.add_argument("--seeds", default="0,1,2", help="joined by commas (default: %(default)s)")
    parser.add_argument("--parallel", type=_count, default=1, help="runs at a time (default: %(default)s)")
    parser.add_argument("--only", metavar="NAME,...", help="only these rows, named as their run directories are")
    parser.add_argument(
        "--set", metavar="--FLAG=VALUE", action="append", default=[], help="a flag for every run; may be repeated"
    )
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs", "accuracy"))
    parser.add_argument(
        "--json",
        metavar="OUT",
        type=pathlib.Path,
        help="where the numbers go (default: benchmarks/results/<data set>_<study>.json; none with --only or --set)",
    )
    parser.add_argument("--keep", action="store_true", help="keep the rows that the file of --json has of other runs")
    parser.add_argument("--plot", metavar="PNG", type=pathlib.Path, help="draw the test accuracies over the epochs")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    arguments = parser.parse_args(argv)
    if arguments.keep and not arguments.json:
        parser.error("--keep: expected --json with it")
    arguments.study = arguments.study or next(iter(studies.STUDIES[arguments.dataset]))
    return arguments


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive whole number")
    return number


def _kept_rows(arguments, jobs):
    of_study = make_jobs(arguments.dataset, arguments.study, ["0"], (), arguments.set, arguments.runs)
    wanted = {job.label: command_line.read_config(["famus_tf.main", *job.flags]) for job in of_study}
    return kept_rows.read(arguments.json, wanted, {job.label for job in jobs}, arguments.study)


def _accuracy(directory: pathlib.Path) -> str:
    accuracy = json.loads((directory / "results.json").read_text(encoding="utf-8"))["test_accuracy"]
    return f"test accuracy {100 * accuracy['last']:.1f} (peak {100 * accuracy['peak']:.1f})"


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the runs are ended too
    sys.exit(closed_pipe.status_of(main))
