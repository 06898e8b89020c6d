"""Two worker processes on this machine, from the command line: the weights of one process, kill and resume, who writes.

The images lie in files, of which each worker reads those of its own share of a batch. The network of the first tests
has no BatchNorm, so that nothing but rounding may differ from one process; with BatchNorm, of which each replica
normalises its own share, nothing but rounding may differ from one process of two replicas, and from one of one replica
where BatchNorm is synchronised. How far longer runs are apart: `python -m benchmarks.workers`.
"""

import contextlib
import io
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from benchmarks import free_ports
from tests import small_networks

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHORT = {
    "dataset": "folder",
    "image_size": 8,
    "resize": 8,
    "noise": "symmetric",
    "noise_rate": 0.6,
    "batch_size": 16,
    "meta_batch_size": 8,
    "train_limit": 80,
    "epochs": 2,
    "base_learning_rate": 0.05,
    "lr_schedule": "cosine",
    "summary_every": 1,
    "checkpoint_every": 3,
    "eval_batch_size": 47,  # no divisor of the number of test images, and odd
}
FLAGS = [f"--{name}={value}" for name, value in SHORT.items()]
# The command, its network replaced.
COMMAND = """
import sys
from famus_tf import main, networks
from tests import small_networks

def without_batch_norm(input_shape, num_classes, mean, std):
    return small_networks.convolutions(False, input_shape, num_classes, count=2)

networks.BUILDERS["small_preact"] = without_batch_norm
sys.exit(main.main(sys.argv))
"""
# The command, on two devices.
MIRRORED = """
import sys
import tensorflow as tf
from famus_tf import main

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.exit(main.main(sys.argv))
"""
ONE = (sys.executable, "-m", "famus_tf.main")
ALGORITHM_2 = ("--algorithm=co_divide", "--meta_set=pseudo_clean", "--meta_per_class=0", "--meta_from_epoch=1")
WORKERS_MASK = 0o077  # of files that a worker which is not the chief makes: nobody else may read them


@pytest.fixture(scope="module", autouse=True)
def images(tmp_path_factory):
    """Digits as files, an even number of test images that is not a multiple of the batch's size."""
    folder, data = tmp_path_factory.mktemp("digits"), load_digits()
    pixels = np.round(data.images * 255 / 16).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels[:500], data.target, strict=False)):
        place = folder / ("test" if number < 100 else "val" if number < 160 else "train") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(place / f"{number}.png")
    FLAGS.append(f"--data_dir={folder}")
    yield folder
    FLAGS.pop()


def start(workdir, *flags, environment=None, mask=0o022, temporary=None, command=(sys.executable, "-c", COMMAND)):
    """The command in a process of its own, which shares nothing with this one but the run directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "TF_CONFIG"))}
    kept |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT)}
    kept |= {"TMPDIR": str(temporary)} if temporary else {}
    return subprocess.Popen(
        [*command, *FLAGS, f"--workdir={workdir}", *flags],
        cwd=workdir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=kept | (environment or {}),
        umask=mask,
    )


def launch(workdir, *flags):
    """The launch script with two workers."""
    script = str(ROOT / "launch" / "multi_worker.sh"), "2"
    return start(workdir, *flags, command=script, environment={"PYTHON": sys.executable})


def end(*processes, timeout=240):
    """Waits for all and returns their outputs; none outlives the call."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def by_tf_config():
    """The environments of two workers on free ports."""
    cluster = {"worker": free_ports.find(2)}
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})}
        for index in range(2)
    ]


def by_slurm():
    """The environments of two workers as `srun` would make them for a job of two tasks on this machine."""
    shared = {"STEP_NUM_TASKS": "2", "STEP_NODELIST": "localhost", "STEP_TASKS_PER_NODE": "2", "JOB_ID": _free_job()}
    return [
        {f"SLURM_{name}": value for name, value in shared.items()}
        | {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(index), "SLURMD_NODENAME": "localhost"}
        for index in range(2)
    ]


def _free_job():
    """A job number whose two ports are free."""
    while True:
        job = random.randrange(1500)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for offset in range(2):
                stack.enter_context(socket.socket()).bind(("", 20000 + 8 * job + offset))
            return str(job)


def start_pair(workdir, environments, *flags):
    """The chief and the other worker, whose files can be told from the chief's."""
    temporary = workdir.with_name(f"{workdir.name}_temporary")
    temporary.mkdir(exist_ok=True)
    flags = "--strategy=multi_worker", *flags
    return [
        start(workdir, *flags, environment=environments[0]),
        start(workdir, *flags, environment=environments[1], mask=WORKERS_MASK, temporary=temporary),
    ]


def state(workdir):
    """Weights and optimizers of the newest checkpoint, and the progress: ({name: array}, {name: array})."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    shapes = reader.get_variable_to_shape_map()
    weights = {name: reader.get_tensor(name) for name in shapes if name.startswith("trainers/")}
    with np.load(io.BytesIO(reader.get_tensor("progress/0/.ATTRIBUTES/py_state"))) as arrays:
        return weights, {name: arrays[name] for name in ("example_weight", "gate_sums")}


def results(workdir):
    """results.json without the time, which is never the same; of the classes a flat list of their accuracies."""
    found = json.loads((workdir / "results.json").read_text())
    found["classes"] = [-1 if one["test_accuracy"] is None else one["test_accuracy"] for one in found["classes"]]
    for epoch in [*found["history"], found["selected_epoch"]]:
        epoch.pop("test_class_accuracy", None)  # `classes` has the same
    for name in ("train_seconds_per_step", "train_seconds_per_meta_step"):
        assert found.pop(name) > 0
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run directories, all of the same flags but for the strategy: one process, and two workers."""
    folder = tmp_path_factory.mktemp("multi_worker")
    one = start(folder / "one", "--strategy=one_device")
    (output,) = end(one)
    assert one.returncode == 0, output
    pair = start_pair(folder / "two", by_tf_config())
    outputs = end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 0, output
    return folder / "one", folder / "two", outputs


def test_two_workers_have_the_weights_of_one_process(runs):
    one, two, _ = runs
    (expected, progress_of_one), (found, progress_of_two) = state(one), state(two)
    assert found.keys() == expected.keys()
    assert len(found) > 40
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=2e-6, err_msg=name)
    # The chief knows the weights of all examples, also of those that the other worker has trained on.
    assert not np.isnan(progress_of_two["example_weight"]).any()
    np.testing.assert_allclose(progress_of_two["example_weight"], progress_of_one["example_weight"], rtol=1e-4)
    np.testing.assert_array_equal(progress_of_two["gate_sums"], progress_of_one["gate_sums"])
    assert 0 < progress_of_one["gate_sums"].sum() < 10 * len(progress_of_one["gate_sums"])  # gates were on and off


def test_two_workers_report_what_one_process_reports(runs):
    one, two, _ = runs
    expected, found = results(one), results(two)
    for ours, theirs in itertools.chain([(expected, found)], zip(expected["history"], found["history"], strict=True)):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {
            "history",
            "example_weight",
            "dataset",
            "method",
            "selector",
            "selected_epoch",
            "other_tests",
        }:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4), name
    # Counts over the whole test set, so equal and not only near.
    assert found["test_accuracy"] == expected["test_accuracy"]
    assert found["example_weight"] == pytest.approx(expected["example_weight"], rel=1e-4)


def test_only_the_chief_writes_and_speaks(runs):
    _, two, (chief_said, other_said) = runs
    names = {
        "flags.cfg",
        "versions.json",
        "results.json",
        "best.weights.h5",
        "checkpoints",
        "tensorboard",
        "export",
        "class_accuracy.png",
        "curves.png",
        "data.json",
        "data.tsv.gz",
        "gates.png",
    }
    assert {path.name for path in two.iterdir()} == names
    assert len(list((two / "tensorboard").iterdir())) == 1
    assert (two / "export" / "saved_model.pb").exists()
    for path in two.rglob("*"):
        assert path.stat().st_mode & 0o044, f"{path} was written by the other worker"
    assert not list(two.with_name("two_temporary").iterdir())
    assert re.search(r"waits for 2 workers: 127.0.0.1:\d+, 127.0.0.1:\d+\n", chief_said)
    assert "epoch 2/2, " in chief_said
    assert "test accuracy" in chief_said
    assert "images are read as 8x8" in chief_said
    assert not re.search("epoch|accuracy|workers|images|Traceback|[Ee]rror:", other_said)


def test_the_exported_network_is_the_chiefs(runs):
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8))
    logits = []
    for workdir in runs[:2]:
        model = tf.saved_model.load(str(workdir / "export"))
        logits.append(model.signatures["serving_default"](images=images)["logits"])
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-5)


def test_both_killed_in_mid_epoch_they_go_on_and_end_with_the_same_weights(runs, tmp_path):
    _, two, _ = runs
    killed = tmp_path / "two"
    pair = start_pair(killed, by_slurm())
    state_file = killed / "checkpoints" / "checkpoint"
    deadline = time.time() + 240
    # Step 3 of 5 is in the middle of the first epoch.
    while not (state_file.exists() and "ckpt-3" in state_file.read_text()):
        assert all(process.poll() is None for process in pair), end(*pair)
        assert time.time() < deadline
        time.sleep(0.002)
    for process in pair:
        process.send_signal(signal.SIGKILL)
    end(*pair)
    assert not (killed / "results.json").exists()
    pair = start_pair(killed, by_slurm())
    outputs = end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 0, output
    assert re.search(r"goes on after step [3-9] of 10", outputs[0])
    (expected, whole_progress), (found, progress) = state(two), state(killed)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for name, value in whole_progress.items():
        np.testing.assert_array_equal(progress[name], value, err_msg=name)
    whole, resumed = results(two), results(killed)
    for found in (whole, resumed):  # an entry of the history, which is compared below
        found["selected_epoch"] = found["selected_epoch"]["epoch"]
    # A mean over the epoch is restored in equal shares on both workers, so its sum may be rounded otherwise.
    for one, other in zip(whole.pop("history"), resumed.pop("history"), strict=True):
        assert other.pop("gates") == pytest.approx(one.pop("gates"))
        assert other == pytest.approx(one, rel=1e-6)
    assert resumed == whole


def test_workers_with_other_flags_and_batches_that_do_not_divide_are_refused(tmp_path):
    environments = by_tf_config()
    pair = [
        start(tmp_path / "run", "--strategy=multi_worker", f"--seed={seed}", environment=environment)
        for seed, environment in enumerate(environments)
    ]
    outputs = end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 2
        assert "famus_tf: error: --strategy=multi_worker: found workers with other flags" in output
    pair = start_pair(tmp_path / "odd", by_tf_config(), "--meta_batch_size=9")
    outputs = end(*pair)
    for process, output in zip(pair, outputs, strict=True):
        assert process.returncode == 2
        assert "famus_tf: error: --meta_batch_size=9: expected a multiple of the 2 devices in use" in output
    assert not (tmp_path / "odd").exists()


@pytest.fixture(scope="module")
def batch_norm_runs(tmp_path_factory):
    """A network with BatchNorm of each replica, and the run directories of two devices and of the launch script."""
    folder = tmp_path_factory.mktemp("batch_norm")
    network = f"--network={small_networks.save_convolutions(folder / 'network.keras')}"
    mirrored = start(folder / "one", "--strategy=mirrored", network, command=(sys.executable, "-c", MIRRORED))
    (output,) = end(mirrored)
    assert mirrored.returncode == 0, output
    workers = launch(folder / "two", network)
    (output,) = end(workers)
    assert workers.returncode == 0, output
    return network, folder / "one", folder / "two"


def assert_near(found, expected, **tolerance):
    """That two run directories hold the same numbers, BatchNorm's statistics among them, to rounding."""
    (found, _), (expected, _) = state(found), state(expected)
    assert found.keys() == expected.keys()
    assert any("moving_variance" in name or "_operations" in name for name in found)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, **tolerance)


def test_batch_norm_of_each_replica_gives_what_two_devices_give(batch_norm_runs):
    _, one, two = batch_norm_runs
    assert_near(two, one, rtol=1e-4, atol=5e-6)
    expected, found = results(one), results(two)
    assert found["test_accuracy"] == expected["test_accuracy"]
    assert found["selected_epoch"]["validation_loss"] == pytest.approx(expected["selected_epoch"]["validation_loss"])
    assert len(list((two / "tensorboard").iterdir())) == 1
    assert (two / "worker1.log").read_text() == ""


def test_one_killed_the_launch_script_ends_and_the_same_command_goes_on(batch_norm_runs, tmp_path):
    network, _, two = batch_norm_runs
    workdir = tmp_path / "killed"
    script = launch(workdir, network)
    state_file, deadline = workdir / "checkpoints" / "checkpoint", time.time() + 240
    while not (state_file.exists() and "ckpt-3" in state_file.read_text()):
        assert script.poll() is None, end(script)
        assert time.time() < deadline
        time.sleep(0.002)
    (victim,) = workers_of(script.pid, index=1)
    os.kill(victim, signal.SIGKILL)
    (output,) = end(script)
    assert script.returncode in (2, 137), output  # whichever of the two has ended first
    assert f"multi_worker.sh: error: a worker ended with status {script.returncode}" in output
    assert "another worker has stopped" in output or script.returncode == 137
    assert "Traceback" not in output
    assert not (workdir / "results.json").exists()
    script = launch(workdir, network)
    (output,) = end(script)
    assert script.returncode == 0, output
    assert re.search(r"goes on after step [3-9] of 10", output)
    (expected, _), (found, _) = state(two), state(workdir)
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


def test_algorithm_2_with_synchronised_batch_norm(tmp_path):
    path = small_networks.save_convolutions(tmp_path / "network.keras", synchronized=True, dropout=0)
    flags = f"--network={path}", *ALGORITHM_2
    one = start(tmp_path / "one", "--strategy=one_device", *flags, command=ONE)
    (output,) = end(one)
    assert one.returncode == 0, output
    workers = launch(tmp_path / "two", *flags)
    (output,) = end(workers)
    assert workers.returncode == 0, output
    assert_near(tmp_path / "two", tmp_path / "one", rtol=1e-4, atol=5e-6)
    expected, found = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert found["test_accuracy"] == expected["test_accuracy"]
    assert found["history"][-1]["split"] == [pytest.approx(split) for split in expected["history"][-1]["split"]]
    boards = [path.name for path in (tmp_path / "two" / "tensorboard").rglob("*") if path.is_file()]
    assert len(boards) == len([path for path in (tmp_path / "one" / "tensorboard").rglob("*") if path.is_file()])
    for workdir in ("one", "two"):
        assert (tmp_path / workdir / "export" / "saved_model.pb").exists()
