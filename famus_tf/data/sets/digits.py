"""Scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels that need no download."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from famus_tf.data.source import Source, channel_statistics

_NUM_CLASSES = 10
_TEST_PER_CLASS = 40
_SPLIT_SEED = 1797


def load(data_dir: str | None = None) -> Source:
    """Loads the digits with a fixed, class-balanced test set of 400 images.

    The set has no official split. The test images are chosen once and for all, whatever the seed of the run, so that
    the results of two runs can be compared.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), as in
    `sklearn.datasets.load_digits`.

    Args:
        data_dir: not used; every source takes it.

    Returns:
        A source with 1,397 training and 400 test images [8, 8, 1] in 0..255.
    """
    del data_dir
    raw = datasets.load_digits()
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = raw.target.astype(np.int32)
    # RandomState, unlike Generator, promises the same numbers in every release of NumPy.
    rng = np.random.RandomState(_SPLIT_SEED)
    in_test = np.zeros(len(labels), bool)
    for c in range(_NUM_CLASSES):
        in_test[rng.permutation(np.flatnonzero(labels == c))[:_TEST_PER_CLASS]] = True
    mean, std = channel_statistics(images[~in_test])
    return Source(
        name="digits",
        train_images=images[~in_test],
        train_labels=labels[~in_test],
        test_images=images[in_test],
        test_labels=labels[in_test],
        class_names=tuple(str(c) for c in range(_NUM_CLASSES)),
        mean=mean,
        std=std,
        crop_padding=1,
        flip=False,
    )
