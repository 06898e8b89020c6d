"""What a command does whose output nobody reads any more, as with `--help | head`."""

import os
import signal
import sys
from collections.abc import Callable

STATUS = 128 + signal.SIGPIPE


def status_of(function: Callable[[], int]) -> int:
    """Calls a command's function and returns its exit status; a reader that has gone ends it without a word.

    Args:
        function: what prints.
    """
    try:
        status = function()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return STATUS
    finally:
        _let_go()


def _let_go() -> None:
    """Sees to it that Python, which flushes at its end, does not find the pipe closed once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
