"""Lists whose first line names the columns: which of them is the path, which the label, and whom to trust."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from famus_tf import errors

_PATHS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_name"),
    *("image_file", "img", "img_path", "img_name", "name"),
)
_LABELS = (
    *("label", "labels", "given_label", "noisy_label", "class", "class_name", "class_label", "label_name"),
    *("category", "target", "class_id", "label_id", "y"),
)
_TRUST = ("is_trusted", "trusted", "trust")
_YES = frozenset({"1", "true", "yes", "t", "y"})
_NO = frozenset({"0", "false", "no", "f", "n"})

_Fields = Callable[[str, str], list[str] | None]


@dataclasses.dataclass(frozen=True)
class Columns:
    """What a header says.

    Attributes:
        mark: what stands between two columns.
        names: the columns', as they are written.
        path, label, trust: positions of these columns; trust is None where there is none.
    """

    mark: str
    names: tuple[str, ...]
    path: int
    label: int
    trust: int | None

    @property
    def are_a_pair(self) -> bool:
        """Whether there is a path, then a label, and nothing else."""
        return len(self.names) == 2 and (self.path, self.label) == (0, 1)

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences on columns that are not read."""
        used = (self.path, self.label, self.trust)
        unused = [name or "without a name" for number, name in enumerate(self.names) if number not in used]
        return (f"columns that are not read: {', '.join(unused)}",) if unused else ()


def named_in(line: str, marks: Sequence[str], fields: _Fields) -> Columns | None:
    """The columns that a first line names; None where it has no column of paths or none of labels.

    Args:
        line: the first line.
        marks: what may stand between two columns.
        fields: function of a line and a mark -> its columns, or None.
    """
    for mark in marks:
        names = fields(line, mark) or []
        keys = [name.casefold().replace(" ", "_").replace("-", "_") for name in names]
        path, label, trust = (_first(keys, known) for known in (_PATHS, _LABELS, _TRUST))
        if path is not None and label is not None:
            return Columns(mark, tuple(names), path, label, trust)
    return None


def read(
    path: str, lines: Sequence[tuple[int, str]], columns: Columns, fields: _Fields
) -> tuple[list[str], list[str], list[bool] | None]:
    """The images' names, their labels, and whom to trust, from the lines below the header.

    Raises:
        errors.InputError: a line has another number of columns, or one of the three holds nothing that it can be.
    """
    names, labels, is_trusted = [], [], []
    for number, line in lines:
        found = fields(line, columns.mark)
        if found is None or len(found) != len(columns.names):
            count = "a quote that is not closed" if found is None else f"{len(found)} columns"
            raise errors.InputError(
                f"{path}, line {number}: found {count} in {line!r}, expected the {len(columns.names)} that the first "
                f"line names, and quotes around what contains {columns.mark!r}"
            )
        for position in (columns.path, columns.label):
            if not found[position]:
                raise errors.InputError(
                    f"{path}, line {number}: found nothing in column {columns.names[position]!r} of {line!r}, expected "
                    "an image's path and a label"
                )
        names.append(found[columns.path])
        labels.append(found[columns.label])
        if columns.trust is not None:
            is_trusted.append(_is_trusted(f"{path}, line {number}", columns.names[columns.trust], found[columns.trust]))
    return names, labels, is_trusted if columns.trust is not None else None


def _first(keys: list[str], known: Sequence[str]) -> int | None:
    return next((keys.index(key) for key in known if key in keys), None)


def _is_trusted(where: str, name: str, text: str) -> bool:
    if text.casefold() in _YES or text.casefold() in _NO:
        return text.casefold() in _YES
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise errors.InputError(
            f"{where}: found {text!r} in column {name!r}, expected 1 or true where the label is known to be right, 0 "
            "or false elsewhere, or a number between, which is not trusted"
        )
    return share == 1
