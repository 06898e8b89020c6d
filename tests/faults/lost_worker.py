"""One of two workers is killed, or stopped without ending: how soon the other ends, and what it says.

    python -m tests.faults.lost_worker --json=benchmarks/results/lost_worker.json
    python -m tests.faults.lost_worker --only=training --rounds=1

Each case starts two workers on this machine as `launch/multi_worker.sh` does, but without it, so that nobody stops the
survivor; waits for a moment of the run; sends the signal to one of them; and waits for the other. After the last round
of a case that has left a checkpoint both are started again, and must end with the weights of a run that nothing befell.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from benchmarks import free_ports, record
from tests import small_networks
from tests.faults import kill

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FLAGS = (
    "--dataset=digits",
    "--noise=symmetric",
    "--noise_rate=0.4",
    "--batch_size=16",
    "--meta_batch_size=16",
    "--strategy=multi_worker",
)
_LONGEST = 150  # seconds until a survivor that has not ended is killed


@dataclasses.dataclass(frozen=True)
class Case:
    """A moment of a run, and what makes it last.

    Attributes:
      name: in words.
      flags: of both workers.
      ready: a pattern that the chief's output has when the moment has come, None for the time when it is started.
      wait: seconds from then to the signal.
      step: of a checkpoint that is there by then; 0 for none, from which the run could go on.
    """

    name: str
    flags: tuple[str, ...]
    ready: str | None
    wait: float
    step: int = 0


_LONG = ("--epochs=0", "--train_steps=100000", "--checkpoint_every=1000000")
CASES = (
    Case("start-up, before the workers have met", (*_LONG, "--worker_timeout=30"), None, 1.0),
    Case("start-up, while the step is traced", _LONG, r"tracing the training step", 1.0),
    Case("training", (*_LONG, "--epochs=0"), r"epoch 2/", 1.0),
    Case("evaluation", (*_LONG, "--train_limit=16", "--eval_batch_size=2"), r"epoch 2/", 1.0),
    Case(
        "checkpoint", ("--epochs=0", "--train_steps=100", "--checkpoint_every=1"), r"tracing the training step", 0.1, 20
    ),
)


def start(workdir, flags, logs):
    """Starts the chief and the other worker; their output goes to files, of which the names are `logs`."""
    addresses = free_ports.find(2)
    processes = []
    for index, log in enumerate(logs):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "famus_tf.main", *FLAGS, *flags, f"--workdir={workdir}"],
                cwd=ROOT,
                env=os.environ | {"TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"},
                stdout=open(log, "w"),  # noqa: SIM115
                stderr=subprocess.STDOUT,
            )
        )
    return processes


def wait_for(condition, log, processes, seconds=300):
    """Waits until a condition holds; an AssertionError where a process ends before."""
    until = time.time() + seconds
    while not condition():
        assert all(process.poll() is None for process in processes), log.read_text()
        assert time.time() < until, log.read_text()
        time.sleep(0.02)


def strike(case, victim, number, network, folder):
    """One round: a dict of what happened to the survivor."""
    workdir, logs = folder / "run", [folder / "chief.log", folder / "other.log"]
    processes = start(workdir, (*case.flags, f"--network={network}"), logs)
    try:
        if case.ready:
            wait_for(lambda: re.search(case.ready, logs[0].read_text(errors="replace")), logs[0], processes)
        if case.step:
            saved = workdir / "checkpoints"
            wait_for(lambda: kill.newest(saved) >= case.step, logs[0], processes)
        time.sleep(case.wait)
        assert all(process.poll() is None for process in processes), [log.read_text() for log in logs]
        os.kill(processes[victim].pid, number)
        struck, survivor = time.time(), processes[1 - victim]
        try:
            status = survivor.wait(_LONGEST)
        except subprocess.TimeoutExpired:
            status = None
        seconds = time.time() - struck
    finally:
        for process in processes:
            process.kill()
            process.wait()
    said = logs[1 - victim].read_text(errors="replace")
    lines = [line for line in said.splitlines() if line.strip()]
    return {
        "seconds": round(seconds, 1),
        "status": status,
        "sentence": next((line for line in reversed(lines) if line.startswith("famus_tf:")), None),
        "traceback": "Traceback" in said,
        "last_lines": lines[-3:],
    }


def goes_on(case, network, folder):
    """Starts both workers again; whether they end with the weights of a run that nothing befell."""
    logs = [folder / "chief.log", folder / "other.log"]
    for workdir in ("run", "undisturbed"):
        processes = start(folder / workdir, (*case.flags, f"--network={network}"), logs)
        statuses = [process.wait(600) for process in processes]
        assert statuses == [0, 0], [log.read_text() for log in logs]
        if workdir == "run":
            assert "goes on after step" in logs[0].read_text()
    found, expected = (_weights(folder / workdir) for workdir in ("run", "undisturbed"))
    assert found.keys() == expected.keys() and len(found) > 10
    return all(np.array_equal(found[name], expected[name]) for name in expected)


def _weights(workdir):
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("trainers/")]
    return {name: reader.get_tensor(name) for name in names}


def main(argv=None):
    """Runs one command line and returns the exit status: 1 where a survivor did not end with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.lost_worker", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose names start so")
    parser.add_argument("--signals", default="SIGKILL,SIGSTOP")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args(argv)
    made, rows = record.Record(arguments), []
    with tempfile.TemporaryDirectory() as place:
        network = small_networks.save_convolutions(pathlib.Path(place) / "network.keras")
        cases = [case for case in CASES if case.name.startswith(arguments.only)]
        for case in cases:
            for name in arguments.signals.split(","):
                for victim in (1, 0):
                    for number in range(arguments.rounds):
                        folder = pathlib.Path(place) / f"{len(rows)}"
                        folder.mkdir()
                        row = {"case": case.name, "signal": name, "killed": ("chief", "other")[victim]}
                        row |= strike(case, victim, getattr(signal, name), network, folder)
                        if case.step and number == arguments.rounds - 1:
                            row["same_weights_afterwards"] = goes_on(case, network, folder)
                        rows.append(row)
                        print(json.dumps(row), flush=True)
                        if arguments.json:
                            made.write(arguments.json, rows=rows)
    bad = [
        row for row in rows if row["status"] != 2 or not row["sentence"] or not row.get("same_weights_afterwards", True)
    ]
    print(f"{len(rows)} rounds, longest {max(row['seconds'] for row in rows)} s, {len(bad)} without a sentence")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
