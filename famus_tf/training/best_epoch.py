"""The epoch that the validation set chooses, and the network's weights after it."""

import hashlib
import math
import pathlib

import h5py  # Keras writes with it
import keras
import numpy as np

from famus_tf import errors
from famus_tf.devices import sharing
from famus_tf.files import whole_files

_DIGEST = "famus_tf_sha256"  # of all weights: the file itself has no checksum
_CONSEQUENCE = "the epoch's evaluation is lost; once that is mended the same command goes on from the last checkpoint"


def best_epoch(history):
    """The entry of the epoch with the highest `validation_accuracy`, the first of equals; None without validation.

    Args:
      history: `progress.Progress.history`.
    """
    judged = [epoch for epoch in history if "validation_accuracy" in epoch]
    return max(judged, key=lambda epoch: epoch["validation_accuracy"], default=None)


def drop_class_accuracies(history):
    """Takes `test_class_accuracy`, a number for each class, out of all epochs but the best and the last."""
    kept = (best_epoch(history), history[-1] if history else None)
    for epoch in history:
        if not any(epoch is one for one in kept):
            epoch.pop("test_class_accuracy", None)


class BestWeights:
    """Keeps the network's weights of the best epoch so far in a file.

    A run that is interrupted and goes on from an earlier checkpoint comes by the same epochs again, and writes the same
    weights again.

    Args:
      network: a Keras model.
      path: the file, ending in `.weights.h5`.
      strategy: the strategy of the network. Of several workers each must keep; only the chief writes.
    """

    def __init__(self, network, path, strategy):
        self._network = network
        self._path = pathlib.Path(path)
        self._strategy = strategy

    def keep_if_best(self, history):
        """Writes the weights if the last epoch of `history` is the best one."""
        if not history or best_epoch(history) is not history[-1]:
            return
        with sharing.place_to_write(self._strategy, self._path) as place:
            size = sum(math.prod(variable.shape) * 4 for variable in self._network.weights)
            with whole_files.written(place, _CONSEQUENCE) as fresh:
                whole_files.check_room(fresh.parent, size)
                self._network.save_weights(str(fresh))
                with h5py.File(fresh, "r+") as file:
                    file.attrs[_DIGEST] = self._digest()

    def restore(self, history):
        """Gives the network the weights of the best epoch; without a validation set it keeps those it has.

        Raises:
          InputError: the file is not there, damaged, or not of this network.
        """
        if best_epoch(history) is None:
            return
        try:
            with h5py.File(self._path) as file:
                digest = file.attrs.get(_DIGEST)
            self._network.load_weights(str(self._path))
            if digest not in (None, self._digest()):  # None in those of earlier versions
                raise ValueError("damaged: it holds other numbers than were written")
        # What h5py and Keras end with depends on where a file is damaged.
        except Exception as error:
            raise errors.InputError(
                f"{self._path}: expected the weights of the best epoch, as the run has written them "
                f"({' '.join(str(error).split())[:200]})"
            ) from error

    def _digest(self):
        digest = hashlib.sha256()
        for variable in self._network.weights:  # without states of random layers, which are not written
            digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
        return digest.hexdigest()
