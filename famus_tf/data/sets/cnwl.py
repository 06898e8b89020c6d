"""CNWL: Red and Blue Mini-ImageNet, 100 classes with a controlled share of wrong labels."""

from __future__ import annotations

import dataclasses
import glob
import itertools
import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.formats import class_folders, listing
from famus_tf.data.images import image_files, scaling
from famus_tf.data.labels import noise
from famus_tf.data.source import Examples, Images, Source

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

_CLASSES = 100
_SIZE = 32
# Up to this size 55,000 images are about 1.5 GB.
_LARGEST_IN_MEMORY = 96
# In units of 0..255: those of CIFAR-100 in DivideMix's code, which FaMUS's code takes for this set too.
_MEAN = tuple(255 * value for value in (0.507, 0.487, 0.441))
_STD = tuple(255 * value for value in (0.267, 0.256, 0.276))
# Below `data_dir`, where lists, images and annotations may be.
_PLACES = ("", "mini-imagenet", os.path.join("dataset_no_images", "mini-imagenet"), "dataset_no_images")
_RECORD_PLACES = ("", "red_mini_imagenet_s32", "blue_mini_imagenet_s32")
_VALIDATION = "clean_validation"
_ANNOTATIONS = "mini-imagenet-annotations.json"
# ImageNet's names start with a WordNet id; images from the web have hexadecimal ones.
_OWN_IMAGE = re.compile(r"n\d{8}")


@dataclasses.dataclass(frozen=True)
class _Part:
    """Images, labels and the files' names; None where those are not known."""

    images: Images
    labels: np.ndarray
    names: list[str] | None


def load(data_dir: str | None, options: DataConfig) -> Source:
    """Loads one of the noisy training sets, and the clean validation set to test on.

    Images of any size are scaled to 32 pixels, as in FaMUS. The published sets have 50,000 training images or a few
    more or less, and 5,000 to test on.

    A label counts as right where the image is Mini-ImageNet's own and has its own class: for each WordNet id, the label
    that most of its images have. With `clean_by` "annotation", so does the label of an image from the web that the
    annotators found right. TFRecords do not name the images: there is no telling, and no meta set.

    Source: L. Jiang et al., "Beyond Synthetic Noise: Deep Learning on Controlled Noisy Labels" (2020).

    Args:
        data_dir: the folder with `split/` and one of the trees of images, or with TFRecords; see flags/cnwl.cfg.
        options: see there; `web_noise`, `web_noise_rate`, `clean_by`, `image_size`, `resize` and `on_bad_image` are
            used.

    Returns:
        A source of which is known which training labels are right, but for TFRecords.

    Raises:
        errors.InputError: the layout is another, a line is no name and class id, or an image is missing.
    """
    split = f"{options.web_noise}_noise_nl_{options.web_noise_rate}"
    if not data_dir or not os.path.isdir(data_dir):
        raise errors.InputError(
            f"option `data_dir`={data_dir or ''}: expected a folder of CNWL with {_expected(split)}"
        )
    size = options.image_size or _SIZE
    resize = options.resize or size
    if resize < size:
        raise errors.InputError(f"option `resize`={resize} with option `image_size`={size}: expected at least that")
    transform = image_files.Transform(resize, size, padding=size // 8)
    trees = (os.path.join("training_s32", split), os.path.join("training", split), "all_images")
    train = _load(data_dir, split, trees, "image/class/label", transform, options)
    trees = ("validation_s32", "validation", "validation_all", "all_validation")
    test = _load(data_dir, _VALIDATION, trees, "image/class/fine_label", transform, options)
    clean = _are_clean(data_dir, train, options.clean_by)
    return Source(
        name="cnwl",
        train_images=train.images,
        train_labels=train.labels,
        test_images=test.images,
        test_labels=test.labels,
        class_names=_class_names(data_dir),
        mean=_MEAN,
        std=_STD,
        crop_padding=transform.padding,
        flip=True,
        classes=noise.Classes(_CLASSES),
        labels_are_true=False,
        train_is_clean=clean,
        meta=Examples(train.images[:0], train.labels[:0]) if clean is None else None,
        meta_is_pool=clean is None,
        in_memory=size <= _LARGEST_IN_MEMORY,
    )


def _expected(split: str) -> str:
    return (
        f"split/{split} and split/{_VALIDATION} there, in mini-imagenet/ or in dataset_no_images/mini-imagenet/, with "
        f"training_s32/{split}/<class id>/*.jpg, training/{split}/<class id>/*.jpg or all_images/*.jpg, and with "
        "validation_s32/<class id>/*.jpg, validation/<class id>/*.jpg, validation_all/*.jpg or all_validation/*.jpg; "
        f"or TFRecords {split}/data and {_VALIDATION}/data"
    )


def _load(
    data_dir: str,
    split: str,
    trees: tuple[str, ...],
    label_key: str,
    transform: image_files.Transform,
    options: DataConfig,
) -> _Part:
    """`trees`: folders of the images, in order of preference; those whose name has no class id need a list."""
    rows = None
    if listed := _find(data_dir, os.path.join("split", split), os.path.isfile):
        rows = listing.read_ids(listed, _CLASSES)
    # To scale the small images up would be a waste of the large ones.
    for tree in sorted(trees, key=lambda tree: ("_s32" in tree) != (transform.size <= _SIZE)):
        folder = _find(data_dir, tree, os.path.isdir)
        by_class = "all" not in tree
        if folder and rows:
            return _of_list(listed, rows, folder, by_class, transform, options.on_bad_image == "fail")
        if folder and by_class:
            return _of_folders(folder, transform)
    for place in _RECORD_PLACES:
        if files := sorted(glob.glob(os.path.join(glob.escape(data_dir), place, split, "data*"))):
            return _of_records(files, label_key, transform)
    expected = _expected(f"{options.web_noise}_noise_nl_{options.web_noise_rate}")
    raise errors.InputError(f"{data_dir}: the images of {split} were not found, expected {expected}")


def _find(data_dir: str, name: str, is_there: Callable[[str], bool]) -> str | None:
    paths = (os.path.join(data_dir, place, name) for place in _PLACES)
    return next((path for path in paths if is_there(path)), None)


def _of_list(
    listed: str,
    rows: tuple[list[int], list[str], list[int]],
    root: str,
    by_class: bool,
    transform: image_files.Transform,
    check_present: bool,
) -> _Part:
    numbers, names, ids = rows
    folders = [os.path.join(root, str(label)) for label in ids] if by_class else [root] * len(ids)
    # The lists say .jpg of files that ImageNet calls .JPEG.
    on_disk = {folder: _names_by_stem(folder) for folder in set(folders)}
    paths = [
        os.path.join(folder, on_disk[folder].get(os.path.splitext(name)[0], name))
        for folder, name in zip(folders, names, strict=True)
    ]
    if check_present:
        listing.require_images(listed, numbers, paths)
    return _Part(image_files.ImageFiles(np.array(paths), transform), np.array(ids, np.int32), names)


def _names_by_stem(folder: str) -> dict[str, str]:
    return {os.path.splitext(name)[0]: name for name in listing.names_in(folder)}


def _of_folders(root: str, transform: image_files.Transform) -> _Part:
    paths, folders = class_folders.read(root, "class folders 0 to 99")
    for name in dict.fromkeys(folders):
        if not 0 <= listing.number_in(name) < _CLASSES:
            raise errors.InputError(f"{os.path.join(root, name)}: expected class folders 0 to {_CLASSES - 1}")
    labels = np.array([int(name) for name in folders], np.int32)
    return _Part(image_files.ImageFiles(np.array(paths), transform), labels, [os.path.basename(path) for path in paths])


def _of_records(files: list[str], label_key: str, transform: image_files.Transform) -> _Part:
    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string), label_key: tf.io.FixedLenFeature([1], tf.int64)}

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        image = image_files.decode_data(example["image/encoded"], 3)
        image = scaling.short_side(image, transform.resize)
        return tf.image.resize_with_crop_or_pad(image, transform.size, transform.size), example[label_key][0]

    no_tuner = tf.data.Options()
    no_tuner.autotune.enabled = False  # see `pipeline`
    images, labels = [], []
    for file in files:
        before = len(labels)
        try:
            dataset = tf.data.TFRecordDataset(file).map(parse).with_options(no_tuner)
            for image, label in dataset.as_numpy_iterator():
                images.append(image)
                labels.append(label)
                if not 0 <= label < _CLASSES:
                    raise errors.InputError(
                        f"{file}, record {len(labels) - before}: has label {label}, expected 0 to {_CLASSES - 1}"
                    )
        except tf.errors.OpError as error:
            raise errors.InputError(
                f"{file}, record {len(labels) - before + 1}: cannot be read, expected a TFRecord with image/encoded, a "
                f"JPEG or PNG, and {label_key}, a class id"
            ) from error
    if not labels:
        raise errors.InputError(f"{files[0]}: holds no records, expected images and {label_key}")
    return _Part(np.stack(images), np.array(labels, np.int32), None)


def _are_clean(data_dir: str, train: _Part, by: str) -> np.ndarray | None:
    """Which training labels are right, bool [N]; None where that is not known."""
    if train.names is None:
        if by == "annotation":
            raise errors.InputError(
                "option `clean_by`=annotation: expected files of images, TFRecords do not name them"
            )
        return None
    ids = np.array([_wordnet_id(name) for name in train.names])
    clean = np.zeros(len(ids), bool)
    # Blue noise gives images of Mini-ImageNet other labels; 20% and more keep their own, 1% get each other one.
    for wordnet_id in np.unique(ids[ids != ""]):
        members = ids == wordnet_id
        clean[members] = train.labels[members] == np.bincount(train.labels[members]).argmax()
    if by == "annotation":
        right = _annotated_as_right(data_dir)
        stems = [os.path.splitext(name)[0] for name in train.names]
        clean |= [pair in right for pair in zip(stems, train.labels.tolist(), strict=True)]
    return clean


def _wordnet_id(name: str) -> str:
    """The WordNet id in the name of an image of Mini-ImageNet; "" for an image from the web."""
    matched = _OWN_IMAGE.match(name)
    return matched[0] if matched else ""


def _annotated_as_right(data_dir: str) -> set[tuple[str, int]]:
    """Image and class id of each annotation that the image shows the class."""
    path = _find(data_dir, _ANNOTATIONS, os.path.isfile)
    if path is None:
        raise errors.InputError(
            f"option `clean_by`=annotation: {os.path.join(data_dir, _ANNOTATIONS)} is missing; expected it there or in "
            "dataset_no_images/, or option `clean_by`=origin"
        )
    expected = "a dict with data, lists of dicts with image/id, image/class/label and image/class/label/is_clean"
    with errors.reading(path, expected):
        with open(path, encoding="utf-8") as file:
            groups = json.load(file)["data"]
        entries = itertools.chain.from_iterable(groups)
        return {
            (entry["image/id"], int(entry["image/class/label"]))
            for entry in entries
            if int(entry["image/class/label/is_clean"])
        }


def _class_names(data_dir: str) -> tuple[str, ...]:
    """The lines of the release's file of names, or numbers where it is missing or has not one line for each class."""
    for name in ("class_names.txt", "class_name.txt"):
        if path := _find(data_dir, name, os.path.isfile):
            with errors.reading(path, "a text in UTF-8"), open(path, encoding="utf-8", errors="replace") as file:
                names = tuple(line.strip() for line in file if line.strip())
            if len(names) == _CLASSES:
                return names
    return tuple(map(str, range(_CLASSES)))
