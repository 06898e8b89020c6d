"""Two worker processes whose network has BatchNorm.

Of each replica it normalises its own share, so that nothing but rounding may differ from one process of two replicas;
synchronised, from one of one replica.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import small_networks, worker_processes


@pytest.fixture(scope="module", autouse=True)
def images(tmp_path_factory):
    """The digits."""
    with worker_processes.images_in(tmp_path_factory.mktemp("digits")):
        yield


@pytest.fixture(scope="module")
def batch_norm_runs(tmp_path_factory):
    """A network with BatchNorm of each replica, and the run directories of two devices and of the launch script."""
    folder = tmp_path_factory.mktemp("batch_norm")
    network = f"--network={small_networks.save_convolutions(folder / 'network.keras')}"
    mirrored = worker_processes.start(
        folder / "one", "--strategy=mirrored", network, command=(sys.executable, "-c", worker_processes.MIRRORED)
    )
    (output,) = worker_processes.end(mirrored)
    assert mirrored.returncode == 0, output
    workers = worker_processes.launch(folder / "two", network)
    (output,) = worker_processes.end(workers)
    assert workers.returncode == 0, output
    return network, folder / "one", folder / "two"


def test_batch_norm_of_each_replica_gives_what_two_devices_give(batch_norm_runs):
    _, one, two = batch_norm_runs
    worker_processes.assert_near(two, one, rtol=1e-4, atol=5e-6)
    expected, found = worker_processes.results(one), worker_processes.results(two)
    assert found["test_accuracy"] == expected["test_accuracy"]
    assert found["selected_epoch"]["validation_loss"] == pytest.approx(expected["selected_epoch"]["validation_loss"])
    assert len(list((two / "tensorboard").iterdir())) == 1
    assert (two / "worker1.log").read_text() == ""


@pytest.mark.slow
def test_one_killed_the_launch_script_ends_and_the_same_command_goes_on(batch_norm_runs, tmp_path):
    network, _, two = batch_norm_runs
    workdir = tmp_path / "killed"
    script = worker_processes.launch(workdir, network)
    state_file, deadline = workdir / "checkpoints" / "checkpoint", time.time() + 240
    while not (state_file.exists() and "ckpt-3" in state_file.read_text()):
        assert script.poll() is None, worker_processes.end(script)
        assert time.time() < deadline
        time.sleep(0.002)
    (victim,) = workers_of(script.pid, index=1)
    os.kill(victim, signal.SIGKILL)
    (output,) = worker_processes.end(script)
    assert script.returncode in (2, 137), output  # whichever of the two has ended first
    assert f"multi_worker.sh: error: a worker ended with status {script.returncode}" in output
    assert "another worker has stopped" in output or script.returncode == 137
    assert "Traceback" not in output
    assert not (workdir / "results.json").exists()
    script = worker_processes.launch(workdir, network)
    (output,) = worker_processes.end(script)
    assert script.returncode == 0, output
    assert re.search(r"goes on after step [3-9] of 10", output)
    (expected, _), (found, _) = worker_processes.state(two), worker_processes.state(workdir)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def workers_of(script, index):
    """Process ids of the launch script's worker of that number."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(script)], capture_output=True, text=True, check=True)
    environments = {int(pid): pathlib.Path(f"/proc/{pid}/environ") for pid in listed.stdout.split()}
    return [
        pid
        for pid, path in environments.items()
        if path.exists() and f'"index": {index}}}'.encode() in path.read_bytes()
    ]


@pytest.mark.slow
def test_algorithm_2_with_synchronised_batch_norm(tmp_path):
    path = small_networks.save_convolutions(tmp_path / "network.keras", synchronized=True, dropout=0)
    flags = f"--network={path}", *worker_processes.ALGORITHM_2
    one = worker_processes.start(tmp_path / "one", "--strategy=one_device", *flags, command=worker_processes.ONE)
    (output,) = worker_processes.end(one)
    assert one.returncode == 0, output
    workers = worker_processes.launch(tmp_path / "two", *flags)
    (output,) = worker_processes.end(workers)
    assert workers.returncode == 0, output
    worker_processes.assert_near(tmp_path / "two", tmp_path / "one", rtol=1e-4, atol=5e-6)
    expected, found = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert found["test_accuracy"] == expected["test_accuracy"]
    assert found["history"][-1]["split"] == [pytest.approx(split) for split in expected["history"][-1]["split"]]
    boards = [path.name for path in (tmp_path / "two" / "tensorboard").rglob("*") if path.is_file()]
    assert len(boards) == len([path for path in (tmp_path / "one" / "tensorboard").rglob("*") if path.is_file()])
    for workdir in ("one", "two"):
        assert (tmp_path / workdir / "export" / "saved_model.pb").exists()
