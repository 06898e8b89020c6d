"""`marks.csv`: what somebody has decided about labels on the page `labels.html`."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Collection

from famus_tf import errors

KINDS = ("keep", "relabel", "drop")
_COLUMNS = ("index", "given_label", "mark", "new_label")


@dataclasses.dataclass(frozen=True)
class Mark:
    """What is to become of an example.

    Attributes:
        kind: one of `KINDS`.
        given: the name of the class that it was given.
        new: the name of its class from now on; of "relabel".
        path: of its image, as the page shows it; empty where it is not said.
    """

    kind: str
    given: str
    new: str
    path: str = ""


def read(path: pathlib.Path, class_names: Collection[str]) -> dict[int, Mark]:
    """Reads marks, as the page downloads them or as somebody has written them.

    Args:
        path: a CSV file with the columns index, given_label, mark and new_label.
        class_names: the classes that there are.

    Returns:
        {index of the example in the training images: `Mark`}.

    Raises:
        errors.InputError: it cannot be read, or a line is no mark, or marks an example that another one marks
            otherwise.
    """
    marks: dict[int, Mark] = {}
    with (
        errors.reading(path, "marks as labels.html downloads them"),
        open(path, encoding="utf-8-sig", newline="") as file,
    ):
        reader = csv.DictReader(file)
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise errors.InputError(f"{path}, line 1: no column {missing[0]}; expected {', '.join(_COLUMNS)}")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            index, mark = _mark(where, row, class_names)
            if marks.setdefault(index, mark) != mark:
                raise errors.InputError(f"{where}: example {index} is marked otherwise before; expected it once")
    return marks


def _mark(where, row, class_names):
    if not (row["index"] or "").isdecimal():
        raise errors.InputError(f"{where}: index {row['index']!r}; expected a whole number, 0 or more")
    if row["mark"] not in KINDS:
        raise errors.InputError(f"{where}: mark {row['mark']!r}; expected {', '.join(KINDS)}")
    new = row["new_label"] or ""
    if row["mark"] == "relabel" and new not in class_names:
        raise errors.InputError(f"{where}: new label {new!r}; expected the name of a class for relabel")
    new = new if row["mark"] == "relabel" else ""
    return int(row["index"]), Mark(row["mark"], row["given_label"] or "", new, row.get("path") or "")
