"""A box of random size and ratio in an image, as torchvision's RandomResizedCrop draws it."""

from __future__ import annotations

import math

import tensorflow as tf

SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
TRIES = 10
# An area and a ratio for each try, and a position.
DRAWS = 2 * TRIES + 2


def box(shape: tf.Tensor, resize: int, draws: tf.Tensor) -> tf.Tensor:
    """Draws a box in an image as it would be with its shorter side scaled to `resize`, and finds it in the image.

    The area is uniform in `SCALE` of the whole, the logarithm of width over height uniform between those of `RATIO`,
    the position uniform. The first of `TRIES` that fits is taken; where none does, the largest box in the middle whose
    ratio is allowed. So torchvision draws it, from another generator of random numbers.

    Args:
        shape: height and width of the image, int32 [2].
        resize: pixels of the scaled image's shorter side; a box's sides are whole pixels of that.
        draws: uniform in [0, 1), float32 [`DRAWS`].

    Returns:
        Top, left, height and width in pixels of the image, int32 [4]; both its edges are rounded to the next one.
    """
    # In whole numbers where it can be; floats of 64 bits leave no doubt about what is rounded up.
    shape = tf.cast(shape, tf.int64)
    scaled = shape * resize // tf.reduce_min(shape)
    draws = tf.cast(draws, tf.float64)
    area = tf.cast(scaled[0] * scaled[1], tf.float64) * _between(SCALE, draws[:TRIES])
    low, high = (math.log(ratio) for ratio in RATIO)
    ratio = tf.exp(_between((low, high), draws[TRIES : 2 * TRIES]))
    tries = tf.cast(tf.round(tf.sqrt(tf.stack([area / ratio, area * ratio], axis=1))), tf.int64)  # [TRIES, 2]
    fits = tf.reduce_all((tries > 0) & (tries <= scaled), axis=1)

    def drawn():
        size = tries[tf.argmax(tf.cast(fits, tf.int32))]  # the first of several alike
        return size, tf.cast(draws[2 * TRIES :] * tf.cast(scaled - size + 1, tf.float64), tf.int64)

    def in_the_middle():
        others = tf.cast(tf.reverse(scaled, [0]), tf.float64)
        most = others * [1 / RATIO[0], RATIO[1]]  # what each side allows the other
        size = tf.minimum(scaled, tf.cast(tf.round(most), tf.int64))
        return size, (scaled - size) // 2

    size, top_left = tf.cond(tf.reduce_any(fits), drawn, in_the_middle)
    edges = tf.stack([top_left, top_left + size])  # [2, 2]
    edges = (2 * edges * shape + scaled) // (2 * scaled)
    sides = tf.maximum(edges[1] - edges[0], 1)
    return tf.cast(tf.concat([tf.minimum(edges[0], shape - sides), sides], 0), tf.int32)


def _between(ends, share):
    return ends[0] + (ends[1] - ends[0]) * share
