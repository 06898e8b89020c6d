"""Names the file behind an error of a pipeline, which TensorFlow's message does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data import bundle as bundles
from famus_tf.data import image_files, pipeline

# Batches that may have been read ahead of the step that fails.
_STEPS = 32


@contextlib.contextmanager
def named(bundle: bundles.Bundle, sizes: dict[str, int], seed: int, step: Callable[[], int]) -> Iterator[None]:
    """Turns an error from a missing or broken image into one that names it.

    Args:
        bundle: what is trained on.
        sizes: batch size of each stream, "train" and "meta".
        seed: the seed of the run.
        step: function that gives the number of the next step.

    Raises:
        errors.InputError: an image that was about to be read is missing or broken. Other errors stay as they are.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.PermissionDeniedError):
        first = step()
        for stream, images in (("train", bundle.train_images), ("meta", bundle.meta_images)):
            if isinstance(images, image_files.ImageFiles) and len(images) >= sizes[stream]:
                for positions in pipeline.positions(len(images), sizes[stream], first, first + _STEPS, seed, stream):
                    _check(images, positions)
        if isinstance(bundle.test_images, image_files.ImageFiles):
            _check(bundle.test_images, np.arange(len(bundle.test_images)))
        raise


def _check(images: image_files.ImageFiles, positions: np.ndarray) -> None:
    for path in images.paths[positions]:
        try:
            image_files.decode(path.decode())
        except errors.InputError as error:
            raise errors.InputError(f"{error}; expected every image of the set to be readable") from error
