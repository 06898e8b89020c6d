"""A user's list: an image's path and its label in each line, as a program or a spreadsheet has written them."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import unicodedata
from collections.abc import Callable, Sequence

from famus_tf import errors
from famus_tf.data.formats import list_columns, listing, text_lines
from famus_tf.files import plain_text

SEPARATORS = {"auto": "", "tab": "\t", "space": " ", "comma": ",", "colon": ":", "semicolon": ";", "pipe": "|"}
_MARKS = [mark for mark in SEPARATORS.values() if mark]
_EXPECTED = "a list as a text in UTF-8, with a path and a label in each line"
_PAIR = "an image's path, a tab, space, comma, colon, semicolon or bar, and a label"
_MORE_COLUMNS = "more columns need a first line that names them, such as path,label,is_trusted"
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LIKE_A_PATH = re.compile(r"[/\\]|\.\w{1,5}$")
_OF_WINDOWS = re.compile(r"[A-Za-z]:[/\\]")

_Lines = Sequence[tuple[int, str]]


@dataclasses.dataclass(frozen=True)
class ImageList:
    """What a list says.

    Attributes:
        path: the list.
        lines: the number of each image's line.
        paths: of the images.
        labels: as they are written, without quotes.
        is_trusted: whether a label is known to be right; None where the list has no such column.
        notes: sentences on what a user may not expect.
    """

    path: str
    lines: list[int]
    paths: list[str]
    labels: list[str]
    is_trusted: list[bool] | None
    notes: tuple[str, ...]


def read(path: str, root: str | None, separator: str = "auto", *, check_present: bool = True) -> ImageList:
    """Reads a list file.

    Passed over are empty lines, comments before the first image, and a header: a first line of the names of columns, or
    one that names no image. A header of three columns or more says which is which; else a line is a path and a label.

    Args:
        path: the file, UTF-8, or UTF-16 with its marker; quotes are those of CSV. Bytes of a path that are no UTF-8
            are taken as they are.
        root: the folder that relative paths start at; None for the file's own.
        separator: a key of `SEPARATORS`; what stands between a path, which may contain it, and its label. "auto" takes
            the one that leaves an image before it in every line.
        check_present: whether a missing image is an error.

    Raises:
        errors.InputError: it cannot be read, holds no image, a line is not a path and a label, or an image is missing.
    """
    places = _Places(root or os.path.dirname(path))
    lines = list(text_lines.numbered(path, _EXPECTED, any_bytes=True))
    while lines and lines[0][1].lstrip().startswith("#") and not _names_an_image(lines[0][1]):
        del lines[0]
    marks = [SEPARATORS[separator]] if SEPARATORS[separator] else _MARKS
    columns, notes = _header(path, lines, marks, places.has)
    if not lines:
        raise errors.InputError(f"{path}: names no images, expected a path and a label in each line")
    is_trusted = None
    if columns and columns.mark in marks and not columns.are_a_pair:
        names, labels, is_trusted = list_columns.read(path, lines, columns, fields)
        notes += [f"{path}: {note}" for note in columns.notes]
    else:
        names, labels = _pairs(path, lines, marks, places.has)
    _check_labels(path, lines, labels)
    numbers = [number for number, _ in lines]
    paths = [places.of(name) for name in names]
    if check_present:
        _require_images(path, numbers, names, paths, places)
    return ImageList(path, numbers, paths, labels, is_trusted, (*notes, *places.notes(path)))


def fields(line: str, mark: str) -> list[str] | None:
    """The columns of a line, without quotes; None where a quote is not closed."""
    try:
        found = next(csv.reader([line], delimiter=mark, skipinitialspace=True, strict=True), [])
    except csv.Error:
        return None
    return [_bare(field) for field in found]


class _Places:
    """The files that names in a list mean."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._present = listing.Present()
        self._turned = 0

    def has(self, name: str) -> bool:
        return bool(name) and self._present(self._best(name))

    def of(self, name: str) -> str:
        found = self._best(name)
        self._turned += "\\" in name and found != os.path.join(self._base, name)
        return found

    def is_there(self, path: str) -> bool:
        return self._present(path)

    def notes(self, path: str) -> tuple[str, ...]:
        if not self._turned:
            return ()
        return (f"{path}: paths with \\ between folders are read as if it were /: {self._turned:,}",)

    def _best(self, name: str) -> str:
        plain = os.path.join(self._base, name)
        # Written on another system, which has other separators, or other forms of letters with accents.
        if name.isascii() and "\\" not in name and not name.startswith("~/"):
            return plain
        turned = name.replace("\\", "/")
        forms = (unicodedata.normalize(form, text) for text in (name, turned) for form in ("NFC", "NFD"))
        others = (os.path.expanduser(name), turned, *forms)
        candidates = (os.path.join(self._base, other) for other in (name, *others))
        return next((place for place in candidates if self._present(place)), plain)


def _bare(text: str) -> str:
    return text.strip().strip(_INVISIBLE).strip()


def _names_an_image(line: str) -> bool:
    return any(ending in line.lower() for ending in listing.IMAGE_ENDINGS)


def _header(
    path: str, lines: list[tuple[int, str]], marks: list[str], has: Callable[[str], bool]
) -> tuple[list_columns.Columns | None, list[str]]:
    """The columns that the first line names, and sentences; the line goes where it is a header."""
    if not lines:
        return None, []
    number, line = lines[0]
    columns = list_columns.named_in(line, [*marks, *_MARKS], fields)
    if columns and has(columns.names[columns.path]):
        return None, []
    if not columns and not _is_unknown_header(line, marks, has):
        return None, []
    del lines[0]
    return columns, [] if columns else [f"{path}, line {number}: {line!r} is taken for a header, as no image is there"]


def _is_unknown_header(line: str, marks: list[str], has: Callable[[str], bool]) -> bool:
    """Whether a first line of words that are not known names no image."""
    names = [_pair(line, mark)[0] for mark in marks]
    return not _names_an_image(line) and not any(has(name) or _LIKE_A_PATH.search(name) for name in names)


def _pair(line: str, mark: str) -> tuple[str, str]:
    if '"' in line:
        found = fields(line, mark)
        if found and len(found) == 2:
            return found[0], found[1]
    name, _, label = line.rpartition(mark)
    return _bare(name), _bare(label)


def _pairs(path: str, lines: _Lines, marks: list[str], has: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Names and labels, between which stands what leaves an image's name before it in every line."""

    def is_name(name: str) -> bool:
        return listing.is_image(name) or has(name)

    # A label may be missing here and there, which is told line by line below; the name before it must be an image's.
    divided = {mark: pairs for mark in marks if (pairs := _divided(lines, mark, is_name)) is not None}
    if not divided:
        best = max(marks, key=lambda mark: sum(listing.is_image(_pair(line, mark)[0]) for _, line in lines))
        number, line = next((n, text) for n, text in lines if not is_name(_pair(text, best)[0]))
        wanted = f"an image's path, {marks[0]!r}, and a label" if len(marks) == 1 else f"{_PAIR}; {_MORE_COLUMNS}"
        raise errors.InputError(f"{path}, line {number}: found {line!r}, expected {wanted}")
    (first, pairs), *others = divided.items()
    for mark, other_pairs in others:
        for (number, line), pair, other in zip(lines, pairs, other_pairs, strict=True):
            if other != pair:
                raise errors.InputError(
                    f"{path}, line {number}: found {line!r}, which {first!r} and {mark!r} divide in two ways; expected "
                    "option `list_separator`"
                )
    for (number, line), (_, label) in zip(lines, pairs, strict=True):
        if not label:
            raise errors.InputError(
                f"{path}, line {number}: found {line!r}, expected an image's path, {first!r}, and a label"
            )
        if label.startswith('"') and fields(line, first) is None:
            raise errors.InputError(
                f"{path}, line {number}: found {line!r}, whose quote is not closed; expected {_PAIR}"
            )
    return [name for name, _ in pairs], [label for _, label in pairs]


def _divided(lines: _Lines, mark: str, is_name: Callable[[str], bool]) -> list[tuple[str, str]] | None:
    """A pair for each line, or None where one does not begin with an image's name."""
    pairs = []
    for _, line in lines:
        pair = _pair(line, mark)
        if not is_name(pair[0]):
            return None
        pairs.append(pair)
    return pairs


def _check_labels(path: str, lines: _Lines, labels: list[str]) -> None:
    for (number, _), label in zip(lines, labels, strict=True):
        if _NO_TEXT.search(label):
            shown = plain_text.escaped(label)
            raise errors.InputError(
                f"{path}, line {number}: found the label '{shown}', with bytes that are no text in UTF-8; expected "
                f"{_EXPECTED}"
            )


def _require_images(path: str, numbers: list[int], names: list[str], paths: list[str], places: _Places) -> None:
    for number, name, place in zip(numbers, names, paths, strict=True):
        if not places.is_there(place):
            hint = "; it is a path of Windows, expected one below the folder" if _OF_WINDOWS.match(name) else ""
            raise errors.InputError(f"{path}, line {number}: there is no image {place}; see option `data_dir`{hint}")
