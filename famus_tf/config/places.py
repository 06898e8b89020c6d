"""Files and folders that the flags name: whether they are there, before seconds are spent on loading TensorFlow."""

import difflib
import errno
import os
import pathlib

from famus_tf.config.data import OWN_IMAGES
from famus_tf.errors import InputError

# Data sets whose files lie in data_dir and nowhere else.
_BY_FOLDER = (*OWN_IMAGES, "webvision", "clothing1m", "cnwl")
_FILES = ("train_list", "test_list", "meta_list", "validation_list", "noise_file")
_OF_A_RUN = ("evaluate", "export", "report", "clean", "predict")
_WRITING = ("train", "inspect", "export")


def check(config) -> None:
    """Raises InputError at the first place that a `config.Config` names and that is not there, or not writable."""
    data, run = config.data, config.run
    if data.data_dir and data.dataset in _BY_FOLDER:
        _folder("data_dir", data.data_dir, f"the folder of the images of --dataset={data.dataset}")
    if data.ilsvrc_dir:
        _folder("ilsvrc_dir", data.ilsvrc_dir, "the folder of ILSVRC12's validation images")
    if data.prepared_dir and run.mode != "prepare":
        _folder("prepared_dir", data.prepared_dir, "a folder that --mode=prepare has written")
    for name in _FILES:
        if getattr(data, name):
            _file(name, getattr(data, name))
    for path in data.further_lists:
        _file("other_test_lists", path)
    if run.network.endswith(".keras"):
        _file("network", run.network)
    if run.pretrained not in ("none", "imagenet"):
        _file("pretrained", run.pretrained)
    if run.init_from and run.mode == "train" and not os.path.isdir(os.path.join(run.workdir, "checkpoints")):
        _there("init_from", run.init_from, "a run directory, an export, or a .keras file")
    report = config.report
    if run.mode in _OF_A_RUN and not (run.mode == "evaluate" and report.model not in ("", "checkpoint")):
        _folder("workdir", run.workdir, "the run directory of an earlier --mode=train")
    if run.mode == "clean":
        if not os.path.isfile(os.path.join(run.workdir, "labels.csv")):
            raise InputError(f"--workdir={run.workdir}: holds no labels.csv; expected that of --mode=train or report")
        if report.marks:
            _file("marks", report.marks)
    if run.mode == "predict":
        _there("images", report.images, "a folder of images, an image, or a list of paths")
    if run.mode == "evaluate" and report.model not in ("", "checkpoint"):
        _there("model", report.model, "the folder of an export, a .keras file, or checkpoint")
    if run.mode in _WRITING:
        _writable(pathlib.Path(run.workdir))


def _folder(name: str, path: str, expected: str) -> None:
    if not os.path.isdir(path):
        found = "not a folder" if os.path.exists(path) else f"no such folder{_neighbour(path)}"
        raise InputError(f"--{name}={path}: {found}; expected {expected}")


def _file(name: str, path: str) -> None:
    if not os.path.isfile(path):
        found = "a folder" if os.path.isdir(path) else f"no such file{_neighbour(path)}"
        raise InputError(f"--{name}={path}: {found}; expected a file")


def _there(name: str, path: str, expected: str) -> None:
    if not os.path.exists(path):
        raise InputError(f"--{name}={path}: no such file or folder{_neighbour(path)}; expected {expected}")


def _neighbour(path: str) -> str:
    """What lies there by a similar name, or how far the path is right, for a name that was mistyped."""
    parent = pathlib.Path(path).parent
    if not parent.is_dir():
        return f", nor a folder {parent}"
    try:
        close = difflib.get_close_matches(pathlib.Path(path).name, os.listdir(parent), n=1)
    except OSError:
        return ""
    return f", though there is {parent / close[0]}" if close else ""


def _writable(workdir: pathlib.Path) -> None:
    """The run directory, or the first folder above it that is there, can be written to."""
    there = workdir.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise InputError(f"--workdir={workdir}: cannot write there ({there} is not a folder)")
    if not os.access(there, os.W_OK | os.X_OK):
        read_only = os.statvfs(there).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise InputError(f"--workdir={workdir}: cannot write there ({reason})")
