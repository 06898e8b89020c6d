"""The validation images of ILSVRC12 (ImageNet), of the classes that are asked for by their WordNet ids."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import listing
from famus_tf.data.images import image_files
from famus_tf.data.source import Examples

_LAYOUTS = (
    "val/<wnid>/*.JPEG; or val/ILSVRC2012_val_*.JPEG, with the devkit's ILSVRC2012_validation_ground_truth.txt and "
    "meta.mat in ILSVRC2012_devkit_t12/data/ or the package tensorflow_datasets, which has the labels too; or "
    "val/<class number>/*.JPEG; or val/*.JPEG with imagenet_val.txt, a file and a class number in each line"
)
_PLACES = ("val", "ILSVRC2012_img_val", "")
_DEVKIT_PLACES = ("", "data", os.path.join("ILSVRC2012_devkit_t12", "data"))
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_WNID = re.compile(r"n\d{8}")
_FLAT_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.(?:jpe?g|png)", re.IGNORECASE)

_Found = tuple[list[str], np.ndarray]


def load(
    folder: str, wnids: Sequence[str], transform: image_files.Transform, *, check_present: bool = True
) -> Examples:
    """Loads the images of some classes, of which the folder may hold more.

    Four layouts are looked for, in this order: class folders named by WordNet id; `imagenet_val.txt`, as of ELR; class
    folders named by number, as of DivideMix; images side by side, as the archive has them, labelled by the devkit or,
    without it, by TensorFlow Datasets. Numbers are taken for positions in `wnids`, those of WebVision's classes. The
    devkit's own numbers are in another order, and are matched by WordNet id like all else.

    Source: O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 115 (2015).

    Args:
        folder: it holds `val/` or, but for `imagenet_val.txt`, the images or class folders themselves.
        wnids: of the classes that are wanted.
        transform: what is done to each image.
        check_present: whether an image that is listed and missing is an error.

    Returns:
        The images, with labels by position in `wnids`.

    Raises:
        errors.InputError: the layout is another, a file of labels is broken, or a class has no images.
    """
    if not os.path.isdir(folder):
        raise errors.InputError(f"option `ilsvrc_dir`={folder}: not a folder, expected one with {_LAYOUTS}")
    examples = (
        _in_named_folders(folder, wnids) or _listed(folder, wnids, check_present) or _in_numbered_folders(folder, wnids)
    )
    paths, labels = examples or _side_by_side(folder, wnids)
    listing.require_every_class(labels, wnids, folder)
    return Examples(image_files.ImageFiles(np.array(paths), transform), labels)


def sorted_wnids() -> tuple[str, ...] | None:
    """The WordNet ids of all 1,000 classes, sorted; None without TensorFlow Datasets, which has them."""
    return _packaged("labels.txt")


def _packaged(name: str) -> tuple[str, ...] | None:
    """The lines of a file that comes with TensorFlow Datasets' ImageNet; the package itself is not loaded."""
    package = importlib.util.find_spec("tensorflow_datasets")
    for place in package.submodule_search_locations if package else ():
        path = os.path.join(place, "datasets", "imagenet2012", name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return tuple(file.read().split())
    return None


def _in_named_folders(folder: str, wnids: Sequence[str]) -> _Found | None:
    for place in _places(folder):
        if any(_WNID.fullmatch(name) for name in _folders(place)):
            return listing.in_folders(place, {wnid: label for label, wnid in enumerate(wnids)})
    return None


def _listed(folder: str, wnids: Sequence[str], check_present: bool) -> _Found | None:
    path = os.path.join(folder, "imagenet_val.txt")
    if not os.path.isfile(path):
        return None
    return listing.read_first_classes(path, os.path.join(folder, "val"), len(wnids), check_present=check_present)


def _in_numbered_folders(folder: str, wnids: Sequence[str]) -> _Found | None:
    for place in _places(folder):
        number_of = {name: listing.number_in(name) for name in _folders(place)}
        if any(number >= 0 for number in number_of.values()):
            return listing.in_folders(place, {name: k for name, k in number_of.items() if 0 <= k < len(wnids)})
    return None


def _side_by_side(folder: str, wnids: Sequence[str]) -> _Found:
    for place in _places(folder):
        names = sorted(filter(_FLAT_NAME.fullmatch, listing.names_in(place)))
        if names:
            return _by_number(folder, place, names, wnids)
    raise errors.InputError(f"option `ilsvrc_dir`={folder}: holds none of its layouts, expected {_LAYOUTS}")


def _by_number(folder: str, place: str, names: list[str], wnids: Sequence[str]) -> _Found:
    """Labels images by the number in their names."""
    truth = _devkit(folder) or _packaged("validation_labels.txt")
    if truth is None:
        raise errors.InputError(
            f"{place}: holds {len(names)} images and no labels, expected {_TRUTH} and meta.mat of the devkit in "
            f"{os.path.join(folder, _DEVKIT_PLACES[-1])}, or the package tensorflow_datasets"
        )
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    paths, labels = [], []
    for name in names:
        number = int(_FLAT_NAME.fullmatch(name)[1])
        if not 1 <= number <= len(truth):
            raise errors.InputError(
                f"{os.path.join(place, name)}: its number is {number}, expected 1 to {len(truth)}, for which there are "
                "labels"
            )
        if truth[number - 1] in label_of:
            paths.append(os.path.join(place, name))
            labels.append(label_of[truth[number - 1]])
    return paths, np.array(labels, np.int32)


def _devkit(folder: str) -> list[str] | None:
    """The WordNet id of each validation image by its number less 1, from the devkit's two files; None without them."""
    for below in _DEVKIT_PLACES:
        truth, meta = (os.path.join(folder, below, name) for name in (_TRUTH, "meta.mat"))
        if os.path.isfile(truth) and os.path.isfile(meta):
            wnids = _wnids_by_devkit_id(meta)
            with errors.reading(truth, "a class number in each line"), open(truth, encoding="utf-8") as file:
                return [_known(truth, number, line.strip(), wnids) for number, line in enumerate(file, start=1)]
    return None


def _known(path: str, number: int, text: str, wnids: dict[int, str]) -> str:
    if listing.number_in(text) not in wnids:
        raise errors.InputError(f"{path}, line {number}: found {text!r}, expected one of the ids in meta.mat")
    return wnids[listing.number_in(text)]


def _wnids_by_devkit_id(path: str) -> dict[int, str]:
    # It comes with scikit-learn, and only this file of MATLAB's needs it.
    import scipy.io

    with errors.reading(path, "the devkit's table of classes, `synsets` with ILSVRC2012_ID and WNID"):
        synsets = np.atleast_1d(scipy.io.loadmat(path, squeeze_me=True)["synsets"])
        return {int(number): str(wnid) for number, wnid in zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)}


def _places(folder: str) -> list[str]:
    """Where the images or their class folders may lie."""
    return list(filter(os.path.isdir, (os.path.join(folder, name) for name in _PLACES)))


def _folders(place: str) -> list[str]:
    return listing.folders_in(place)
