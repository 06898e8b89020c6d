"""Image sets that TensorFlow Datasets has prepared on this machine; nothing is downloaded."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import numpy as np


def read(name: str, data_dir: str | None) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Both splits of a prepared set with images of one size.

    Args:
        name: its name in TensorFlow Datasets.
        data_dir: its folder of prepared sets; its own default is looked into as well.

    Returns:
        For training and test uint8 [N, H, W, C] and int32 [N], in the order of the set's own files where it has an
        `id`, else as stored. None where the package is not installed or has not prepared the set.
    """
    try:
        # An optional package, and one that only this place needs.
        import tensorflow_datasets as tfds
    except ImportError:
        return None
    for folder in dict.fromkeys([data_dir or None, None]):
        with _silent("absl"):  # it warns of every folder that holds no prepared set, which is what we ask
            builder = tfds.builder(name, data_dir=folder)
            is_prepared = builder.is_prepared()
        if is_prepared:
            return [_read_split(tfds, builder, split) for split in ("train", "test")]
    return None


def _read_split(tfds, builder, split: str) -> tuple[np.ndarray, np.ndarray]:
    chunks = list(tfds.as_numpy(builder.as_dataset(split=split, batch_size=4096, shuffle_files=False)))

    def joined(key: str) -> np.ndarray:
        return np.concatenate([chunk[key] for chunk in chunks])

    images, labels = joined("image"), joined("label")
    if "id" in chunks[0]:
        # They are stored in an order of their own, while files of noisy labels go by the set's.
        order = np.argsort(joined("id"), kind="stable")
        images, labels = images[order], labels[order]
    return images, labels.astype(np.int32)


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    """Switches the logger called `name` off."""
    logger = logging.getLogger(name)

    def refuse(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(refuse)  # absl's logger does not heed `disabled`
    try:
        yield
    finally:
        logger.removeFilter(refuse)
