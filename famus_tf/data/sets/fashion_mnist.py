"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28 grey pixels, ten classes."""

from __future__ import annotations

import os

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import idx, prepared
from famus_tf.data.labels import noise
from famus_tf.data.source import Source, channel_statistics

DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Pullover as shirt, dress and coat as each other, sneaker as sandal, ankle boot as sneaker (Zhang and Sabuncu,
# "Generalized Cross Entropy Loss", NeurIPS 2018, section 4).
_MISTAKEN_FOR = (0, 1, 6, 4, 3, 5, 6, 5, 8, 7)
_IMAGE_SIZE = (28, 28)
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load(data_dir: str | None = None) -> Source:
    """Loads Fashion-MNIST from the first place that has it.

    The places, in order: the four IDX files, gzipped or not, in `data_dir`, or in `fashion-mnist` or `fashion_mnist`
    below it; those of the Debian package dataset-fashion-mnist; a set that TensorFlow Datasets has prepared in
    `data_dir` or in its own default folder. Nothing is downloaded. The order of the images differs between the IDX
    files and TensorFlow Datasets.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms" (2017).

    Args:
        data_dir: where to look first; None looks in the other two places only.

    Returns:
        A source of images [28, 28, 1] in 0..255.

    Raises:
        errors.InputError: the set is nowhere, a folder holds only some of the four files, or a file is broken.
    """
    files = _find_files(data_dir)
    splits = _read_files(files) if files else prepared.read("fashion_mnist", data_dir)
    if splits is None:
        looked_in = f"{data_dir} or {DEBIAN_FOLDER}" if data_dir else DEBIAN_FOLDER
        raise errors.InputError(
            f"Fashion-MNIST was not found in {looked_in} nor prepared by TensorFlow Datasets: put its IDX files in "
            "option `data_dir`, or run `apt-get install dataset-fashion-mnist`, or run "
            "`python -c \"import tensorflow_datasets as tfds; tfds.load('fashion_mnist')\"`"
        )
    (train_images, train_labels), (test_images, test_labels) = splits
    mean, std = channel_statistics(train_images)
    return Source(
        name="fashion_mnist",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=CLASS_NAMES,
        mean=mean,
        std=std,
        crop_padding=2,
        flip=True,
        classes=noise.Classes(len(CLASS_NAMES), _MISTAKEN_FOR),
    )


def _find_files(data_dir: str | None) -> list[str] | None:
    """The paths of the four files, in the order of `_FILES`, or None."""
    folders = [os.path.join(data_dir, below) for below in ("", "fashion-mnist", "fashion_mnist")] if data_dir else []
    for folder in [*folders, DEBIAN_FOLDER]:
        files = []
        for name in _FILES:
            paths = [os.path.join(folder, name + suffix) for suffix in ("", ".gz")]
            files.append(next((path for path in paths if os.path.isfile(path)), None))
        if all(files):
            return files
        if any(files):
            missing = _FILES[files.index(None)]
            raise errors.InputError(
                f"{folder} holds a part of Fashion-MNIST, expected {missing} or {missing}.gz as well"
            )
    return None


def _read_files(files: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    splits = []
    for images_path, labels_path in (files[:2], files[2:]):
        images, labels = idx.read_pair(images_path, labels_path, _IMAGE_SIZE)
        if labels.max() >= len(CLASS_NAMES):
            raise errors.InputError(
                f"{labels_path} holds the label {labels.max()}, expected labels from 0 to {len(CLASS_NAMES) - 1}"
            )
        splits.append((images, labels))
    return splits
