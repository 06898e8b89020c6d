"""A user's own images: class folders, or lists of paths and labels."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import image_list
from famus_tf.data.images import image_files, typical_size
from famus_tf.data.labels import class_names, noise
from famus_tf.data.sets import folder_splits, trusted_rows
from famus_tf.data.source import Examples, Source, channel_statistics

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

_LOG = logging.getLogger(__name__)


_OWN_PARTS = ("train", "test", "val", "meta")
_WORDS = {"val": "validation"}
# What sets are called in results and on the screen.
_TAKEN = (*_OWN_PARTS, "training", "validation")

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
    """Images named in list files, one path and label in a line (`image_list`).

    Where a column of the training list says whom to trust, those images are the meta set, and are not trained on.

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
        **further_tests(options),
    }
    check = options.on_bad_image == "fail"
    read = {
        name: image_list.read(path, data_dir, options.list_separator, check_present=check)
        for name, path in lists.items()
        if path
    }
    splits, trust_notes = trusted_rows.divided(read)
    if options.list_labels == "names":
        names = class_names.of_folders(read["train"].labels)
    else:
        names = class_names.of_list(options.train_list, read["train"].lines, read["train"].labels)
    # Of the training list all labels are classes.
    where = {name: _LineOf(found) for name, found in read.items() if name != "train"}
    source = _make("list", splits, names, options, where)
    notes = [note for found in read.values() for note in found.notes]
    return dataclasses.replace(source, notes=(*notes, *trust_notes, *names.notes))


def further_tests(options: DataConfig) -> dict[str, str]:
    """{name: list} of the further test sets, named as their files.

    Raises:
        errors.InputError: two have one name, or one has that of another set.
    """
    text = options.other_test_lists
    found = {}
    for path in options.further_lists:
        name = os.path.splitext(os.path.basename(path))[0]
        if name in found or name in _TAKEN:
            raise errors.InputError(
                f"option `other_test_lists`={text}: {path} would be named {name!r}, as another set is; expected lists "
                "whose files have names of their own"
            )
        found[name] = path
    return found


class _LineOf:
    """Names the line of an image, for messages."""

    def __init__(self, found: image_list.ImageList) -> None:
        self._found = found

    def __call__(self, position: int) -> str:
        return f"{self._found.path}, line {self._found.lines[position]}"


def _make(
    name: str,
    splits: dict[str, _Examples],
    names: class_names.ClassNames,
    options: DataConfig,
    where: Mapping[str, Callable[[int], str]] | None = None,
) -> Source:
    """`splits`: "train", "test", perhaps "val" and "meta", and further test sets; `where` names an image's line."""
    paths, _ = splits["train"]
    sample = typical_size.look_at(paths)
    others = _samples({split: part for split, (part, _) in splits.items() if split != "train"})
    transform, keeps_size = typical_size.transform(typical_size.with_bits_of(sample, others), options)
    for sentence in (
        *typical_size.sentences(sample, transform, keeps_size),
        *typical_size.differences(sample, others, transform, keeps_size),
    ):
        _LOG.info(sentence)
    images = image_files.ImageFiles(np.array(paths), transform)
    mean, std = channel_statistics(image_files.as_array(images, sample.positions))
    places = where or {}
    made = {
        split: _with_ids(examples, names, split, transform, places.get(split)) for split, examples in splits.items()
    }
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
        other_tests={split: part for split, part in made.items() if split not in _OWN_PARTS},
        in_memory=keeps_size,
    )


def _samples(parts: dict[str, list[str]]) -> dict[str, typical_size.Sample]:
    """A sample of each part's files; none of one without files that can be read, which is told when it is read."""
    samples = {}
    for split, paths in parts.items():
        with contextlib.suppress(errors.InputError):
            if paths:
                samples[_WORDS.get(split, split)] = typical_size.look_at(paths)
    return samples


def _with_ids(
    examples: _Examples,
    names: class_names.ClassNames,
    what: str,
    transform: image_files.Transform,
    where: Callable[[int], str] | None,
) -> Examples:
    paths, labels = examples
    id_of = {label: names.id_of(label) for label in set(labels)}
    for position, (path, label) in enumerate(zip(paths, labels, strict=True)):
        if id_of[label] is None:
            like = names.like(label)
            hint = f", where {like!r} is" if like else ""
            place = where(position) if where else path
            raise errors.InputError(
                f"{place}: class {label!r} of the {what} set is not among the training set's classes{hint}"
            )
    ids = np.array([id_of[label] for label in labels], np.int32)
    return Examples(image_files.ImageFiles(np.array(paths), transform), ids)
