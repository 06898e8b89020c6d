"""Weights that training starts from, out of an earlier run's export or a `.keras` file."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.files import whole_files
from famus_tf.networks import keras_file


class Weight(NamedTuple):
    """A variable of an earlier network: its path, as `classifier/kernel`, and its value."""

    path: str
    value: np.ndarray


def read(place: str) -> list[Weight]:
    """The weights of an earlier network in its order.

    Args:
      place: a run directory with an `export`, an export, a `.keras` file, or what `keep` has written.

    Raises:
      InputError: it is neither of them, or cannot be read.
    """
    option, path = f"option `init_from`={place}", pathlib.Path(place)
    if path.suffix == keras_file.SUFFIX:
        return _of(keras_file.read(place, option).variables)
    if path.suffix == ".npz":
        with errors.reading(option, "a copy of initial weights"), np.load(path) as arrays:
            paths = json.loads(str(arrays["paths"]))
            return [Weight(name, arrays[str(number)]) for number, name in enumerate(paths)]
    folder = path / "export" if (path / "export").is_dir() else path
    if not (folder / "saved_model.pb").is_file():
        raise errors.InputError(
            f"{option}: expected a run directory whose training has ended, its export, or a .keras file"
        )
    with errors.reading(option, "an export of famus_tf"):
        variables = getattr(tf.saved_model.load(str(folder)), "variables", ())
    if not variables:
        raise errors.InputError(f"{option}: has no variables that are listed; expected an export of famus_tf")
    return _of(variables)


def keep(place: str, copy: pathlib.Path) -> None:
    """Copies the weights into a file ending in `.npz`; InputError where they cannot be read or written."""
    weights = read(place)
    arrays = {str(number): weight.value for number, weight in enumerate(weights)}
    with whole_files.written(copy) as fresh, open(fresh, "wb") as file:
        np.savez(file, paths=json.dumps([weight.path for weight in weights]), **arrays)


def _of(variables):
    found = [Weight(getattr(one, "path", one.name).removesuffix(":0"), one.numpy()) for one in variables]
    return [weight for weight in found if not weight.path.endswith("seed_generator_state")]


def take(network: keras.Model, weights: Sequence[Weight], place: str, own_head: bool = False) -> list[str]:
    """Gives a network the weights of an earlier one of the same kind; a classifier of other classes stays as it is.

    Of several networks that were exported together it takes the first one's.

    Args:
      network: functional `keras.Model`; its last layer is the classifier.
      weights: as `read` returns them.
      place: where from, for the sentence.
      own_head: whether the classifier stays in any case.

    Returns:
      Paths of the variables that stay as they are, as there are other classes.

    Raises:
      InputError: the networks differ in more than the classifier.
    """
    variables = [one for one in network.variables if not one.path.endswith("seed_generator_state")]
    copies, rest = divmod(len(weights), len(variables))
    option = f"option `init_from`={place}"
    if rest or not copies:
        raise errors.InputError(
            f"{option}: has {len(weights)} variables; expected the {len(variables)} of network {network.name!r}"
        )
    head = {id(one) for one in _last_layer(network).weights}
    pairs = list(zip(variables, weights, strict=False))
    differing = [(variable, weight) for variable, weight in pairs if tuple(variable.shape) != weight.value.shape]
    for variable, weight in differing:
        if id(variable) not in head:
            raise errors.InputError(
                f"{option}: its variable {weight.path} is of shape {weight.value.shape}; expected "
                f"{tuple(variable.shape)}, that of {variable.path} of network {network.name!r}"
            )
    for variable, weight in pairs:
        if id(variable) not in head or not (differing or own_head):
            variable.assign(weight.value)
    return [one.path for one in variables if id(one) in head] if differing else []


def _last_layer(network):
    """The last layer with weights; of a model in the model its own."""
    layer = [one for one in network.layers if one.weights][-1]
    return _last_layer(layer) if isinstance(layer, keras.Model) else layer
