"""A user's own images: class folders, or lists of paths and labels."""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import listing
from famus_tf.data.images import image_files, typical_size
from famus_tf.data.labels import class_names, noise
from famus_tf.data.sets import folder_splits
from famus_tf.data.source import Examples, Source, channel_statistics

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

_LOG = logging.getLogger(__name__)


_Examples = tuple[list[str], list[str]]


def load_folder(data_dir: str | None, options: DataConfig) -> Source:
    """Images in class folders.

    Either `train/`, `test/`, perhaps `val/`, and, if there are trusted labels, `meta/`, each with one folder for each
    class; or the class folders themselves, of which about a fifth of each class becomes the test set. The epoch is
    chosen by `val/` where there is `test/` as well; alone it is the test set. See `folder_splits`.

    Args:
        data_dir: the folder.
        options: see there; the lists are not used.

    Returns:
        A source whose training labels may be wrong, in unknown places.

    Raises:
        errors.InputError: the layout is another, a class is empty or not in the training set.
    """
    if not data_dir or not os.path.isdir(data_dir):
        raise errors.InputError(f"option `data_dir`={data_dir or ''}: expected a folder with {folder_splits.EXPECTED}")
    found = folder_splits.read(data_dir)
    names = class_names.of_folders(found.splits["train"][1])
    source = _make("folder", found.splits, names, options)
    return dataclasses.replace(
        source, test_is_drawn=found.test_is_drawn, notes=(*found.notes, *names.notes), not_read=found.left_out
    )


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
    listed = {
        name: listing.read(path, data_dir, options.list_separator, check_present=check)
        for name, path in lists.items()
        if path
    }
    names = class_names.of_list(options.train_list, listed["train"].lines, listed["train"].labels)
    splits = {name: (found.paths, found.labels) for name, found in listed.items()}
    return dataclasses.replace(_make("list", splits, names, options), notes=names.notes)


def _make(name: str, splits: dict[str, _Examples], names: class_names.ClassNames, options: DataConfig) -> Source:
    """`splits`: "train", "test" and perhaps "val" and "meta"."""
    paths, _ = splits["train"]
    sample = typical_size.look_at(paths)
    transform, keeps_size = typical_size.transform(sample, options)
    for sentence in typical_size.sentences(sample, transform, keeps_size):
        _LOG.info(sentence)
    images = image_files.ImageFiles(np.array(paths), transform)
    mean, std = channel_statistics(image_files.as_array(images, sample.positions))
    made = {split: _with_ids(examples, names, split, transform) for split, examples in splits.items()}
    return Source(
        name=name,
        train_images=made["train"].images,
        train_labels=made["train"].labels,
        test_images=made["test"].images,
        test_labels=made["test"].labels,
        class_names=names.names,
        mean=mean,
        std=tuple(max(value, 1.0) for value in std),
        crop_padding=0,
        flip=True,
        classes=noise.Classes(len(names.names)),
        labels_are_true=False,
        meta=made.get("meta"),
        validation=made.get("val"),
        in_memory=keeps_size,
    )


def _with_ids(
    examples: _Examples, names: class_names.ClassNames, what: str, transform: image_files.Transform
) -> Examples:
    paths, labels = examples
    id_of = {label: names.id_of(label) for label in set(labels)}
    for path, label in zip(paths, labels, strict=True):
        if id_of[label] is None:
            like = names.like(label)
            hint = f", where {like!r} is" if like else ""
            raise errors.InputError(
                f"{path}: class {label!r} of the {what} set is not among the training set's classes{hint}"
            )
    ids = np.array([id_of[label] for label in labels], np.int32)
    return Examples(image_files.ImageFiles(np.array(paths), transform), ids)
