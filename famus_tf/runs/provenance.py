"""What a result was made with: commit, command, versions, machine."""

import os
import pathlib
import platform
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf


def versions():
    """Dict that JSON can hold: `commit` (None outside a clone), `command`, versions, CPUs and GPUs."""
    root = pathlib.Path(__file__).resolve().parent.parent
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = None
    return {
        "commit": commit,
        "command": sys.argv[1:],
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
    }


def cpu_model():
    """Name of the processor, from the kernel where it tells; else what Python knows, perhaps an empty text."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def load_average():
    """Mean number of busy processes over the last 1, 5 and 15 minutes; None where the system does not tell."""
    try:
        return list(os.getloadavg())
    except OSError:
        return None
