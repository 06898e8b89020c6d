"""Lists of published data sets, and what is in folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from famus_tf import errors
from famus_tf.data.formats import leftovers, text_lines

_LOG = logging.getLogger(__name__)

IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".png", ".apng"),
    *(".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
)
_DIGITS = 18
_EXPECTED = "a list as a text in UTF-8"


def is_image(name: str) -> bool:
    """Whether the file's name ends as an image's does."""
    return name.lower().endswith(IMAGE_ENDINGS)


def read_ids(path: str, num_classes: int) -> tuple[list[int], list[str], list[int]]:
    """Reads a list of class ids, one image's name, which may contain anything, a space and its id in each line.

    Args:
        path: the file; empty lines are passed over.
        num_classes: ids are from 0 to one less.

    Returns:
        For each image the number of its line, its name and its class id.

    Raises:
        errors.InputError: it cannot be read, holds no line, or a line is not a name and a class id.
    """
    lines = numbered_lines(path)
    if not lines:
        raise errors.InputError(f"{path}: is empty, expected an image's name, a space and a class id in each line")
    names, ids = [], []
    for number, line in lines:
        name, _, text = line.strip().rpartition(" ")
        name = name.rstrip()
        if not name or not 0 <= number_in(text) < num_classes:
            raise errors.InputError(
                f"{path}, line {number}: found {line!r}, expected an image's name, a space and a class id from 0 to "
                f"{num_classes - 1}"
            )
        names.append(name)
        ids.append(number_in(text))
    return [number for number, _ in lines], names, ids


def number_in(text: str) -> int:
    """The whole number that a text is in decimal digits, or -1; also of more digits than any number here has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else -1


def numbered_lines(path: str) -> list[tuple[int, str]]:
    """The lines of a text that are not empty, each with its number from 1.

    Raises:
        errors.InputError: it cannot be read.
    """
    return list(text_lines.numbered(path, _EXPECTED))


def read_first_classes(
    path: str, root: str, classes: int, *, check_present: bool = True
) -> tuple[list[str], np.ndarray]:
    """Reads the images of the first classes from a list with a path and a class number in each line.

    Other classes' lines are only counted, so that a list of millions takes seconds, and their images may be missing.

    Args:
        path: the file; empty lines are passed over.
        root: the folder that the paths start at.
        classes: how many classes are taken, from number 0 on.
        check_present: whether a missing image is an error.

    Returns:
        The images' paths, and their classes, int32.

    Raises:
        errors.InputError: it cannot be read, a line is not a path and a number, or an image is missing.
    """
    numbers = []
    paths = []
    labels = []
    for number, line in text_lines.numbered(path, _EXPECTED):
        parts = line.rsplit(maxsplit=1)
        label = number_in(parts[1]) if len(parts) == 2 else -1
        if 0 <= label < classes:
            numbers.append(number)
            paths.append(os.path.join(root, parts[0].lstrip()))
            labels.append(label)
        elif label < 0:
            raise errors.InputError(
                f"{path}, line {number}: found {line.rstrip()!r}, expected an image's path and a class number"
            )
    if check_present:
        require_images(path, numbers, paths)
    return paths, np.array(labels, np.int32)


def names_in(folder: str) -> list[str]:
    """What is in a folder, in no order; nothing where it is not there.

    Raises:
        errors.InputError: it cannot be listed.
    """
    folder = folder or "."
    if not os.path.isdir(folder):
        return []
    with errors.reading(folder, "a folder that can be listed"):
        return os.listdir(folder)


def folders_in(root: str) -> list[str]:
    """The folders in a folder and the links to folders, sorted by name.

    Raises:
        errors.InputError: it cannot be listed, or a link in it leads round to itself.
    """
    names = []
    with errors.reading(root, "a folder that can be listed"), os.scandir(root) as entries:
        for entry in entries:
            with errors.reading(os.path.join(root, entry.name), "a folder, or a link to one"):
                if entry.is_dir():
                    names.append(entry.name)
    return sorted(names)


def in_folders(root: str, classes: Mapping[str, int]) -> tuple[list[str], np.ndarray]:
    """The images in folders below `root`, in order.

    Args:
        root: the folder of the folders.
        classes: the class of each folder's images, by its name; a folder that is not there holds none.

    Returns:
        The images' paths, and their classes, int32.
    """
    paths, labels = [], []
    left_out = 0
    for name, label in classes.items():
        folder = os.path.join(root, name)
        named = sorted(filter(is_image, names_in(folder)))
        files = [file for file in named if not leftovers.file(file)]
        left_out += len(named) - len(files)
        paths += [os.path.join(folder, file) for file in files]
        labels += [label] * len(files)
    if left_out:
        _LOG.info(f"{root}: files that systems and programs leave behind are not read: {left_out:,}")
    return paths, np.array(labels, np.int32)


def require_every_class(labels: np.ndarray, class_names: Sequence[str], where: str) -> None:
    """Raises `errors.InputError` where a class has no image.

    Args:
        labels: class ids.
        class_names: of all classes, by id.
        where: what the images are, for the message.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    for name, count in zip(class_names, counts, strict=True):
        if not count:
            raise errors.InputError(
                f"{where}: has no images of class {name}, expected some of each of the {len(class_names)} classes"
            )


def require_images(path: str, numbers: list[int], paths: list[str]) -> None:
    """Checks that there are such images.

    Args:
        path: the list that names them.
        numbers: the number of the line that names each.
        paths: their paths.

    Raises:
        errors.InputError: one is missing.
    """
    for position in missing(paths):
        raise errors.InputError(
            f"{path}, line {numbers[position]}: there is no image {paths[position]}; see option `data_dir`"
        )


class Present:
    """Whether there is a file at a path; folder by folder, quick for a million of them."""

    def __init__(self) -> None:
        self._files: dict[str, frozenset[str]] = {}

    def __call__(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._files:
            self._files[folder] = _files_in(folder or ".")
        return name in self._files[folder]


def missing(paths: Iterable[str]) -> Iterator[int]:
    """The positions of those paths at which there is no file."""
    present = Present()
    return (position for position, path in enumerate(paths) if not present(path))


def _files_in(folder: str) -> frozenset[str]:
    if not os.path.isdir(folder):
        return frozenset()
    with errors.reading(folder, "a folder that can be listed"), os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if not _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round to itself
        return False
