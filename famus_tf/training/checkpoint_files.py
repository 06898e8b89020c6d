"""The checkpoints that lie in a folder: which are whole, which is the newest of those, and how one comes to be there.

A checkpoint is what TensorFlow writes, `ckpt-<step>.index` and `ckpt-<step>.data-*`, and `ckpt-<step>.manifest`, which
comes last and has the sizes and digests of the others. Where that step's name is taken already, as by a damaged one, it
is `ckpt-<step>-2`. Those of earlier versions have no manifest; they are checked by reading all that is in them.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil

import tensorflow as tf

from famus_tf import errors
from famus_tf.files import whole_files

_NAME = re.compile(r"ckpt-(\d+)(?:-(\d+))?\.(?:index|manifest|data-\d+-of-\d+)")
_PARTIAL = "partial"
_STATE = "checkpoint"  # TensorFlow's own note of what is there; written for other programs, not read here
_KEPT = 2


@dataclasses.dataclass(frozen=True, order=True)
class Checkpoint:
    """The name of a checkpoint; of two the greater one is the newer.

    Attributes:
      step: training steps done.
      number: 1; greater where the step has several.
    """

    step: int
    number: int = 1

    @property
    def name(self):
        """As in the folder, without what comes behind the dot."""
        return f"ckpt-{self.step}" if self.number == 1 else f"ckpt-{self.step}-{self.number}"


def all_in(folder):
    """Every `Checkpoint` of which at least one file lies in a folder, the newest first."""
    folder = pathlib.Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    checkpoints = {Checkpoint(int(one[1]), int(one[2] or 1)) for one in map(_NAME.fullmatch, names) if one}
    return sorted(checkpoints, reverse=True)


def newest_whole(folder):
    """The newest checkpoint that is whole.

    Args:
      folder: of the checkpoints; what lies there decides, so that all who look choose the same.

    Returns:
      The `Checkpoint`, or None for a folder in which none was ever written; and a dict of those newer ones that are not
      whole, the newest first: {`Checkpoint`: what is wrong}.

    Raises:
      InputError: there are some, or the folder says that there were, and none is whole.
    """
    folder = pathlib.Path(folder)
    damaged = {}
    for one in all_in(folder):
        fault = fault_of(folder, one)
        if fault is None:
            return one, damaged
        damaged[one] = fault
    advice = (
        "expected one that is whole; nothing was changed: put one back, or give another option `workdir` to start anew"
    )
    if damaged:
        raise errors.InputError(f"{folder}: no checkpoint is whole, {describe(damaged)}; {advice}")
    if (folder / _STATE).exists():
        raise errors.InputError(f"{folder}: the checkpoints are gone, only the file '{_STATE}' is there; {advice}")
    return None, {}


def describe(damaged):
    """A dict of `newest_whole` in words."""
    return ", ".join(f"{one.name} ({fault})" for one, fault in damaged.items())


def fault_of(folder, one):
    """What is wrong with a checkpoint, in a few words; None where it is whole."""
    manifest = _manifest(folder / f"{one.name}.manifest")
    if manifest is None:
        if not (folder / f"{one.name}.index").exists():
            return f"{one.name}.index is missing"
        return _fault_in_reading(folder / one.name)
    for name, expected in manifest.items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size != expected["size"]:
                return f"{name} has {size:,} bytes, {expected['size']:,} were written"
            if _digest(path) != expected["sha256"]:
                return f"{name} has other bytes than were written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read: {whole_files.reason(error)}"
    return None


def publish(folder, step, write):
    """Writes a checkpoint that is there whole or not at all, and takes away those older than the last two.

    Args:
      folder: of the checkpoints.
      step: training steps done.
      write: function of a prefix that writes TensorFlow's files.

    Returns:
      The new `Checkpoint`.

    Raises:
      OSError, tf.errors.OpError: it cannot be written; what was there is there still.
    """
    folder = pathlib.Path(folder)
    partial = pathlib.Path(folder, _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    before = all_in(folder)
    one = Checkpoint(step, max((other.number for other in before if other.step == step), default=0) + 1)
    try:
        partial.mkdir(parents=True)
        write(str(partial / one.name))
        files = sorted(partial.glob(f"{one.name}.*"))
        for path in files:
            whole_files.sync(path)
        manifest = {path.name: {"size": path.stat().st_size, "sha256": _digest(path)} for path in files}
        fresh = partial / f"{one.name}.manifest"
        fresh.write_text(json.dumps(manifest, indent=1) + "\n")
        whole_files.sync(fresh)
        for path in (*files, fresh):
            os.replace(path, folder / path.name)
        whole_files.sync(folder)
        kept = [other for other in before if other < one][: _KEPT - 1]
        _write_state(folder, [*reversed(kept), one])
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return one


def prune(folder, last, spared=()):
    """Takes away the checkpoints that are older than the one before `last`, but for those `spared`."""
    older = [one for one in all_in(folder) if one < last and one not in spared]
    for one in older[_KEPT - 1 :]:
        # The manifest first: a checkpoint that is half gone must not look as if it were damaged for long.
        for path in sorted(pathlib.Path(folder).glob(f"{one.name}.*"), key=lambda path: path.suffix != ".manifest"):
            path.unlink(missing_ok=True)


def _write_state(folder, names):
    paths = [f"all_model_checkpoint_paths: {json.dumps(one.name)}\n" for one in names]
    with whole_files.written(folder / _STATE) as place:
        place.write_text(f"model_checkpoint_path: {json.dumps(names[-1].name)}\n" + "".join(paths))


def _manifest(path):
    """{file name: size and digest}; None where there is no manifest that can be read."""
    try:
        manifest = json.loads(path.read_bytes())
        whole = manifest and all(
            one.keys() == {"size", "sha256"} and type(one["size"]) is int and type(one["sha256"]) is str
            for one in manifest.values()
        )
        return manifest if whole else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fault_in_reading(prefix):
    """TensorFlow keeps a checksum of each tensor and each part of the index, and looks at it when it reads them."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, OSError, ValueError, RuntimeError, IndexError, SystemError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None
