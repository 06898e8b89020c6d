"""An event file of TensorBoard that says in one line when it cannot be written."""

import contextlib

import tensorflow as tf

from famus_tf.files import whole_files


class EventFile:
    """A new event file; to be closed.

    Args:
      directory: its folder.

    Raises:
      InputError: it cannot be written; so do all methods.
    """

    def __init__(self, directory):
        self._directory = str(directory)
        with self._explained():
            self._writer = tf.summary.create_file_writer(self._directory)

    @contextlib.contextmanager
    def at(self, step):
        """The context in which `tf.summary`'s functions write to this file, for a training step."""
        with self._explained(), self._writer.as_default(step=step):
            yield

    def flush(self):
        """Brings to the disk what was written so far."""
        with self._explained():
            self._writer.flush()

    def close(self):
        """Ends the file."""
        with self._explained():
            self._writer.flush()  # closing keeps errors to itself
            self._writer.close()

    def _explained(self):
        return whole_files.explained(self._directory, "curves are lost; once that is mended the same command goes on")
