"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32 pixels."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import archives, pickles, prepared
from famus_tf.data.labels import noise
from famus_tf.data.source import Source

_CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
_CIFAR100_NAMES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair",
    "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin",
    "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp",
    "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
    "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
)
# fmt: on
# The coarse label of each fine one; five fine ones each.
CIFAR100_SUPERCLASSES = (
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7),
    *(6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10),
    *(16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16),
    *(12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
)
# Truck -> automobile, bird -> airplane, cat <-> dog, deer -> horse.
_CIFAR10_MISTAKES = (0, 1, 0, 5, 7, 3, 6, 7, 8, 1)
_PIXELS = 3 * 32 * 32
# Of the training images, in units of 0..255, as in Meta-Weight-Net's code, for both sets.
_MEAN, _STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


@dataclasses.dataclass(frozen=True)
class _Variant:
    """One of the two sets.

    Attributes:
        name: its name here and in TensorFlow Datasets.
        folders: its folder in the Python and in the binary form.
        archives: likewise its tar archives.
        train, test: the files of the Python form.
        key: the labels' key there.
        label_bytes: in the binary form, bytes before an image; the last one is the label.
        keras_folder: where Keras's cache has the Python form's folder.
        class_names, asymmetric, superclasses: see `noise.Classes`.
    """

    name: str
    folders: tuple[str, str]
    archives: tuple[str, str]
    train: tuple[str, ...]
    test: tuple[str, ...]
    key: bytes
    label_bytes: int
    keras_folder: str
    class_names: tuple[str, ...]
    asymmetric: tuple[int, ...] | None
    superclasses: tuple[int, ...] | None


_CIFAR10 = _Variant(
    name="cifar10",
    folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
    archives=("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    key=b"labels",
    label_bytes=1,
    keras_folder="cifar-10-batches-py-target",
    class_names=_CIFAR10_NAMES,
    asymmetric=_CIFAR10_MISTAKES,
    superclasses=None,
)
_CIFAR100 = _Variant(
    name="cifar100",
    folders=("cifar-100-python", "cifar-100-binary"),
    archives=("cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"),
    train=("train",),
    test=("test",),
    key=b"fine_labels",
    label_bytes=2,
    keras_folder="cifar-100-python-target",
    class_names=_CIFAR100_NAMES,
    asymmetric=None,
    superclasses=CIFAR100_SUPERCLASSES,
)

_Split = tuple[np.ndarray, np.ndarray]


def load_cifar10(data_dir: str | None = None) -> Source:
    """Loads CIFAR-10 from the first place that has it.

    These are: the folder `data_dir`, or in it the folder or the tar archive of the Python or the binary form;
    Keras's cache; TensorFlow Datasets, where it has been prepared. Nothing is downloaded. The examples' order is that
    of the files: of the Python form, for which files of noisy labels are made, if that is what is found.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).

    Args:
        data_dir: where to look first.

    Returns:
        A source of images [32, 32, 3] in 0..255; crops are padded by reflection, as in Meta-Weight-Net's code.

    Raises:
        errors.InputError: it is nowhere, or a file is missing or broken.
    """
    return _load(_CIFAR10, data_dir)


def load_cifar100(data_dir: str | None = None) -> Source:
    """Loads CIFAR-100 with its fine labels; see `load_cifar10`."""
    return _load(_CIFAR100, data_dir)


def _load(variant: _Variant, data_dir: str | None) -> Source:
    splits = _find(variant, data_dir) or prepared.read(variant.name, data_dir)
    if splits is None:
        python, binary = variant.folders
        where = f"{data_dir}, Keras's cache" if data_dir else "Keras's cache"
        raise errors.InputError(
            f"{variant.name} was not found in {where} nor prepared by TensorFlow Datasets: expected in "
            f"option `data_dir` {python}/ with {', '.join((*variant.train, *variant.test))}, or {binary}/ with the "
            f"same names and .bin, or one of {', '.join(variant.archives)}"
        )
    (train_images, train_labels), (test_images, test_labels) = splits
    for what, labels in (("training", train_labels), ("test", test_labels)):
        if not len(labels):
            raise errors.InputError(f"{variant.name}: no {what} images were found, expected 50,000 and 10,000")
        if labels.min() < 0 or labels.max() >= len(variant.class_names):
            raise errors.InputError(
                f"{variant.name}: the {what} labels range from {labels.min()} to {labels.max()}, expected 0 to "
                f"{len(variant.class_names) - 1}"
            )
    return Source(
        name=variant.name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=variant.class_names,
        mean=_MEAN,
        std=_STD,
        crop_padding=4,
        flip=True,
        padding_mode="reflect",
        classes=noise.Classes(len(variant.class_names), variant.asymmetric, variant.superclasses),
    )


def _find(variant: _Variant, data_dir: str | None) -> tuple[_Split, _Split] | None:
    """Both splits from the first folder or archive that has any file of the set, or None."""
    for place in [data_dir] if data_dir else []:
        for form, folder_name, archive_name in zip(_FORMS, variant.folders, variant.archives, strict=True):
            for folder in (os.path.join(place, folder_name), place):
                if splits := _read_folder(variant, form, folder):
                    return splits
            for archive in (os.path.join(place, archive_name), place):
                if os.path.isfile(archive) and os.path.basename(archive) == archive_name:
                    content = archives.read_tar(archive, set(form.names(variant.train + variant.test)))
                    return _parse_all(variant, form, archive, content.get)
    keras_home = os.path.join(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"), "datasets")
    for below in ("", variant.keras_folder):
        if splits := _read_folder(variant, _FORMS[0], os.path.join(keras_home, below, variant.folders[0])):
            return splits
    return None


def _read_folder(variant: _Variant, form: _Form, folder: str) -> tuple[_Split, _Split] | None:
    if not any(os.path.isfile(os.path.join(folder, name)) for name in form.names(variant.train + variant.test)):
        return None
    return _parse_all(variant, form, folder, _folder_reader(folder))


def _folder_reader(folder: str) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            return None
        with errors.reading(path, "a part of the set"), open(path, "rb") as file:
            return file.read()

    return read


def _parse_all(
    variant: _Variant, form: _Form, place: str, read: Callable[[str], bytes | None]
) -> tuple[_Split, _Split]:
    splits = []
    for names in (form.names(variant.train), form.names(variant.test)):
        parts = []
        for name in names:
            data = read(name)
            if data is None:
                expected = ", ".join(form.names(variant.train + variant.test))
                raise errors.InputError(f"{place}: {name} is missing, expected {expected}, all of {variant.name}")
            parts.append(form.parse(variant, data, os.path.join(place, name)))
        images, labels = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        splits.append((_channels_last(images), labels.astype(np.int32)))
    return tuple(splits)


def _parse_python(variant: _Variant, data: bytes, where: str) -> _Split:
    content = pickles.load(data, where)
    keys = (b"data", variant.key)
    if not isinstance(content, dict) or any(key not in content for key in keys):
        held = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise errors.InputError(f"{where}: holds {held}, expected a dict with {keys[0]!r} and {keys[1]!r}")
    images, labels = (pickles.whole_numbers(content[key]) for key in keys)
    if images is None or labels is None or labels.ndim != 1:
        raise errors.InputError(
            f"{where}: {keys[0]!r} or {keys[1]!r} is no array of whole numbers, expected uint8 (n, {_PIXELS}) "
            "and n labels"
        )
    if images.dtype != np.uint8 or images.shape != (len(labels), _PIXELS) or labels.dtype.kind not in "iu":
        raise errors.InputError(
            f"{where}: images of shape {images.shape} and dtype {images.dtype} with {labels.size} labels, expected "
            f"uint8 ({labels.size}, {_PIXELS}) and whole numbers"
        )
    return images, labels


def _parse_binary(variant: _Variant, data: bytes, where: str) -> _Split:
    row = variant.label_bytes + _PIXELS
    if not data or len(data) % row:
        raise errors.InputError(f"{where}: {len(data)} bytes, expected a multiple of {row}: labels and 32x32x3 pixels")
    rows = np.frombuffer(data, np.uint8).reshape(-1, row)
    return rows[:, variant.label_bytes :], rows[:, variant.label_bytes - 1]


def _channels_last(images: np.ndarray) -> np.ndarray:
    """[N, 3072] planes of red, green, blue -> [N, 32, 32, 3]."""
    return np.ascontiguousarray(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


@dataclasses.dataclass(frozen=True)
class _Form:
    """The ending of the files' names, and the function that reads one."""

    ending: str
    parse: Callable[[_Variant, bytes, str], _Split]

    def names(self, stems: tuple[str, ...]) -> list[str]:
        return [stem + self.ending for stem in stems]


_FORMS = (_Form("", _parse_python), _Form(".bin", _parse_binary))
