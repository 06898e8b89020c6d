"""What grows over a long run of digits: resident memory, open files, threads, and what lies in the run directory.

    python -m benchmarks.endurance --steps=20200 --workdir=runs/endurance --json=benchmarks/results/endurance.json

starts the command in a process of its own and looks at it from outside (Linux) whenever an epoch has ended. The run
directory must be new: a run that goes on would be measured from where it stopped.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

from benchmarks import record
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe

_ROOT = pathlib.Path(__file__).resolve().parent.parent


def watch(command, workdir, every):
    """Runs a training command to its end.

    Args:
      command: list of arguments, output in lines (no terminal).
      workdir: its run directory.
      every: steps between two samples.

    Returns:
      List of one dict for each sample, `step`, `seconds` since the start, `rss` (bytes), `open_files`, `threads`,
      `tensorboard` and `checkpoints` (bytes on disk); the first is that of the first epoch's end.

    Raises:
      InputError: the command failed.
    """
    start = time.perf_counter()
    samples = []
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        matched = re.match(r"epoch (\d+)/\d+, (?!step)", line)
        if matched:  # it has ended
            sample = {"epoch": int(matched[1]), "seconds": round(time.perf_counter() - start, 1)}
            samples.append(sample | _state(process.pid) | _on_disk(workdir))
    if process.wait():
        raise InputError(f"the run ended with status {process.returncode} ({lines[-1].strip() if lines else 'silent'})")
    history = json.loads((workdir / "results.json").read_text())["history"]
    kept = []
    due = 0
    for sample in samples:
        step = history[sample.pop("epoch") - 1]["step"]
        if step >= due:
            kept.append({"step": step} | sample)
            due = (step // every + 1) * every
    return kept


def _state(pid):
    process = pathlib.Path("/proc", str(pid))
    words = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {
        "rss": int(words["VmRSS"].split()[0]) * 1024,
        "open_files": len(list((process / "fd").iterdir())),
        "threads": int(words["Threads"]),
    }


def _on_disk(workdir):
    return {name: _size(workdir / name) for name in ("tensorboard", "checkpoints")}


def _size(folder):
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # renamed meanwhile
            continue
    return total


def main(argv=None):
    """Runs one command line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--every", type=int, default=1000, help="steps between two samples")
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/endurance"))
    parser.add_argument("--json", type=pathlib.Path, help="file to write")
    arguments = parser.parse_args(argv)
    try:
        if (arguments.workdir / "checkpoints").exists():
            raise InputError(f"--workdir={arguments.workdir}: expected a new run directory")
        recorded = record.Record(arguments)
        flags = ["--flagfile=flags/digits.cfg", "--epochs=0", f"--train_steps={arguments.steps}"]
        workdir = arguments.workdir.resolve()
        command = [sys.executable, "-m", "famus_tf.main", *flags, f"--workdir={workdir}"]
        samples = watch(command, workdir, arguments.every)
    except InputError as error:
        print(f"benchmarks.endurance: error: {error}", file=sys.stderr)
        return 2
    for sample in samples:
        print(
            f"step {sample['step']:>6,}: {sample['rss'] / 2**20:7.1f} MiB, {sample['open_files']} open files, "
            f"{sample['threads']} threads; TensorBoard {sample['tensorboard'] / 2**20:.1f} MiB, "
            f"checkpoints {sample['checkpoints'] / 2**20:.1f} MiB"
        )
    if arguments.json:
        recorded.write(arguments.json, samples=samples)
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
