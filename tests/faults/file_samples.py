"""Small whole files of each format that the program reads, and the reader of each."""

import dataclasses
import gzip
import io
import json
import os
import pathlib
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.config import command_line
from famus_tf.data.formats import archives, idx, image_list, listing, pickles
from famus_tf.data.images import image_files
from famus_tf.data.labels import noise_file
from famus_tf.data.sets import cnwl
from famus_tf.networks import keras_file
from tests import small_networks
from tests.faults import image_samples

_LABELS = np.arange(40, dtype=np.int32) % 4
_TRANSFORM = image_files.Transform(16, 12)
_FLAGS = b"# digits\n--dataset=digits\n--noise=symmetric\n--noise_rate=0.4\n--epochs=3\n--lr_boundaries=1,2\n--nesterov"


@dataclasses.dataclass(frozen=True)
class Sample:
    """A whole file's bytes, the ending of its name, and a function of a path that reads such a file."""

    data: bytes
    ending: str
    read: Callable[[str], object]


def _read_image(path):
    """Both ways: eagerly, and in a graph as batches are made."""
    image_files.decode(path)
    try:
        _load(tf.constant(os.fsencode(path)))
    except tf.errors.OpError as error:
        raise errors.InputError(f"{path}: {image_files.what_is_wrong(error)}") from error


@tf.function(autograph=False)
def _load(path):
    return image_files.load_for_evaluation(path, _TRANSFORM)


def _read_pickle(path):
    return pickles.load(pathlib.Path(path).read_bytes(), path)


def _noise(path):
    return noise_file.read(path, "", _LABELS, 4)


def _tar(mode):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name in ("top/one", "top/two"):
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(bytes(range(100)) * 7))
    return file.getvalue()


def _zip(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("labels/data.pkl", content)
    return file.getvalue()


def _saved(folder, name, save):
    path = os.path.join(folder, name)
    save(path)
    data = pathlib.Path(path).read_bytes()
    os.remove(path)
    return data


def _record(path):
    with tf.io.TFRecordWriter(path) as writer:
        for label in range(2):
            features = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image_samples.make()["JPEG"]])),
                "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def make(folder):
    """Dict of the formats' names -> samples, to be read in `folder`: it gets the images that the list names."""
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg"):
        image = pathlib.Path(folder, name)
        image.parent.mkdir(exist_ok=True)
        image.touch()
    numbers = struct.pack(">HBBIII", 0, 8, 3, 5, 4, 4) + bytes(80)
    whole = {"data": np.arange(60, dtype=np.uint8).reshape(3, 20), "labels": [1, 2, 3]}
    pictures = image_samples.make()
    kinds = [kind for kind in pictures if kind in _WHOLE]
    return {
        **{kind: Sample(pictures[kind], ".png", _read_image) for kind in kinds},
        "npy": Sample(_saved(folder, "a.npy", lambda path: np.save(path, _LABELS)), ".npy", _noise),
        "npz": Sample(_saved(folder, "a.npz", lambda path: np.savez(path, _LABELS)), ".npy", _noise),
        "json": Sample(json.dumps(_LABELS.tolist()).encode(), ".json", _noise),
        "pt": Sample(_zip(pickle.dumps({"worse_label": _LABELS}, 2)), ".pt", _noise),
        **{f"pickle {n}": Sample(pickle.dumps(whole, n), ".pkl", _read_pickle) for n in (0, 2, 5)},
        "keras": Sample(
            _saved(folder, "a.keras", small_networks.convolutions(False, (4, 4, 3), 4, count=0).save),
            ".keras",
            lambda path: keras_file.load(path, (4, 4, 3), 4),
        ),
        "tar": Sample(_tar("w"), ".tar", lambda path: archives.read_tar(path, {"one", "two"})),
        "tar.gz": Sample(_tar("w:gz"), ".tar.gz", lambda path: archives.read_tar(path, {"one", "two"})),
        "IDX": Sample(numbers, ".idx", lambda path: idx.read(path, 3)),
        "IDX.gz": Sample(gzip.compress(numbers), ".gz", lambda path: idx.read(path, 3)),
        "TFRecord": Sample(
            _saved(folder, "a.tfrecord", _record),
            ".tfrecord",
            lambda path: cnwl._of_records([path], "image/class/label", _TRANSFORM),
        ),
        "flag file": Sample(_FLAGS, ".cfg", lambda path: command_line.read_config(["main.py", f"--flagfile={path}"])),
        "list": Sample(b"a/1.jpg 0\na/2.jpg 1\nb/3.jpg 2\n" * 4, ".txt", lambda path: image_list.read(path, None)),
        "list of ids": Sample(b"1.jpg 0\n2.jpg 1\n3.jpg 2\n" * 4, ".txt", lambda path: listing.read_ids(path, 4)),
    }


_WHOLE = frozenset(
    (
        *("JPEG", "JPEG, grey", "JPEG, progressive", "JPEG, 4 components", "JPEG, orientation 6"),
        *("PNG", "PNG, palette", "PNG, 16 bits grey", "PNG, with alpha", "PNG, orientation 6"),
        *("BMP", "BMP, palette", "GIF", "GIF, animated", "TIFF", "TIFF, LZW", "TIFF, JPEG inside"),
        *("WebP", "WebP, lossless", "WebP, with alpha", "WebP, animated", "WebP, animated without loss with alpha"),
    )
)
