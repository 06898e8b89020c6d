"""Images in class folders, and what lies there and is not read."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import logging
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from famus_tf import errors
from famus_tf.data.formats import leftovers, listing
from famus_tf.data.images import image_kinds

_LOG = logging.getLogger(__name__)

NO_IMAGE = "no image"
NO_CLASS = "in no class folder"
LEFTOVER = "left behind by a system or program"
BESIDE = "in a folder beside those of the sets"
# A sidecar file for each image is common, and to open a million of them would take long.
_NEVER_IMAGES = frozenset(
    {
        *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".htm", ".log", ".cfg"),
        *(".npy", ".npz", ".mat", ".pkl", ".pt", ".pth", ".h5", ".hdf5", ".tfrecord", ".db", ".parquet"),
        *(".py", ".ipynb", ".sh", ".zip", ".gz", ".tar", ".tgz", ".7z", ".rar"),
        *(".mp4", ".avi", ".mov", ".mkv", ".wav", ".mp3", ".pdf", ".docx", ".xlsx"),
    }
)
_HEADER = 32
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))
_RUNS = "run directories/"
_KINDS_NAMED = 4


@dataclasses.dataclass(frozen=True, order=True)
class LeftOut:
    """Files of one kind in one folder that are not read.

    Attributes:
        reason: `NO_IMAGE`, `NO_CLASS`, `LEFTOVER` or `BESIDE`.
        folder: where they lie.
        what: their kind, such as "*.txt" or "Thumbs.db"; with "/" at its end a folder, with all in it.
    """

    reason: str
    folder: str
    what: str


@dataclasses.dataclass
class Found:
    """What lies in a folder of class folders.

    Attributes:
        paths: of the images: class by class in the order of the names, those in folders inside a class folder last.
        names: the name of the class folder of each.
        empty: class folders without an image.
        inner: {folder inside a class folder: images in it}.
        left_out: how many files of each kind are not read.
    """

    paths: list[str] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)
    empty: list[str] = dataclasses.field(default_factory=list)
    inner: dict[str, int] = dataclasses.field(default_factory=dict)
    left_out: collections.Counter[LeftOut] = dataclasses.field(default_factory=collections.Counter)


def read(root: str, expected: str) -> tuple[list[str], list[str]]:
    """Images in class folders, none of which is empty.

    Args:
        root: the folder that holds them.
        expected: what errors say of the layout.

    Returns:
        The images' paths, and for each the name of its class folder.

    Raises:
        errors.InputError: there are no class folders, one holds no images, or one cannot be listed.
    """
    found = find(root)
    require_images(root, found, expected)
    for sentence in sentences(root, found.left_out, found.inner):
        _LOG.info(sentence)
    return found.paths, found.names


def require_images(root: str, found: Found, expected: str) -> None:
    """Raises `errors.InputError` where there are no class folders, or one is empty."""
    if not found.names and not found.empty:
        loose = sum(count for key, count in found.left_out.items() if key.reason == NO_CLASS)
        holds = f"{loose:,} images in no class folder" if loose else "no class folders"
        raise errors.InputError(f"{root}: has {holds}, expected {expected}")
    for name in found.empty:
        place = os.path.join(root, name)
        inside = {key: n for key, n in found.left_out.items() if _is_within(key.folder, place)}
        what = f" but {_kinds(inside)}" if inside else ", as it is empty"
        raise errors.InputError(f"{place}: holds no images{what}; expected {image_kinds.EXPECTED}, in {expected}")


def find(root: str, only: Iterable[str] | None = None) -> Found:
    """Reads a folder of class folders; folders inside a class folder belong to the class.

    Args:
        root: the folder.
        only: names of the folders in it that are class folders; None for all of them.

    Raises:
        errors.InputError: a folder cannot be listed.
    """
    found = Found()
    folders, files = _entries(root, found.left_out)
    for entry in files:
        # It may have been a class.
        if only is None and entry.is_symlink() and not listing.is_image(entry.name):
            with errors.reading(entry.path, "a folder, or a link to one"):
                os.stat(entry.path)
        key = LeftOut(NO_CLASS, root, _kind(entry.name)) if _is_image(entry) else _no_image(root, entry)
        found.left_out[key] += 1
    for entry in folders:
        if only is None or entry.name in only:
            _read_class(root, entry.name, found)
    return found


def class_folders_in(root: str) -> list[str]:
    """Names of the folders in a folder, sorted, without what systems and programs leave behind."""
    folders, _ = _entries(root, collections.Counter())
    return [entry.name for entry in folders]


def holds_images(folder: str) -> bool:
    """Whether there are images in the folder itself."""
    _, files = _entries(folder, collections.Counter())
    return any(map(_is_image, files))


def sentences(where: str, left_out: collections.Counter[LeftOut], inner: dict[str, int]) -> list[str]:
    """What is not read and what is read from further inside, for the user.

    Args:
        where: first in each sentence.
        left_out, inner: as in `Found`.
    """
    said = []
    for reason, text in _TEXTS.items():
        counts = {key: count for key, count in left_out.items() if key.reason == reason}
        if counts:
            said.append(f"{where}: {text}: {_kinds(counts)}, {_places(sorted({key.folder for key in counts}))}")
    if inner:
        said.append(
            f"{where}: images in folders inside class folders have the class of the outer folder: "
            f"{sum(inner.values()):,}, {_places(list(inner))}"
        )
    return said


_TEXTS = {
    NO_IMAGE: "files that are no images are not read",
    NO_CLASS: "images that are in no class folder are not read",
    LEFTOVER: "what systems and programs leave behind is not read",
}


def _places(folders: list[str]) -> str:
    others = f" and {len(folders) - 1:,} more" if len(folders) > 1 else ""
    return f"in {folders[0]}{others}"


def _kinds(counts: dict[LeftOut, int]) -> str:
    """12 *.txt, 3 *.heic: the commonest first."""
    by_kind = collections.Counter()
    for key, count in counts.items():
        by_kind[key.what] += count
    common = sorted(by_kind.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {what}" for what, count in common[:_KINDS_NAMED]]
    others = sum(count for _, count in common[_KINDS_NAMED:])
    return ", ".join([*named, f"{others:,} others"] if others else named)


def _read_class(root: str, name: str, found: Found) -> None:
    place = os.path.join(root, name)
    before = len(found.paths)
    others = 0
    for folder, files in _walk(place, found.left_out):
        is_image = [_is_image(entry) for entry in files]
        found.paths += itertools.compress((entry.path for entry in files), is_image)
        if any(is_image) and folder != place:
            found.inner[folder] = sum(is_image)
        others += is_image.count(False)
        no_images = itertools.compress(files, (not image for image in is_image))
        found.left_out.update(_no_image(folder, entry) for entry in no_images)
    count = len(found.paths) - before
    found.names += [name] * count
    if not count and (others or not _holds_runs(place, found)):
        found.empty.append(name)


def _holds_runs(place: str, found: Found) -> bool:
    return any(key.what == _RUNS and _is_within(key.folder, place) for key in found.left_out)


def _walk(place: str, left_out: collections.Counter[LeftOut]) -> Iterator[tuple[str, list[os.DirEntry]]]:
    """The folder and those inside it, each with its files sorted by name; a link that leads round is not followed."""
    root = pathlib.Path(place).parent.resolve()
    waiting = [(place, frozenset(map(_identity, (root, *root.parents))))]
    while waiting:
        folder, above = waiting.pop()
        identity = _identity(folder)
        if identity in above:
            left_out[LeftOut(LEFTOVER, os.path.dirname(folder), "links that lead round/")] += 1
            continue
        folders, files = _entries(folder, left_out)
        yield folder, files
        waiting += [(os.path.join(folder, entry.name), above | {identity}) for entry in reversed(folders)]


def _identity(folder: str | pathlib.Path) -> tuple[int, int]:
    with errors.reading(folder, "a folder that can be listed"):
        state = os.stat(folder)
    return state.st_dev, state.st_ino


def _entries(folder: str, left_out: collections.Counter[LeftOut]) -> tuple[list[os.DirEntry], list[os.DirEntry]]:
    """The folders and the files in a folder, sorted by name; leftovers are counted instead."""
    folders, files = [], []
    with errors.reading(folder, "a folder that can be listed"), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            is_folder = entry.is_dir() if not entry.is_symlink() else os.path.isdir(entry.path)
            what = (leftovers.folder if is_folder else leftovers.file)(entry.name)
            if is_folder and not what and leftovers.is_of_a_run(entry.path):
                what = _RUNS
            if what:
                left_out[LeftOut(LEFTOVER, folder, what)] += 1
            else:
                (folders if is_folder else files).append(entry)
    return folders, files


def _is_image(entry: os.DirEntry) -> bool:
    """By its ending, or where that says nothing by its header; a link to nowhere by its ending alone."""
    if not _is_file(entry):
        return entry.is_symlink() and listing.is_image(entry.name)
    if listing.is_image(entry.name):
        return True
    if os.path.splitext(entry.name)[1].lower() in _NEVER_IMAGES:
        return False
    with errors.reading(entry.path, "a file that can be read"):
        if not entry.stat().st_size:
            return False
        with open(entry.path, "rb") as file:
            return _begins_as_image(file.read(_HEADER))


def _is_file(entry: os.DirEntry) -> bool:
    # `is_file` of a link that leads to itself raises an error.
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def _begins_as_image(header: bytes) -> bool:
    try:
        kind = image_kinds.kind_of(header)
    except errors.InputError:
        return False
    # Two letters alone begin a BMP; the size of what follows is one of a few.
    return kind != "BMP" or header[14:18] in _BMP_HEADERS


def _no_image(folder: str, entry: os.DirEntry) -> LeftOut:
    return LeftOut(NO_IMAGE, folder, _kind(entry.name) if _is_file(entry) else "special files and broken links")


def _kind(name: str) -> str:
    """*.txt for notes.txt; numbers are all alike."""
    ending = os.path.splitext(name)[1].lower()
    return f"*{re.sub('[0-9]+', '#', ending)}" if ending.strip(".") else "without an ending"


def _is_within(folder: str, place: str) -> bool:
    return os.path.join(folder, "").startswith(os.path.join(place, ""))
