"""The data sets by name."""

from __future__ import annotations

from famus_tf import errors
from famus_tf.data import bundle, cifar, clothing1m, cnwl, digits, fashion_mnist, own_images, webvision
from famus_tf.data.options import Options

SOURCES = {
    "cifar10": cifar.load_cifar10,
    "cifar100": cifar.load_cifar100,
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
}

# Those of image files, which take options.
OF_FILES = {
    "clothing1m": clothing1m.load,
    "cnwl": cnwl.load,
    "folder": own_images.load_folder,
    "list": own_images.load_list,
    "webvision": webvision.load,
}


def load_source(name: str, data_dir: str | None = None, options: Options | None = None) -> bundle.Source:
    """Loads a data set by its name.

    Args:
        name: a key of `SOURCES` or `OF_FILES`.
        data_dir: where the set's files may lie; None or empty for the set's own places.
        options: of image files.

    Returns:
        The source.

    Raises:
        errors.InputError: there is no such name, or the set cannot be loaded.
    """
    if name in OF_FILES:
        return OF_FILES[name](data_dir or None, options or Options())
    if name not in SOURCES:
        raise errors.InputError(
            f"there is no data set {name!r}, expected one of {', '.join(sorted(SOURCES | OF_FILES))}"
        )
    return SOURCES[name](data_dir or None)
