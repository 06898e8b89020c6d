"""Runs that are killed right after a checkpoint."""

import contextlib

import pytest

from famus_tf.training import progress


@contextlib.contextmanager
def after_saving(step=None, error=KeyboardInterrupt):
    """What is run in it must end so once it has written a checkpoint.

    Args:
      step: of which step; None: the first that is written.
      error: the exception, or several, that it ends with.
    """
    save = progress.Checkpoints.save

    def save_and_die(self):
        save(self)
        if step in (None, self.step):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress.Checkpoints, "save", save_and_die)
        with pytest.raises(error):
            yield
