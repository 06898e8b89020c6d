"""Images held in memory that every mode is trained on: random, but with something to learn in them."""

import numpy as np
import tensorflow as tf

_MOST_BYTES = 64 * 2**20
_MOST_IMAGES = 1024
_NOISE_RATE = 0.4


def make(image_shape, classes, seed, wrong_labels):
    """A pool of images, each class a coarse pattern under noise; a learned sampler needs gradients with a signal.

    Args:
      image_shape: (height, width, channels).
      classes: c.
      seed: int; the patterns depend on it alone, so that two pools of one seed show the same classes.
      wrong_labels: whether 40% of the labels are drawn anew.

    Returns:
      Images uint8 [N, height, width, channels], labels int32 [N], index int64 [N].
    """
    height, width, channels = image_shape
    patterns = np.random.default_rng(seed).uniform(60, 195, (classes, 4, 4, channels)).astype(np.float32)
    rng = np.random.default_rng([seed, int(wrong_labels)])
    count = int(np.clip(_MOST_BYTES // (height * width * channels), 64, _MOST_IMAGES))
    labels = rng.integers(0, classes, count)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    images = np.empty((count, *image_shape), np.uint8)
    for number, label in enumerate(labels):
        clean = patterns[label][rows][:, columns]
        images[number] = np.clip(clean + rng.normal(0, 40, image_shape), 0, 255)
    if wrong_labels:
        labels = np.where(rng.random(count) < _NOISE_RATE, rng.integers(0, classes, count), labels)
    return images, labels.astype(np.int32), np.arange(count)


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
