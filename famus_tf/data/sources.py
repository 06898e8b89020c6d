"""The data sets by name."""

from __future__ import annotations

from famus_tf import errors
from famus_tf.data import bundle, cifar, digits, fashion_mnist, own_images

SOURCES = {
    "cifar10": cifar.load_cifar10,
    "cifar100": cifar.load_cifar100,
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
}

# Those of which nothing is known beforehand.
OWN = {
    "folder": own_images.load_folder,
    "list": own_images.load_list,
}


def load_source(name: str, data_dir: str | None = None, options: own_images.Options | None = None) -> bundle.Source:
    """Loads a data set by its name.

    Args:
        name: a key of `SOURCES` or `OWN`.
        data_dir: where the set's files may lie; None or empty for the set's own places.
        options: of one's own images.

    Returns:
        The source.

    Raises:
        errors.InputError: there is no such name, or the set cannot be loaded.
    """
    if name in OWN:
        return OWN[name](data_dir or None, options or own_images.Options())
    if name not in SOURCES:
        raise errors.InputError(f"there is no data set {name!r}, expected one of {', '.join(sorted(SOURCES | OWN))}")
    return SOURCES[name](data_dir or None)
