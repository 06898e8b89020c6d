"""Keras's own settings, from the environment and `keras.json`: others than the usual ones would make other networks."""

import importlib
import os

from famus_tf import errors

_BACKEND = "tensorflow"
# What each is for this program; `keras.config` has `<name>()` and `set_<name>(value)`.
_PINNED = {"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7}


def load():
    """Imports Keras.

    Raises:
      InputError: it cannot be imported with the settings that there are, or computes with something else than
        TensorFlow.
    """
    place = os.path.join(os.path.expanduser(os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))), "keras.json")
    expected = f"expected KERAS_BACKEND={_BACKEND}, and {place} as Keras writes it"
    try:
        keras = importlib.import_module("keras")
    except Exception as error:  # of any kind: it may be the lack of another backend, or a value in the file
        reason = " ".join(str(error).split())[:200]
        raise errors.InputError(f"Keras cannot be loaded ({reason}); {expected}") from error
    if keras.config.backend() != _BACKEND:
        raise errors.InputError(f"Keras computes with {keras.config.backend()}; {expected}, before it is imported")
    return keras


def load_pinned():
    """Imports Keras for a program of its own, with the settings that its networks are made for.

    Returns:
      List of texts, one for each setting of the user that does not hold.
    """
    said = []
    wished = os.environ.get("KERAS_BACKEND", _BACKEND)
    if wished not in ("", _BACKEND):
        said.append(f"KERAS_BACKEND={wished} does not hold here; it is {_BACKEND}")
    os.environ["KERAS_BACKEND"] = _BACKEND
    keras = load()
    for name, value in _PINNED.items():
        found = getattr(keras.config, name)()
        if found != value:
            said.append(f"Keras's {name}={found} does not hold here; it is {value}")
            getattr(keras.config, f"set_{name}")(value)
    return said
