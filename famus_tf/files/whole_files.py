"""Files that are there whole or not at all, and one line where they cannot be written."""

import contextlib
import os
import pathlib
import sys

from famus_tf import errors
from famus_tf.files import strict_json

# What TensorFlow raises where the system says that a disk is full, read-only, gone or not ours.
_ERRORS_OF_TENSORFLOW = (
    *("ResourceExhaustedError", "PermissionDeniedError", "FailedPreconditionError", "NotFoundError"),
    *("UnknownError", "InternalError"),
)


@contextlib.contextmanager
def written(path, consequence=""):
    """Gives a path in the same folder, with the same suffix, that becomes `path` when the context ends without error.

    Args:
      path: file to write; an older one is replaced, and stays where writing fails.
      consequence: what it means that the file cannot be written, for `explained`.

    Raises:
      InputError: it cannot be written.
    """
    path = pathlib.Path(path)
    fresh = path.with_name(f"partial.{path.name}")
    with explained(path, consequence):
        try:
            yield fresh
            sync(fresh)
            os.replace(fresh, path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise


@contextlib.contextmanager
def explained(path, consequence=""):
    """Turns the errors of writing to `path` into an InputError of one line that names it and says what follows."""
    try:
        yield
    except Exception as error:
        if not _is_of_writing(error):
            raise
        then = f"; {consequence}" if consequence else ""
        raise errors.InputError(f"{path}: cannot write it ({reason(error)}){then}") from error


def _is_of_writing(error):
    if isinstance(error, OSError):
        return True
    tensorflow = sys.modules.get("tensorflow")  # not loaded here: commands that need it not are quick
    return tensorflow is not None and isinstance(
        error, tuple(getattr(tensorflow.errors, name) for name in _ERRORS_OF_TENSORFLOW)
    )


def reason(error):
    """What the system says, in a few words, of an error of Python or of TensorFlow."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        # TensorFlow: "<operation> <path>; <what the system says>", and then more lines.
        text = str(error).splitlines()[0].rpartition("; ")[2] if str(error) else type(error).__name__
    return text.partition(" [Op:")[0].strip()


def sync(path):
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_room(folder, size):
    """Raises OSError where a file system has less room than `size` bytes, for writers that fail with much noise."""
    if not os.path.isdir(folder):
        return
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < size:
        raise OSError(28, "No space left on device")


def write_bytes(path, data):
    """Writes bytes whole or not at all; an InputError says that they cannot be written."""
    with written(path) as place:
        place.write_bytes(data)


def write_json(path, value):
    """Writes JSON whole or not at all; an InputError says that it cannot be written."""
    text = strict_json.text_of(value)
    # The name of a file may be no UTF-8; its bytes become escapes, as JSON has them.
    with written(path) as place, open(place, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
