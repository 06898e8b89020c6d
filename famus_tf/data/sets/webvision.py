"""WebVision 1.0: photographs found on the web by the names of ImageNet's classes; "mini" is its first 50 classes."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import listing
from famus_tf.data.images import image_files
from famus_tf.data.labels import noise
from famus_tf.data.sets import ilsvrc12
from famus_tf.data.source import Source

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

_LOG = logging.getLogger(__name__)

_TRAIN_LIST = os.path.join("info", "train_filelist_google.txt")
_VAL_LIST = os.path.join("info", "val_filelist.txt")
_LAYOUT = (
    "info/train_filelist_google.txt with google/q0001/<image> (there, in google_resized_256/ or in train/) and "
    "info/val_filelist.txt with val_images_256/<image>, or train/<wnid>/<image> and val/<wnid>/<image>"
)
_SYNSET = re.compile(r"(n\d{8})(?:\s+(.*))?")
_MINI = 50
_MINI_IMAGES = 65_944
_CROP = 299
_RESIZE = 320
# Of ImageNet, in units of 0..255.
_MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
_STD = tuple(255 * value for value in (0.229, 0.224, 0.225))

_Found = tuple[list[str], np.ndarray]


def load(data_dir: str | None, options: DataConfig) -> Source:
    """Loads the first classes of WebVision 1.0, the training images of its Google part.

    The classes are those of `info/synsets.txt`, in its order. Where there is no such file, they are the first class
    folders of `train/` or, with the file lists, the first of ILSVRC12's, both sorted by WordNet id. ILSVRC12's
    validation images are matched to them by WordNet id. The number of training images is logged, with the 65,944 of
    the published file list where it is another: copies of the set differ.

    Images are scaled to 320 and cropped to 299 pixels, in training a box of random size and ratio, and normalised as
    ImageNet's are.

    Source: W. Li et al., "WebVision Database: Visual Learning and Understanding from Web Data", arXiv:1708.02862
    (2017); the first 50 classes: L. Jiang et al., "MentorNet", ICML 2018; sizes: J. Li et al., "DivideMix", ICLR 2020.

    Args:
        data_dir: the folder.
        options: see there.

    Returns:
        A source whose training labels may be wrong, in unknown places; its test set is WebVision's validation set.
        With `options.ilsvrc_dir` it has another, "ilsvrc12".

    Raises:
        errors.InputError: the layout is another, a line of a list is malformed, an image is missing, or a class has no
            images.
    """
    if not data_dir or not os.path.isdir(data_dir):
        raise errors.InputError(f"option `data_dir`={data_dir or ''}: expected a folder of WebVision 1.0: {_LAYOUT}")
    wnids, names = _classes(data_dir, options.webvision_classes)
    check = options.on_bad_image == "fail"
    train_paths, train_labels = _train(data_dir, wnids, check)
    test_paths, test_labels = _validation(data_dir, wnids, check)
    for what, labels in (("training", train_labels), ("validation", test_labels)):
        listing.require_every_class(labels, names, f"{data_dir}, {what} set")
    _log_size(len(train_labels), len(wnids))
    transform = _transform(options)
    other_tests = {}
    if options.ilsvrc_dir:
        other_tests["ilsvrc12"] = ilsvrc12.load(options.ilsvrc_dir, wnids, transform, check_present=check)
    return Source(
        name="webvision",
        train_images=_files(train_paths, transform),
        train_labels=train_labels,
        test_images=_files(test_paths, transform),
        test_labels=test_labels,
        class_names=tuple(names),
        mean=_MEAN,
        std=_STD,
        crop_padding=0,
        flip=True,
        classes=noise.Classes(len(wnids)),
        labels_are_true=False,
        other_tests=other_tests,
    )


def _classes(data_dir: str, count: int) -> tuple[list[str], list[str]]:
    """WordNet ids and names, which have the id in them: ImageNet has two cranes."""
    path = os.path.join(data_dir, "info", "synsets.txt")
    if not os.path.isfile(path):
        wnids = _sorted_folders(os.path.join(data_dir, "train")) or list(ilsvrc12.sorted_wnids() or ())
        if not wnids:
            raise errors.InputError(f"{path}: is missing, expected a WordNet id and a name in each line")
        _check_count(data_dir, len(wnids), count)
        return wnids[:count], wnids[:count]
    with errors.reading(path, "a text in UTF-8"), open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    _check_count(path, len(lines), count)
    wnids, names = [], []
    for number, line in enumerate(lines[:count], start=1):
        matched = _SYNSET.fullmatch(line.strip())
        if not matched:
            raise errors.InputError(
                f"{path}, line {number}: found {line!r}, expected a WordNet id, as n01440764, and a name"
            )
        wnids.append(matched[1])
        names.append(" ".join((matched[1], (matched[2] or "").partition(",")[0])).strip())
    return wnids, names


def _check_count(where: str, count: int, wanted: int) -> None:
    if count < wanted:
        raise errors.InputError(
            f"{where}: has {count} classes, expected the {wanted} of option `webvision_classes` or more"
        )


def _sorted_folders(place: str) -> list[str]:
    if not os.path.isdir(place):
        return []
    return [name for name in listing.folders_in(place) if _SYNSET.fullmatch(name)]


def _train(data_dir: str, wnids: list[str], check_present: bool) -> _Found:
    filelist = os.path.join(data_dir, _TRAIN_LIST)
    for below in ("", "google_resized_256", "train"):
        root = os.path.join(data_dir, below)
        if os.path.isfile(filelist) and os.path.isdir(os.path.join(root, "google")):
            return listing.read_first_classes(filelist, root, len(wnids), check_present=check_present)
    return _by_class(data_dir, "train", wnids)


def _validation(data_dir: str, wnids: list[str], check_present: bool) -> _Found:
    filelist = os.path.join(data_dir, _VAL_LIST)
    root = os.path.join(data_dir, "val_images_256")
    if os.path.isfile(filelist) and os.path.isdir(root):
        return listing.read_first_classes(filelist, root, len(wnids), check_present=check_present)
    return _by_class(data_dir, "val", wnids)


def _by_class(data_dir: str, name: str, wnids: list[str]) -> _Found:
    place = os.path.join(data_dir, name)
    if not _sorted_folders(place):
        what = {"train": "training", "val": "validation"}[name]
        raise errors.InputError(f"{data_dir}: the {what} images were not found, expected {_LAYOUT}")
    return listing.in_folders(place, {wnid: label for label, wnid in enumerate(wnids)})


def _log_size(images: int, classes: int) -> None:
    note = f"; published work has {_MINI_IMAGES:,}" if classes == _MINI and images != _MINI_IMAGES else ""
    _LOG.info(f"webvision: {images:,} training images in the first {classes} classes{note}")


def _transform(options: DataConfig) -> image_files.Transform:
    size = options.image_size or _CROP
    resize = options.resize or max(size, round(size * _RESIZE / _CROP))
    return image_files.Transform(resize, size, random_resized=True)


def _files(paths: list[str], transform: image_files.Transform) -> image_files.ImageFiles:
    return image_files.ImageFiles(np.array(paths), transform)
