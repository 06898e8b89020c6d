"""Which classes there are, and the id of each, by the names of folders or by the labels in a list."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from famus_tf import errors

_DIGITS = re.compile("([0-9]+)")
# What programs write where a table has no value, and pandas is one of them.
_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "?"})
_MOST_CLASSES = 1_000_000
_SHOWN = 40


@dataclasses.dataclass(frozen=True)
class ClassNames:
    """The classes of a training set.

    Attributes:
        names: one for each class id.
        notes: sentences on what a user may not expect of them.
        same: function of a label as it is written -> the form in which it is compared.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...]
    same: Callable[[str], str]

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {self.same(name): number for number, name in enumerate(self.names)}

    def id_of(self, label: str) -> int | None:
        """The id of a label as it is written, or None where the training set has no such class."""
        return self._ids.get(self.same(label))

    def like(self, label: str) -> str | None:
        """The class whose name differs from a label in case and spaces alone, or None."""
        return next((name for name in self.names if _loose(name) == _loose(label)), None)


def natural_key(name: str) -> tuple:
    """Sorts as people count: `2` before `10`, `img2` before `img10`; of `1` and `01` the shorter is first."""
    parts = _DIGITS.split(name)
    # Not `int`, which refuses numbers of thousands of digits.
    numbers = [(len(part.lstrip("0")), part.lstrip("0")) if k % 2 else part for k, part in enumerate(parts)]
    return tuple(numbers), len(name), name


def of_folders(names: Iterable[str]) -> ClassNames:
    """A folder's name is a name, also where it is a number; the ids are those of the names in natural order.

    Args:
        names: of the class folders, in any order and number.
    """
    distinct = {_normal(name) for name in names}
    ordered = tuple(sorted(distinct, key=natural_key))
    return ClassNames(ordered, (*_differ_little(ordered), *_numbers_that_are_no_ids(ordered, "class folders")), _normal)


def of_list(path: str, lines: Sequence[int], labels: Sequence[str]) -> ClassNames:
    """Labels of a list are whole numbers or names; in order, as `of_folders` has it, they make the classes.

    Args:
        path: the list, for messages.
        lines: the number of the line of each label.
        labels: as they are written.

    Raises:
        errors.InputError: some labels are whole numbers, but one is missing, negative, or another kind of number; or
            most of them are, and one is a name; or they are whole numbers written as 3.0.
    """
    whole = [_is_whole(label) for label in labels]
    if not any(whole):
        _refuse_ids_written_otherwise(path, lines, labels)
        named = of_folders(labels)
        return dataclasses.replace(named, notes=(*named.notes, *_like_missing(named.names)))
    mostly = sum(whole) > len(labels) / 2
    for number, label, is_id in zip(lines, labels, whole, strict=True):
        if not is_id and (mostly or _is_no_name(label)):
            raise errors.InputError(
                f"{path}, line {number}: found the label {label[:_SHOWN]!r} among labels that are whole numbers, "
                "expected a class id from 0 up, or names in all lines"
            )
    if not all(whole):
        return of_folders(labels)
    ordered = tuple(sorted({_without_zeros(label) for label in labels}, key=natural_key))
    if len(ordered) > _MOST_CLASSES:
        raise errors.InputError(f"{path}: has {len(ordered):,} classes, expected at most {_MOST_CLASSES:,}")
    return ClassNames(ordered, _numbers_that_are_no_ids(ordered, f"{path}: labels"), _without_zeros)


def check_told_apart(read: Mapping[str, str]) -> None:
    """Checks that classes are still told apart once their names were written into a list and read from it.

    Args:
        read: {name of a class: as it was read}.

    Raises:
        errors.InputError: two are one now, or a name is another.
    """
    for name, found in read.items():
        if _normal(found) != _normal(name):
            raise errors.InputError(
                f"class {name!r}: is {found!r} in a list; expected a name without spaces at its ends"
            )


def _refuse_ids_written_otherwise(path: str, lines: Sequence[int], labels: Sequence[str]) -> None:
    """Refuses ids that a program has written as 3.0, as it does where one is missing, and as text are in text order."""
    numbers = {label: number for label in set(labels) if (number := _number_in(label)) is not None}
    count = sum(label in numbers for label in labels)
    if count <= len(labels) / 2 or any(number % 1 for number in numbers.values()):
        return
    number, label = next((n, label) for n, label in zip(lines, labels, strict=True) if label in numbers)
    raise errors.InputError(
        f"{path}, line {number}: found the label {label[:_SHOWN]!r}, expected a class id, a whole number from 0 up "
        "without a point, in all lines, or names in all lines"
    )


def _number_in(label: str) -> float | None:
    try:
        number = float(label)
    except ValueError:
        return None
    return None if "_" in label or not math.isfinite(number) else number


def _like_missing(names: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in names if name.strip().lower() in _MISSING]
    return (f"{', '.join(map(repr, missing))}: taken for names of classes, not for missing labels",) if missing else ()


def _normal(name: str) -> str:
    # macOS writes an accent as a character of its own, and copies of a folder from there are of the same class.
    return unicodedata.normalize("NFC", name)


def _loose(name: str) -> str:
    return " ".join(_normal(name).casefold().split())


def _is_whole(label: str) -> bool:
    return label.isascii() and label.isdecimal()


def _without_zeros(label: str) -> str:
    return label.lstrip("0") or "0" if _is_whole(label) else label


def _is_no_name(label: str) -> bool:
    """Whether it is missing, or a number of another kind, such as -1 and 3.0."""
    if label.strip().lower() in _MISSING:
        return True
    try:
        float(label)
    except ValueError:
        return False
    return True


def _differ_little(names: Sequence[str]) -> tuple[str, ...]:
    first = {}
    notes = []
    for name in names:
        other = first.setdefault(_loose(name), name)
        if other != name:
            notes.append(f"{other!r} and {name!r} are two classes, though their names differ in case or spaces alone")
    return tuple(notes)


def _numbers_that_are_no_ids(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Says so where a number could be taken for the id of its class, and is not."""
    if not all(map(_is_whole, names)) or all(_without_zeros(name) == str(k) for k, name in enumerate(names)):
        return ()
    shown = [f"class {k} is {name[:_SHOWN]!r}" for k, name in enumerate(names)]
    some = shown if len(shown) <= 3 else [*shown[:2], "...", shown[-1]]
    return (f"{what} that are numbers are names, not class ids: {', '.join(some)}",)
