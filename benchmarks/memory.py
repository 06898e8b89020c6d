"""Peak memory of a mode's steps, of the whole process (Linux) and of the tensors alone.

    python -m benchmarks.memory --mode=mw_net_exact --network=preact_resnet18 --batch_size=16

prints one line of JSON, in bytes. Of the process: `idle` (all is built, no step made), `peak` (tracing and first steps
included), `peak_of_steps` (afterwards, graph and functions being there). Of the tensors, by TensorFlow's allocator on
the device that trains: `tensors_peak` in these last steps, weights and optimizers' variables included, but on a CPU no
tensors of less than 256 KiB, which TensorFlow does not count, and on one without AVX-512 none unless
TF_ENABLE_ONEDNN_OPTS=1 is in the environment.
"""

import argparse
import ctypes
import gc
import json
import os
import pathlib
import subprocess
import sys

import tensorflow as tf

from benchmarks import mode_steps, modes
from benchmarks import settings as settings_module
from famus_tf.devices import strategy as strategies
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_TRACED_STEPS = 2
_STEPS = 4


def measure_in_new_process(mode, settings, policy):
    """Runs this module's command.

    Args:
      mode: name of a mode.
      settings: `settings.Settings`.
      policy: dtype policy of the network.

    Returns:
      The dict that it prints.

    Raises:
      InputError: it failed; the message has the last line of its errors.
    """
    command = [sys.executable, "-m", "benchmarks.memory", f"--mode={mode}", f"--dtype_policy={policy}"]
    environment = {"TF_ENABLE_ONEDNN_OPTS": "1"} | os.environ
    command += settings.arguments()
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise InputError(f"--memory: the process of mode {mode} ended with status {done.returncode} ({last[0]})")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(mode, settings, policy):
    """Builds the mode in this process, makes a few steps and returns the dict that `main` prints."""
    mode = modes.find(mode)
    steps = mode_steps.make_steps(mode, settings, policy, strategies.make_strategy("one_device"))
    _give_back()
    idle = _status("VmRSS")
    steps.settle()  # not part of what is measured: before, the sampler goes as deep as the exact step
    _start_anew()
    for _ in range(_TRACED_STEPS * steps.period):
        steps.step()
    peak = _status("VmHWM")
    _start_anew()
    device = "GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"
    try:
        tf.config.experimental.reset_memory_stats(device)
    except ValueError as error:
        raise InputError(f"{device}: TensorFlow counts no tensors; expected TF_ENABLE_ONEDNN_OPTS=1") from error
    for _ in range(_STEPS * steps.period):
        steps.step()
    peak_of_steps = _status("VmHWM")
    return {
        "idle": idle,
        "peak": max(peak, peak_of_steps),
        "peak_of_steps": peak_of_steps,
        "tensors_peak": tf.config.experimental.get_memory_info(device)["peak"],
    }


def _status(name):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise InputError(f"/proc/self/status has no {name}: memory is measured on Linux only")


def _start_anew():
    """The peak that the kernel remembers becomes what is in use now."""
    _give_back()
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def _give_back():
    """Returns what the tracing has freed, so that it does not hide the steps' own peak."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def main(argv=None):
    """Runs one command line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--mode", required=True)
    parser.add_argument("--dtype_policy", default="float32", choices=("float32", "mixed_bfloat16"))
    settings_module.add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        result = measure(arguments.mode, settings_module.from_arguments(arguments), arguments.dtype_policy)
    except InputError as error:
        print(f"benchmarks.memory: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
