"""Kills a run of digits again and again with SIGKILL, and starts the same command until it ends.

    python -m tests.faults.kill --times=50 --seed=0 --json=benchmarks/results/kills.json
    python -m tests.faults.kill --algorithm=co_divide --times=20 --seed=0 --json=benchmarks/results/kills_co_divide.json

Of Algorithm 1 half of the kills come at a random moment of the process's life, start-up included, the others while a
checkpoint is being written. Those of Algorithm 2 come in the warm-up, in either network's turn, between the turns, and
while the losses are scanned and the mixtures fitted. Each run that has come to its end is compared with one that nobody
has disturbed: all numbers of the last checkpoint and of results.json but the times, to the last bit.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import record
from famus_tf.training import checkpoint_files
from tests import small_networks
from tests.faults import ends

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_DIGITS = "--dataset=digits --noise=symmetric --train_limit=160 --base_learning_rate=0.05 --lr_schedule=cosine"
_FLAGS = {
    "single": f"{_DIGITS} --noise_rate=0.6 --batch_size=16 --meta_batch_size=16 --epochs=40 --checkpoint_every=4",
    "co_divide": f"{_DIGITS} --noise_rate=0.4 --meta_per_class=0 --algorithm=co_divide --meta_set=pseudo_clean "
    "--meta_from_epoch=3 --batch_size=8 --meta_batch_size=4 --epochs=12 --checkpoint_every=1",
}
_LIFE = 25.0  # seconds in which the random moments lie
_WRITING = 0.02  # seconds that writing a checkpoint takes at the least
_WAIT = 300  # seconds after which a run that does not come to where it is to be killed is a failure


@dataclasses.dataclass
class Life:
    """One process of the command, its output in a file."""

    process: subprocess.Popen
    output: pathlib.Path
    start: float
    began: int  # by the clock of files, nanoseconds

    def said(self):
        """All that it has printed."""
        return self.output.read_text(errors="replace")

    def end(self):
        """Kills it, where it runs still; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        return self.process.wait()


def start(flags, workdir, output):
    """Starts the command."""
    began = time.time_ns()
    with open(output, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "famus_tf.main", *flags, f"--workdir={workdir}"],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    return Life(process, output, time.perf_counter(), began)


def wait_for(life, condition):
    """Waits for a condition as closely as it can; returns whether it came before the process's end."""
    deadline = time.perf_counter() + _WAIT
    while life.process.poll() is None:
        if condition():
            return True
        if time.perf_counter() > deadline:
            raise SystemExit(f"kill: nothing happened for {_WAIT} s:\n{life.said()}")
        time.sleep(0.0002)
    return False


def in_writing(life, folder):
    """Whether a checkpoint of this life is half there; what an earlier one has left does not count."""
    try:
        return (folder / "partial").stat().st_mtime_ns > life.began
    except FileNotFoundError:
        return False


def newest(folder):
    """The step of the newest checkpoint of which anything is there, 0 for none."""
    return max((one.step for one in checkpoint_files.all_in(folder)), default=0)


def kill_at_random(life, workdir, rng, lifetime):
    """Somewhere in the beginning of the process's life: a third of it is start-up."""
    moment = rng.uniform(0, lifetime)
    wait_for(life, lambda: time.perf_counter() - life.start >= moment)
    return {"kind": "random moment"}


def kill_in_writing(life, workdir, rng, lifetime):
    """At a random moment of the writing of the first to fourth checkpoint of this life."""
    folder = workdir / "checkpoints"
    for _ in range(rng.randint(0, 3)):
        wait_for(life, lambda: in_writing(life, folder))
        wait_for(life, lambda: not in_writing(life, folder))
    wait_for(life, lambda: in_writing(life, folder))
    target = time.perf_counter() + rng.uniform(0, _WRITING)
    while time.perf_counter() < target:
        pass
    return {"kind": "writing a checkpoint"}


def moments_of(results):
    """Of a whole run of Algorithm 2: (kind, step from which on, seconds at the most) of the moments to kill at."""
    first = [0, *(epoch["step"] for epoch in results["networks"][0]["history"])]
    second = [0, *(epoch["step"] for epoch in results["networks"][1]["history"])]
    moments = []
    for epoch in range(len(first) - 1):
        before, end = first[epoch] + second[epoch], first[epoch + 1] + second[epoch + 1]
        middle = first[epoch + 1] + second[epoch]
        if epoch < 3:
            moments.append(("warm-up", (before + end) // 2, 0.02))
            continue
        moments.append(("scan and mixtures", before, 0.3))
        moments.append(("first network's turn", (before + middle) // 2, 0.02))
        moments.append(("between the turns", middle, 0.01))
        moments.append(("second network's turn", (middle + end) // 2, 0.02))
    return moments


def kill_at(life, workdir, rng, moment):
    """At one of `moments_of`."""
    kind, step, most = moment
    folder = workdir / "checkpoints"
    wait_for(life, lambda: newest(folder) >= step)
    time.sleep(rng.uniform(0, most))
    return {"kind": kind, "target": step}


def live_on(flags, workdir, rng, kills, scratch):
    """Starts the command and kills it as `kills` say, until they are used up or the run has ended; then lets it end.

    Args:
      flags: list of str.
      workdir: run directory.
      rng: `random.Random`.
      kills: list of functions of a `Life`, a run directory and `rng` that return when to kill; used ones are removed.
      scratch: folder for the outputs.

    Returns:
      List of one dict for each life that was killed.
    """
    done = []
    while True:
        life = start(flags, workdir, scratch / "output.txt")
        kill = kills.pop(0) if kills else None
        if kill:
            found = kill(life, workdir, rng)
        else:
            life.process.wait()
        status = life.end()
        half = in_writing(life, workdir / "checkpoints")
        said = life.said()
        if "Traceback" in said or status not in (0, -signal.SIGKILL):
            raise SystemExit(f"kill: the command ended with status {status}:\n{said}")
        resumed = re.search(r"goes on after step ([\d,]+)", said)
        note = {
            "resumed_from": int(resumed[1].replace(",", "")) if resumed else 0,
            "newest_checkpoint": newest(workdir / "checkpoints"),
            "seconds": round(time.perf_counter() - life.start, 2),
            "not_whole": re.findall(r".*not whole and left.*", said),
        }
        if status == 0:
            if kill:  # came too late, and is given to the next run
                kills.append(kill)
            print(f"ended: {note}", flush=True)
            return done
        done.append(found | {"half_a_checkpoint_was_there": half} | note)
        print(done[-1], flush=True)


def study(arguments, scratch):
    """Returns the content of the record."""
    rng, flags = random.Random(arguments.seed), _FLAGS[arguments.algorithm].split()
    flags.append(f"--network={small_networks.save_convolutions(scratch / 'network.keras')}")
    whole = start(flags, scratch / "whole", scratch / "whole.txt")
    if whole.process.wait():
        raise SystemExit(f"kill: the whole run failed:\n{whole.said()}")
    lifetime = min(time.perf_counter() - whole.start, _LIFE)
    if arguments.algorithm == "single":
        ways = [kill_at_random, kill_in_writing]
        kills = [
            lambda life, workdir, rng, way=ways[number % 2]: way(life, workdir, rng, lifetime)
            for number in range(arguments.times)
        ]
    else:
        moments = moments_of(json.loads((scratch / "whole" / "results.json").read_text()))
        chosen = sorted(rng.sample(range(len(moments)), min(arguments.times, len(moments))))
        kills = [
            lambda life, workdir, rng, moment=moments[number]: kill_at(life, workdir, rng, moment) for number in chosen
        ]
    series = []
    while kills:
        workdir = scratch / f"killed_{len(series)}"
        killed = live_on(flags, workdir, rng, kills, scratch)
        differences = ends.differences(scratch / "whole", workdir)
        series.append({"kills": killed, "differences": differences, "numbers_compared": ends.count(workdir)})
        print(f"run {len(series)}: {len(killed)} kills, differences: {differences or 'none'}", flush=True)
        shutil.rmtree(workdir)
    return {"series": series}


def main(argv=None):
    """Runs one command line and returns the exit status: 1 where a run has ended otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--algorithm", choices=tuple(_FLAGS), default="single")
    parser.add_argument("--json", type=pathlib.Path, help="file to write")
    arguments = parser.parse_args(argv)
    recorded = record.Record(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        found = study(arguments, pathlib.Path(scratch))
    kills = [kill for one in found["series"] for kill in one["kills"]]
    same = sum(not one["differences"] for one in found["series"])
    print(f"{len(kills)} kills in {len(found['series'])} runs, of which {same} ended with the same numbers to the bit")
    if arguments.json:
        recorded.write(arguments.json, **found)
    return int(same < len(found["series"]))


if __name__ == "__main__":
    sys.exit(main())
