"""A dataclass whose fields are flags: each carries its help text, choices and bounds, and is checked by them."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from famus_tf.config import text as flag_text
from famus_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Bounds:
    """A condition on a value and the words that name it in an error message."""

    expected: str
    holds: Callable[[Any], bool]


COUNT = Bounds("a positive whole number", lambda value: value > 0)
COUNT_OR_ZERO = Bounds("a whole number, 0 or more", lambda value: value >= 0)
MINUS_ONE_OR_MORE = Bounds("a whole number, -1 or more", lambda value: value >= -1)
SEED = Bounds("a whole number from 0 to 2147483647", lambda value: 0 <= value < 2**31)
POSITIVE = Bounds("a number above 0", lambda value: value > 0)
UP_TO_A_MILLION = Bounds("a number above 0 and at most 1e6", lambda value: 0 < value <= 1e6)
POSITIVE_OR_AUTO = Bounds("auto, or a number above 0", lambda value: value is None or value > 0)
NON_NEGATIVE = Bounds("a number, 0 or more", lambda value: value >= 0)
NON_NEGATIVE_OR_AUTO = Bounds("auto, or a number, 0 or more", lambda value: value is None or value >= 0)
FRACTION = Bounds("a number in [0, 1]", lambda value: 0 <= value <= 1)
FRACTION_OR_AUTO = Bounds("auto, or a number in [0, 1]", lambda value: value is None or 0 <= value <= 1)
DECAY = Bounds("a number above 0 and at most 1", lambda value: 0 < value <= 1)
AT_LEAST_ONE = Bounds("a number, 1 or more", lambda value: value >= 1)
BELOW_ONE = Bounds("a number in [0, 1)", lambda value: 0 <= value < 1)
BELOW_ONE_OR_AUTO = Bounds("auto, or a number in [0, 1)", lambda value: value is None or 0 <= value < 1)
PERCENT = Bounds("a number above 0 and at most 100", lambda value: 0 < value <= 100)
UP_TO_30 = Bounds("a number in [0, 30]", lambda value: 0 <= value <= 30)
INCREASING = Bounds(
    "increasing positive numbers joined by commas",
    lambda value: all(low < high for low, high in zip((0.0, *value), value, strict=False)),
)


def flag(
    default: Any,
    text: str,
    choices: tuple[str, ...] = (),
    bounds: Bounds | None = None,
    is_path: bool = False,
    of: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that is also a flag; `choices` list all that it may be, `bounds` say what holds for it.

    A path, or several joined by commas, may begin with ~ for the user's home, which a shell leaves alone after "=".
    `of` names the methods that read it; empty: whichever.
    """
    metadata = {"help": text, "choices": choices, "bounds": bounds, "is_path": is_path, "of": of}
    return dataclasses.field(default=default, metadata=metadata)


class FlagGroup:
    """Converts and checks every field by its type and metadata, right after construction."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)  # the only way in for a frozen dataclass


def expected(field: dataclasses.Field) -> str:
    """What may stand for a flag, in the words of an error message."""
    choices = field.metadata["choices"]
    bounds = field.metadata["bounds"]
    if choices:
        return f"one of {', '.join(choices)}"
    return bounds.expected if bounds else flag_text.TYPE_WORDS[field.type]


def _checked(field: dataclasses.Field, value: Any) -> Any:
    """`value` in the field's type, or InputError where it does not fit the type, the choices or the bounds."""
    choices = field.metadata["choices"]
    bounds = field.metadata["bounds"]
    try:
        converted = flag_text.CONVERT[field.type](value)
        fits = (not choices or converted in choices) and (not bounds or bounds.holds(converted))
    except (TypeError, ValueError):
        fits = False
    except OverflowError:
        text = flag_text.text_of(value)
        raise InputError(
            f"--{field.name}={text}: expected {expected(field)}, at most {flag_text.LARGEST_INT}"
        ) from None
    if not fits:
        text = flag_text.text_of(value)
        raise InputError(f"--{field.name}={text if text.isprintable() else repr(text)}: expected {expected(field)}")
    return ",".join(map(os.path.expanduser, converted.split(","))) if field.metadata["is_path"] else converted
