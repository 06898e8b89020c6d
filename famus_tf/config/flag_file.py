"""Flag files as people write them: their lines in the place of `--flagfile` on a command line."""

import codecs
import os
import re
from collections.abc import Sequence

from famus_tf.config import text as flag_text
from famus_tf.errors import InputError

_EXPECTED = "a text file in UTF-8, one flag to a line, as --name=value"
_NAME = "flagfile"
_MARKERS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# What a shell or a programming language would need at the end of a line.
_REST = re.compile(r"(\s\\|;)$")


def files_and_others(arguments: Sequence[str]) -> list[tuple[bool, str]]:
    """The arguments before "--" in order, each a flag file, (True, its path), or another argument, (False, it)."""
    parts = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in (f"--{_NAME}", f"-{_NAME}"):
            parts.append((True, os.path.expanduser(value if equals else next(rest, ""))))
            continue
        parts.append((False, argument))
        if argument == "--":
            parts += [(False, other) for other in rest]
    return parts


def expanded(arguments: Sequence[str]) -> list[str]:
    """The arguments with the flags of each flag file, and of those that it names, in its place.

    Raises:
        InputError: a file cannot be read or leads round to itself, or a line of one is no flag.
    """
    return [one for is_file, text in files_and_others(arguments) for one in (_read(text) if is_file else (text,))]


def _read(path: str, above: tuple[str, ...] = ()) -> list[str]:
    if path in above:
        raise InputError(f"--{_NAME}={path}: leads round to itself, by {' and '.join(above)}; expected other files")
    arguments = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        line = line.strip().lstrip("\ufeff")
        if not line or line.startswith(("#", "//")):
            continue
        where = f"{path}, line {number}"
        if not re.match("--?[A-Za-z]", line):
            raise InputError(f"{where}: found {line!r}, expected a flag, as --name=value")
        if _REST.search(line):
            raise InputError(f"{where}: found {line!r}, expected --name=value and nothing behind it")
        name, _, value = line.partition("=")
        try:
            value = flag_text.unquoted(value.strip())
        except ValueError:
            raise InputError(f"{where}: found {line!r}, whose quote is not closed; expected --name=value") from None
        if name.strip() in (f"--{_NAME}", f"-{_NAME}"):
            arguments += _read(os.path.expanduser(value), (*above, path))
        else:
            arguments.append(f"{name.strip()}={value}" if "=" in line else line)
    return arguments


def _text(path: str) -> str:
    if not path:
        raise InputError(f"--{_NAME}: expected the path of a file with flags")
    try:
        with open(path, "rb") as file:
            data = file.read()
        encoding = next((name for marker, name in _MARKERS if data.startswith(marker)), "utf-8")
        text = data.decode(encoding)
    except OSError as error:
        raise InputError(
            f"--{_NAME}={path}: cannot read it ({error.strerror or error}), expected {_EXPECTED}"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"--{_NAME}={path}: expected {_EXPECTED}") from None
    if "\0" in text:
        raise InputError(f"--{_NAME}={path}: found a NUL character, expected {_EXPECTED}")
    return text
