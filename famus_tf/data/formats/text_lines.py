"""The lines of a text file: UTF-8, with its marker or without, or UTF-16 and UTF-32 with theirs."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from famus_tf import errors

# The markers of UTF-32 begin as those of UTF-16 do.
_MARKERS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK = "\ufeff"


def numbered(path: str, expected: str, *, any_bytes: bool = False) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, each with its number from 1 and without its end.

    Args:
        path: the file.
        expected: what it should be, for messages.
        any_bytes: whether bytes that are no UTF-8 stay as `os.fsdecode` has them; else they are an error.

    Raises:
        errors.InputError: it cannot be read, or holds NUL characters, as no text does.
    """
    with errors.reading(path, expected):
        with open(path, "rb") as file:
            start = file.read(4)
        encoding = next((name for marker, name in _MARKERS if start.startswith(marker)), "utf-8")
        handling = "surrogateescape" if any_bytes and encoding.startswith("utf-8") else "strict"
        with open(path, encoding=encoding, errors=handling) as file:
            for number, line in enumerate(file, start=1):
                if "\0" in line:
                    raise errors.InputError(
                        f"{path}, line {number}: found a NUL character, as in UTF-16 without its marker, expected "
                        f"{expected}"
                    )
                # Files that were joined have a marker in the middle.
                text = line.rstrip("\r\n").removeprefix(_MARK)
                if text.strip():
                    yield number, text
