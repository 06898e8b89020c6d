"""Whether two runs have ended alike, to the last bit."""

import io
import json

import numpy as np

from famus_tf.training import checkpoint_files

# A time is never the same.
_TIMES = ("train_seconds_per_step", "train_seconds_per_meta_step", "meta_durations", "plain_durations", "stage_times")


def numbers(workdir):
    """{name: value} of all that a run has left: its newest checkpoint and results.json, without the times.

    Args:
      workdir: a run directory.
    """
    import tensorflow as tf

    folder = workdir / "checkpoints"
    reader = tf.train.load_checkpoint(str(folder / checkpoint_files.newest_whole(folder)[0].name))
    found = {}
    for name in reader.get_variable_to_shape_map():
        value = reader.get_tensor(name)
        if "py_state" in name:
            found |= {f"{name}/{key}": one for key, one in _state(value).items()}
        elif "OBJECT_GRAPH" not in name:
            found[name] = value
    results = json.loads((workdir / "results.json").read_text())
    for part in [results, *results.get("networks", ())]:
        for name in _TIMES:
            part.pop(name, None)
    return found | {f"results/{name}": value for name, value in results.items()}


def differences(one, other):
    """Names of what is not the same in two run directories, sorted."""
    first, second = numbers(one), numbers(other)
    return sorted(
        name
        for name in first.keys() | second.keys()
        if name not in first or name not in second or not _same(first[name], second[name])
    )


def count(workdir):
    """How many numbers of a checkpoint are compared."""
    return sum(np.size(value) for value in numbers(workdir).values() if isinstance(value, np.ndarray))


def _state(value):
    with np.load(io.BytesIO(value)) as arrays:
        found = {name: arrays[name] for name in arrays.files if name != "plain"}
        plain = json.loads(str(arrays["plain"]))
    return found | {name: one for name, one in plain.items() if name not in _TIMES}


def _same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return one == other
