"""The data sets by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famus_tf.data.sets import cifar, clothing1m, cnwl, digits, fashion_mnist, own_images, webvision
from famus_tf.data.source import Source

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

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


def load_source(data: DataConfig) -> Source:
    """Loads a data set by its name.

    Args:
        data: the flags of the data; each loader of image files reads those that concern it.

    Returns:
        The source.

    Raises:
        errors.InputError: the set cannot be loaded.
    """
    if data.dataset in OF_FILES:
        return OF_FILES[data.dataset](data.data_dir or None, data)
    return SOURCES[data.dataset](data.data_dir or None)
