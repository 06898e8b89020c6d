"""The data sets by name."""

from __future__ import annotations

from famus_tf import errors
from famus_tf.data import bundle, digits, fashion_mnist

SOURCES = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
}


def load_source(name: str, data_dir: str | None = None) -> bundle.Source:
    """Loads a data set by its name.

    Args:
        name: a key of `SOURCES`.
        data_dir: where the set's files may lie; None or empty for the set's own places.

    Returns:
        The source.

    Raises:
        errors.InputError: there is no such name, or the set cannot be loaded.
    """
    if name not in SOURCES:
        raise errors.InputError(f"there is no data set {name!r}, expected one of {', '.join(sorted(SOURCES))}")
    return SOURCES[name](data_dir or None)
