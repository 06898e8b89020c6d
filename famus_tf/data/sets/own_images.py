"""A user's own images: class folders, or lists of paths and labels."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import listing
from famus_tf.data.images import image_files, typical_size
from famus_tf.data.labels import noise
from famus_tf.data.source import Examples, Source, channel_statistics

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

_LOG = logging.getLogger(__name__)

_TEST_SHARE = 0.2
_SPLIT_SEED = 0
# Each id up to the largest is a class, with a name and a place in the network.
_MOST_CLASSES = 1_000_000


_Examples = tuple[list[str], list[str]]


def load_folder(data_dir: str | None, options: DataConfig) -> Source:
    """Images in class folders.

    Either `train/`, `test/`, perhaps `val/`, and, if there are trusted labels, `meta/`, each with one folder for each
    class; or the class folders themselves, of which a fifth of each class, the same in every run, becomes the test set.
    The epoch is chosen by `val/` where there is `test/` as well; alone it is the test set.

    Args:
        data_dir: the folder.
        options: see there; the lists are not used.

    Returns:
        A source whose training labels may be wrong, in unknown places.

    Raises:
        errors.InputError: the layout is another, a class is empty or not in the training set.
    """
    expected = "train/<class>/<image> and test/<class>/<image>, or <class>/<image>"
    if not data_dir or not os.path.isdir(data_dir):
        raise errors.InputError(f"option `data_dir`={data_dir or ''}: expected a folder with {expected}")
    if not os.path.isdir(os.path.join(data_dir, "train")):
        train, test = _split(class_folders(data_dir, expected))
        return _make("folder", {"train": train, "test": test}, options)
    names = [name for name in ("train", "test", "val", "meta") if os.path.isdir(os.path.join(data_dir, name))]
    splits = {name: class_folders(os.path.join(data_dir, name), expected) for name in names}
    if "test" not in splits:
        if "val" not in splits:
            raise errors.InputError(f"{data_dir}: has train/ but no test/ or val/, expected {expected}")
        splits["test"] = splits.pop("val")
    return _make("folder", splits, options)


def load_list(data_dir: str | None, options: DataConfig) -> Source:
    """Images named in list files, one path and label in a line.

    Args:
        data_dir: the folder that relative paths start at; None for that of each list file.
        options: see there.

    Returns:
        A source whose training labels may be wrong, in unknown places. Labels that are numbers are class ids.

    Raises:
        errors.InputError: a list is missing, a line is none of a path and a label, an image is missing, or a label is
            not in the training list.
    """
    lists = {
        "train": options.train_list,
        "test": options.test_list,
        "val": options.validation_list,
        "meta": options.meta_list,
    }
    check = options.on_bad_image == "fail"
    splits = {
        name: listing.read(path, data_dir, options.list_separator, check_present=check)
        for name, path in lists.items()
        if path
    }
    return _make("list", splits, options)


def class_folders(root: str, expected: str) -> tuple[list[str], list[str]]:
    """Images in class folders.

    Args:
        root: the folder that holds them.
        expected: what errors say of the layout.

    Returns:
        The images' paths, folder by folder in the order of the names, and for each the name of its folder.

    Raises:
        errors.InputError: there are no class folders, or one holds no images.
    """
    folders = [name for name in listing.folders_in(root) if not name.startswith(".")]
    if not folders:
        raise errors.InputError(f"{root}: has no class folders, expected {expected}")
    paths = []
    names = []
    for name in folders:
        files = sorted(filter(listing.is_image, listing.names_in(os.path.join(root, name))))
        if not files:
            endings = ", ".join(listing.IMAGE_ENDINGS)
            raise errors.InputError(f"{os.path.join(root, name)}: holds no images ({endings}), expected {expected}")
        paths += [os.path.join(root, name, file) for file in files]
        names += [name] * len(files)
    return paths, names


def _split(examples: _Examples) -> tuple[_Examples, _Examples]:
    """Training and test part of one folder; RandomState promises the same numbers in every release of NumPy."""
    paths, names = (np.array(part) for part in examples)
    in_test = np.zeros(len(paths), bool)
    rng = np.random.RandomState(_SPLIT_SEED)
    for name in np.unique(names):
        members = rng.permutation(np.flatnonzero(names == name))
        if len(members) < 2:
            raise errors.InputError(f"class {name}: has 1 image, expected 2 or more, for training and for test")
        in_test[members[: max(1, round(_TEST_SHARE * len(members)))]] = True
    return tuple((paths[part].tolist(), names[part].tolist()) for part in (~in_test, in_test))


def _make(name: str, splits: dict[str, _Examples], options: DataConfig) -> Source:
    """`splits`: "train", "test" and perhaps "val" and "meta"."""
    paths, labels = splits.pop("train")
    to_id, class_names = _class_ids(labels)
    sample = typical_size.look_at(paths)
    transform, keeps_size = typical_size.transform(sample, options)
    for sentence in typical_size.sentences(sample, transform, keeps_size):
        _LOG.info(sentence)
    images = image_files.ImageFiles(np.array(paths), transform)
    mean, std = channel_statistics(image_files.as_array(images, sample.positions))
    held_out = {split: _with_ids(examples, to_id, split, transform) for split, examples in splits.items()}
    return Source(
        name=name,
        train_images=images,
        train_labels=np.array([to_id[label] for label in labels], np.int32),
        test_images=held_out["test"].images,
        test_labels=held_out["test"].labels,
        class_names=class_names,
        mean=mean,
        std=tuple(max(value, 1.0) for value in std),
        crop_padding=0,
        flip=True,
        classes=noise.Classes(len(class_names)),
        labels_are_true=False,
        meta=held_out.get("meta"),
        validation=held_out.get("val"),
        in_memory=keeps_size,
    )


def _class_ids(labels: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """The id of each label as it is written, and the classes' names by id."""
    distinct = sorted(set(labels))
    if all(label.isdecimal() for label in distinct):
        longest = max(distinct, key=lambda label: (len(label.lstrip("0")), label.lstrip("0")))
        if len(longest.lstrip("0")) > len(str(_MOST_CLASSES)) or int(longest) >= _MOST_CLASSES:
            raise errors.InputError(f"class id {longest[:40]}: expected ids from 0 to {_MOST_CLASSES - 1:,}")
        count = max(map(int, distinct)) + 1
        return {label: int(label) for label in distinct}, tuple(map(str, range(count)))
    return {label: number for number, label in enumerate(distinct)}, tuple(distinct)


def _with_ids(examples: _Examples, to_id: dict[str, int], what: str, transform: image_files.Transform) -> Examples:
    paths, labels = examples
    for path, label in zip(paths, labels, strict=True):
        if label not in to_id:
            raise errors.InputError(
                f"{path}: class {label!r} of the {what} set is not among the training set's classes"
            )
    ids = np.array([to_id[label] for label in labels], np.int32)
    return Examples(image_files.ImageFiles(np.array(paths), transform), ids)
