"""Images held in memory that every mode is trained on."""

import numpy as np
import tensorflow as tf
from sklearn import datasets

from famus_tf.errors import InputError

_MOST_BYTES = 64 * 2**20
_MOST_IMAGES = 1024
_NOISE_RATE = 0.4
_TRUSTED_DIGITS = 500
KINDS = ("patterns", "digits")


def make(kind, image_shape, classes, seed, wrong_labels):
    """A pool of images.

    "patterns" are of any number of classes, each a coarse pattern under noise: a learned sampler needs gradients with a
    signal. "digits" are scikit-learn's, as large as asked for: real images, on which the layers differ in what they
    know of labels as they do elsewhere.

    Args:
      kind: one of `KINDS`.
      image_shape: (height, width, channels).
      classes: c.
      seed: int; the patterns depend on it alone, so that two pools of one seed show the same classes.
      wrong_labels: whether 40% of the labels are drawn anew; of the digits, those that are not trusted.

    Returns:
      Images uint8 [N, height, width, channels], labels int32 [N], index int64 [N].

    Raises:
      InputError: digits of fewer than ten classes.
    """
    if kind == "digits" and classes < 10:
        raise InputError(f"--classes={classes} with --pool=digits: expected 10 or more")
    rng = np.random.default_rng([seed, int(wrong_labels)])
    if kind == "digits":
        images, labels = digits(image_shape)
        part = slice(-_TRUSTED_DIGITS) if wrong_labels else slice(-_TRUSTED_DIGITS, None)
        images, labels = images[part], labels[part]
    else:
        images, labels = _patterns(image_shape, classes, seed, rng)
    if wrong_labels:
        labels = np.where(rng.random(len(labels)) < _NOISE_RATE, rng.integers(0, classes, len(labels)), labels)
    return images, labels.astype(np.int32), np.arange(len(labels))


def digits(image_shape):
    """scikit-learn's 1,797 digits in a random order: uint8 [N, height, width, channels], labels int64 [N]."""
    height, width, channels = image_shape
    images, labels = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images = images[order].reshape(-1, 8, 8)[:, np.arange(height) * 8 // height][:, :, np.arange(width) * 8 // width]
    images = np.round(images[..., np.newaxis] * 255 / 16).astype(np.uint8)
    return np.repeat(images, channels, axis=-1), labels[order]


def _patterns(image_shape, classes, seed, rng):
    height, width, channels = image_shape
    patterns = np.random.default_rng(seed).uniform(60, 195, (classes, 4, 4, channels)).astype(np.float32)
    count = int(np.clip(_MOST_BYTES // (height * width * channels), 64, _MOST_IMAGES))
    labels = rng.integers(0, classes, count)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    images = np.empty((count, *image_shape), np.uint8)
    for number, label in enumerate(labels):
        clean = patterns[label][rows][:, columns]
        images[number] = np.clip(clean + rng.normal(0, 40, image_shape), 0, 255)
    return images, labels


def batches(pool, size, with_index):
    """Endless batches of a pool.

    Args:
      pool: what `make` returned.
      size: images in a batch.
      with_index: whether the batches are (images, labels, index), as the program's own are, or (images, labels).

    Returns:
      `tf.data.Dataset`, all shapes static.
    """
    dataset = tf.data.Dataset.from_tensor_slices(pool if with_index else pool[:2])
    dataset = dataset.repeat().batch(size, drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # As in the program's own pipeline: deleting an old iterator that has a tuner can hang.
    options.autotune.enabled = False
    return dataset.with_options(options).prefetch(2)
