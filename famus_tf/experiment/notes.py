"""Sentences for the user: those that the experiment says, and those that the rest of the package logs at work."""

import contextlib
import logging

from famus_tf.config import command_line
from famus_tf.files import plain_text

_LOGGER = logging.getLogger("famus_tf")
_MOST = 2000  # characters of one note
_quiet = False


def say(sentences):
    """Prints sentences of one line each, with options as flags."""
    for sentence in () if _quiet else sentences:
        print(plain_text.shortened(plain_text.escaped(command_line.with_flags(sentence)), _MOST), flush=True)


@contextlib.contextmanager
def kept_quiet():
    """Prints only warnings meanwhile: of several workers the chief speaks, and each of what it alone has seen."""
    global _quiet
    _quiet = True
    level = _LOGGER.level
    _LOGGER.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _quiet = False
        _LOGGER.setLevel(level)


class _Printed(logging.Handler):
    """Prints each note; `sys.stdout` may be another one each time."""

    def emit(self, record):
        print(plain_text.shortened(command_line.with_flags(self.format(record)), _MOST), flush=True)


class _NotOfRetracing(logging.Filter):
    """Drops TensorFlow's advice against tracing a function anew: a step has one graph for each depth, by design."""

    def filter(self, record):
        return "triggered tf.function retracing" not in record.getMessage()


def show():
    """Prints all notes from now on; a second call changes nothing."""
    of_tensorflow = logging.getLogger("tensorflow")
    if not any(isinstance(kept, _NotOfRetracing) for kept in of_tensorflow.filters):
        of_tensorflow.addFilter(_NotOfRetracing())
    if not any(isinstance(handler, _Printed) for handler in _LOGGER.handlers):
        _LOGGER.addHandler(_Printed())
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False  # absl's handler would repeat them on the standard error
