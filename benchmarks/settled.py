"""Keeps the weights with which a learned sampler has settled, so that the next measurement need not train it again."""

import dataclasses
import pathlib
import re
import zipfile
import zlib

import numpy as np

from famus_tf import errors


def path(mode, settings, policy):
    """Where they are kept; None where the settings name no folder.

    Args:
      mode: name of the mode.
      settings: `settings.Settings`; all that the sampler's training depends on is part of the file's name.
      policy: dtype policy of the network.
    """
    if not settings.settled_folder:
        return None
    key = zlib.crc32(repr(dataclasses.replace(settings.while_settling(), settled_folder="")).encode())
    network = re.sub(r"\W+", "_", settings.network)
    return pathlib.Path(settings.settled_folder, f"{mode}_{network}_{policy}_{key:08x}.npz")


def save(file, variables):
    """Writes the values of a list of variables to `file`, a `pathlib.Path`; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, *(np.asarray(variable) for variable in variables))


def load(file, variables):
    """Gives a list of variables the values that `save` wrote for as many of the same shapes.

    Raises:
      InputError: the file cannot be read, or holds other variables.
    """
    try:
        with np.load(file) as arrays:
            values = [arrays[name] for name in arrays.files]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise errors.InputError(f"{file}: cannot read it ({error}); expected weights that this program kept") from error
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise errors.InputError(f"{file}: holds the weights of another network; remove it")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
