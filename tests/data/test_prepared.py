"""A set that TensorFlow Datasets has prepared on disk, read by a fresh process that has no network."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from famus_tf.data.formats import prepared

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_COUNTS = {"train": 30, "test": 12}
# Loads each NAME=DATA_DIR; tells what it got, and for which addresses a connection was asked.
_CHILD = """
import json, socket, sys

asked = []

def refuse(*arguments, **options):
    asked.append(str(arguments[-1]))
    raise OSError("there is no network in this test")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse

from famus_tf import errors
from famus_tf.data.sets import by_name as sources
from famus_tf.config.data import DataConfig

found = []
for name, _, data_dir in (argument.partition("=") for argument in sys.argv[1:]):
    try:
        source = sources.load_source(DataConfig(dataset=name, data_dir=data_dir))
        for images, labels in (
            (source.train_images, source.train_labels), (source.test_images, source.test_labels)
        ):
            found.append([images.shape, images[:, 0, 0].tolist(), labels.tolist()])
    except errors.InputError as error:
        found.append(str(error))
print(json.dumps({"found": found, "asked": asked}))
"""


def _pixel(split, number):
    """The colour of all pixels of an image, which tells which one it is."""
    return [number, 100 + number, 200 + (split == "test")]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """CIFAR-10 as TensorFlow Datasets' own builder writes it, of few examples."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    builder = tfds.builder("cifar10", data_dir=folder)

    def examples(split):
        for number in range(_COUNTS[split]):
            image = np.broadcast_to(np.array(_pixel(split, number), np.uint8), (32, 32, 3))
            name = f"{split}_{number:05d}"
            yield name, {"id": name, "image": image, "label": 7 * number % 10}

    builder._split_generators = lambda manager: {split: examples(split) for split in _COUNTS}
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    stored = [example["id"].decode() for example in tfds.as_numpy(builder.as_dataset(split="train"))]
    assert len(stored) == _COUNTS["train"] and stored != sorted(stored)  # else this would show nothing of the order
    return folder


def _check(split, shape, pixels, labels):
    count = _COUNTS[split]
    assert list(shape) == [count, 32, 32, 3]
    assert pixels == [_pixel(split, number) for number in range(count)]
    assert labels == [7 * number % 10 for number in range(count)]


def test_prepared_set_without_a_network(data_dir, tmp_path):
    done = subprocess.run(
        # From there, from the default place, and from there after an empty one; and what is in none of them.
        [
            sys.executable,
            "-c",
            _CHILD,
            f"cifar10={data_dir}",
            "cifar10=",
            f"cifar10={tmp_path}",
            f"cifar100={data_dir}",
        ],
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "",
            "HOME": str(tmp_path),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TFDS_DATA_DIR": str(data_dir),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    *found, missing = told["found"]
    assert told["asked"] == [] and len(found) == 6
    for split, (shape, pixels, labels) in zip(["train", "test"] * 3, found, strict=True):
        _check(split, shape, pixels, labels)
    assert f"cifar100 was not found in {data_dir}, Keras's cache nor prepared by TensorFlow Datasets" in missing


def test_types(data_dir):
    splits = prepared.read("cifar10", str(data_dir))
    for split, (images, labels) in zip(_COUNTS, splits, strict=True):
        assert images.dtype == np.uint8 and labels.dtype == np.int32
        _check(split, images.shape, images[:, 31, 31].tolist(), labels.tolist())
