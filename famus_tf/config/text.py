"""How values are written in a flag file and read back, one flag to a line, and what counts as a value of each type."""

import contextlib
import dataclasses
import math
from collections.abc import Container, Sequence
from typing import Any

from famus_tf.files import plain_text

Numbers = tuple[float, ...]
NumberOrAuto = float | None  # None, "auto" in a text, where the value follows from other flags
AUTO = "auto"

LARGEST_INT = 2**31 - 1  # steps and sizes beyond it fit no tensor's index
_QUOTES = ("'", '"')
_TRUE_TEXTS = frozenset({"true", "t", "1"})  # what absl takes for a boolean, so that both read a file alike
_FALSE_TEXTS = frozenset({"false", "f", "0"})


def numbers(text: str) -> Numbers:
    """Reads numbers joined by commas; an empty text is none. Raises ValueError for anything else."""
    return tuple(float(part) for part in text.split(",")) if text.strip() else ()


def number_or_auto(text: str) -> NumberOrAuto:
    """Reads a number, or auto as None. Raises ValueError for anything else."""
    return None if text == AUTO else float(text)


def text_of(value: Any) -> str:
    """A value as it stands in a flag file."""
    if isinstance(value, tuple | list):
        return ",".join(text_of(part) for part in value)
    if value is None:
        return AUTO
    return repr(value) if isinstance(value, float) else str(value)


def line_of(field: dataclasses.Field, value: Any) -> str:
    """The line of a flag file that sets a field to a value."""
    if field.type is bool:
        return f"--{field.name}" if value else f"--no{field.name}"
    text = text_of(value)
    return f'--{field.name}="{text}"' if text.startswith(_QUOTES) else f"--{field.name}={text}"


def shown(value: Any) -> str:
    """A value as it stands in a sentence."""
    if isinstance(value, bool):
        return str(value).lower()
    return text_of(value) or "nothing"


def is_flag_line(line: str) -> bool:
    """Whether a line of a flag file sets a flag: it is neither empty nor a comment."""
    stripped = line.strip()
    return bool(stripped) and not stripped.startswith(("#", "//"))


def name_and_value(line: str, booleans: Container[str]) -> tuple[str, str]:
    """Splits a line of a flag file; `--x` and `--nox` read as x=true and x=false."""
    name, equals, text = line.strip().lstrip("-").partition("=")
    if equals:
        with contextlib.suppress(ValueError):
            text = unquoted(text)
        return name, text
    if name.removeprefix("no") in booleans and name not in booleans:
        return name.removeprefix("no"), "false"
    return name, "true"


def unquoted(text: str) -> str:
    """The text without the quotes around it, which a shell takes away. Raises ValueError where one is not closed."""
    if not text.startswith(_QUOTES):
        return text
    if len(text) < 2 or text[-1] != text[0]:
        raise ValueError
    return text[1:-1]


def from_text(field: dataclasses.Field, text: str) -> Any:
    """The value that a flag file's text stands for; the text itself where it stands for none, to be shown."""
    try:
        if field.type is bool:
            if text.lower() in _TRUE_TEXTS:
                return True
            return False if text.lower() in _FALSE_TEXTS else text
        return _READ.get(field.type, field.type)(text)
    except ValueError:
        return text


_READ = {Numbers: numbers, NumberOrAuto: number_or_auto}


def _to_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _to_int(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:  # of infinity, OverflowError
        raise TypeError
    if abs(value) > LARGEST_INT:
        raise OverflowError
    return int(value)


def _to_float(value: Any) -> float:
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _to_str(value: Any) -> str:
    # A flag file has one flag to a line and strips it, so such a text could not be written and read back.
    if not isinstance(value, str) or value != value.strip() or value != plain_text.escaped(value):
        raise TypeError
    return value


def _to_numbers(value: Sequence[float]) -> Numbers:
    return tuple(_to_float(number) for number in value)


def _to_number_or_auto(value: Any) -> NumberOrAuto:
    return None if value is None else _to_float(value)


# Type of a field -> the conversion to it, which raises TypeError or ValueError where it does not fit.
CONVERT = {
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    str: _to_str,
    Numbers: _to_numbers,
    NumberOrAuto: _to_number_or_auto,
}
TYPE_WORDS = {bool: "true or false", str: "a text on one line with no space at either end and no control characters"}
