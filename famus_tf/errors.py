"""The one exception that stands for a mistake in what the user gave, and what turns a library's into it."""

import contextlib
import math
import numbers
from collections.abc import Callable, Iterator
from typing import Any


class InputError(ValueError):
    """Something given by the user cannot be used: a flag, a file, a data set, a network.

    The message is one sentence that names what was found and what is expected. `famus_tf.main` prints it without a
    traceback and exits with status 2. An option stands in it as "option `epochs`=5", of which
    `config.command_line.with_flags` makes the flag.
    """


def check_number(name: str, value: object, expected: str, allowed: Callable[[Any], bool], whole: bool = False) -> None:
    """Looks through an argument of a constructor.

    Args:
        name, value: of the argument; a name with "=" says what was given as a whole.
        expected: what it should be, such as "a positive whole number".
        allowed: whether a finite number may stand there.
        whole: whether it has to be a whole one; those of NumPy are too.

    Raises:
        InputError: it is no number, none that is finite, or not allowed.
    """
    kind = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value) or not allowed(value):
        found = name if "=" in name else f"{name}={value!r}"
        raise InputError(f"{found}: expected {expected}")


@contextlib.contextmanager
def reading(where: object, expected: str) -> Iterator[None]:
    """Around what reads a file from outside and little else: damaged bytes can make a library raise almost anything.

    Args:
        where: the file, first in the message.
        expected: what it should have been, such as "a PyTorch file".

    Raises:
        InputError: in place of any other exception, with the first line of what that says.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = str(error).strip().split("\n")[0][:200]
        kind = "" if isinstance(error, OSError) and text else type(error).__name__
        reason = ": ".join(filter(None, (kind, text)))
        raise InputError(f"{where}: not readable ({reason}), expected {expected}") from error
