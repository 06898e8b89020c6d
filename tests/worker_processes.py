"""Two worker processes on this machine, from the command line: how they are started, and what they leave behind.

The images lie in files, of which each worker reads those of its own share of a batch.
"""

import contextlib
import io
import json
import os
import pathlib
import random
import socket
import subprocess
import sys

import numpy as np
import PIL.Image
import tensorflow as tf
from sklearn.datasets import load_digits

from benchmarks import free_ports

ROOT = pathlib.Path(__file__).resolve().parents[1]
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


@contextlib.contextmanager
def images_in(folder):
    """Digits as files, an even number of test images that is not a multiple of the batch's size; `FLAGS` name them."""
    data = load_digits()
    pixels = np.round(data.images * 255 / 16).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels[:500], data.target, strict=False)):
        place = folder / ("test" if number < 100 else "val" if number < 160 else "train") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(place / f"{number}.png")
    FLAGS.append(f"--data_dir={folder}")
    yield
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


def assert_near(found, expected, **tolerance):
    """That two run directories hold the same numbers, BatchNorm's statistics among them, to rounding."""
    (found, _), (expected, _) = state(found), state(expected)
    assert found.keys() == expected.keys()
    assert any("moving_variance" in name or "_operations" in name for name in found)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, **tolerance)
