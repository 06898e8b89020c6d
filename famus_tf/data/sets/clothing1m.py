"""Clothing1M: photographs of clothes from shops on the web, in 14 classes, labelled by the words around them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import class_folders, listing
from famus_tf.data.images import image_files
from famus_tf.data.labels import noise
from famus_tf.data.source import Examples, Source

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

_NAMES = (
    *("T-Shirt", "Shirt", "Knitwear", "Chiffon", "Sweater", "Hoodie", "Windbreaker"),
    *("Jacket", "Down Coat", "Suit", "Shawl", "Dress", "Vest", "Underwear"),
)
# Of the images, in units of 0..255, as in DivideMix's code.
_MEAN = tuple(255 * value for value in (0.6959, 0.6537, 0.6371))
_STD = tuple(255 * value for value in (0.3113, 0.3192, 0.3214))
_CROP = 224
_RESIZE = 256
# The parts of the set: the start of the list's name, the labels' file, the folder where it is laid out in classes.
_PARTS = {
    "train": ("noisy_train", "noisy_label_kv.txt", "noisy_train"),
    "meta": ("clean_train", "clean_label_kv.txt", "clean_train"),
    "validation": ("clean_val", "clean_label_kv.txt", "val"),
    "test": ("clean_test", "clean_label_kv.txt", "test"),
}
_LISTS = {part: f"{start}_key_list.txt" for part, (start, _, _) in _PARTS.items()}
_LABELS = tuple(dict.fromkeys(labels for _, labels, _ in _PARTS.values()))
_ANNOTATIONS = (*_LABELS, *_LISTS.values())
_FOLDERS = tuple(folder for _, _, folder in _PARTS.values())
_PREFIX = "images/"
_EXPECTED = (
    f"{', '.join(_ANNOTATIONS)} there or in annotations/, and images/0/00/*.jpg to images/9/99/*.jpg (or 0/ to 9/ "
    f"without images/); or {', '.join(f'{folder}/' for folder in _FOLDERS)} with folders q0000 to q0013 (for other "
    "folders of images: option `dataset`=folder)"
)

_Part = tuple[list[str], np.ndarray]


def load(data_dir: str | None, options: DataConfig) -> Source:
    """Loads Clothing1M from the files of its release, or from class folders.

    The release trains on 1,000,000 images with noisy labels and has 47,570 images with trusted labels to learn from
    (here the pool that the meta set is drawn from), 14,313 to choose by and 10,526 to test on. Lists of other lengths
    are taken as they are. Some images have both labels; of those that are trained on, the trusted one is not used.

    Source: T. Xiao et al., "Learning from Massive Noisy Labeled Data for Image Classification" (2015); the
    pre-processing is that of DivideMix (J. Li et al., 2020).

    Args:
        data_dir: the folder with `images/` and, in it or in its `annotations/`, the lists; or with class folders.
        options: see there; `image_size`, `resize` and `on_bad_image` are used.

    Returns:
        A source of images scaled to 256 pixels and cropped to 224.

    Raises:
        errors.InputError: the layout is another, a line is no label or key, or an image is missing.
    """
    if not data_dir or not os.path.isdir(data_dir):
        raise errors.InputError(f"option `data_dir`={data_dir or ''}: expected a folder of Clothing1M with {_EXPECTED}")
    for folder in (data_dir, os.path.join(data_dir, "annotations")):
        if any(os.path.isfile(os.path.join(folder, name)) for name in _ANNOTATIONS):
            parts = _of_lists(data_dir, folder, check_present=options.on_bad_image == "fail")
            break
    else:
        parts = _of_folders(data_dir)
    size = options.image_size or _CROP
    transform = image_files.Transform(options.resize or max(size, round(size * _RESIZE / _CROP)), size)
    made = {
        part: Examples(image_files.ImageFiles(np.array(paths), transform), labels)
        for part, (paths, labels) in parts.items()
    }
    return Source(
        name="clothing1m",
        train_images=made["train"].images,
        train_labels=made["train"].labels,
        test_images=made["test"].images,
        test_labels=made["test"].labels,
        class_names=_NAMES,
        mean=_MEAN,
        std=_STD,
        crop_padding=0,
        flip=True,
        classes=noise.Classes(len(_NAMES)),
        labels_are_true=False,
        meta=made["meta"],
        meta_is_pool=True,
        validation=made["validation"],
    )


def _of_lists(root: str, folder: str, check_present: bool) -> dict[str, _Part]:
    """`folder`: where the annotations are."""
    for name in _ANNOTATIONS:
        if not os.path.isfile(os.path.join(folder, name)):
            raise errors.InputError(f"{os.path.join(folder, name)}: is missing; expected in {root} {_EXPECTED}")
    label_files = {name: _labels(os.path.join(folder, name)) for name in _LABELS}
    parts = {}
    for part, (_, label_file, _) in _PARTS.items():
        path = os.path.join(folder, _LISTS[part])
        lines = listing.numbered_lines(path)
        labels = label_files[label_file]
        if not lines:
            raise errors.InputError(f"{path}: is empty, expected an image's key in each line, as {_PREFIX}0/00/1,2.jpg")
        keys = [line.strip() for _, line in lines]
        ids = [labels.get(key, -1) for key in keys]
        if -1 in ids:
            number = lines[ids.index(-1)][0]
            raise errors.InputError(
                f"{path}, line {number}: {keys[ids.index(-1)]!r} has no label in {label_file}, expected one"
            )
        names = [key.removeprefix(_PREFIX) for key in keys] if _is_without_prefix(root, keys[0]) else keys
        paths = [os.path.join(root, name) for name in names]
        if check_present:
            listing.require_images(path, [number for number, _ in lines], paths)
        parts[part] = paths, np.array(ids, np.int32)
    return parts


def _labels(path: str) -> dict[str, int]:
    """{key: class id} of a label file."""
    numbers, keys, ids = listing.read_ids(path, len(_NAMES))
    label_of = dict(zip(keys, ids, strict=True))
    if len(label_of) < len(keys):
        first = {}
        for number, key, label in zip(numbers, keys, ids, strict=True):
            if first.setdefault(key, label) != label:
                raise errors.InputError(
                    f"{path}, line {number}: {key!r} has label {label}, an earlier line gives it {first[key]}; "
                    "expected one label for each image"
                )
    return label_of


def _is_without_prefix(root: str, key: str) -> bool:
    """Whether the images lie right below `root`; by folders, as single ones may be missing."""
    places = [key, key.removeprefix(_PREFIX)]
    existing = [place for place in places if os.path.isdir(os.path.join(root, place.partition("/")[0]))]
    if not existing:
        folders = " nor ".join(dict.fromkeys(f"{place.partition('/')[0]}/" for place in places))
        raise errors.InputError(f"{root}: there is no {folders}, where {key!r} could be; expected {_EXPECTED}")
    return existing[0] != key


def _of_folders(root: str) -> dict[str, _Part]:
    parts = {}
    for part, (_, _, folder) in _PARTS.items():
        place = os.path.join(root, folder)
        if not os.path.isdir(place):
            raise errors.InputError(f"{root}: is no folder of Clothing1M, expected {_EXPECTED}")
        paths, names = class_folders.read(place, _EXPECTED)
        for name in dict.fromkeys(names):
            if not re.fullmatch(r"q\d{4}", name) or int(name[1:]) >= len(_NAMES):
                raise errors.InputError(f"{os.path.join(place, name)}: expected class folders q0000 to q0013")
        parts[part] = paths, np.array([int(name[1:]) for name in names], np.int32)
    return parts
