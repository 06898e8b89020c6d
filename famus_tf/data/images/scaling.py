"""From an image of any size to one of a given size: bilinearly, as Pillow scales."""

from __future__ import annotations

import tensorflow as tf

MODES = ("crop", "squash", "pad")
# Of a scaled image; 100 MiB as float32. Of what has more the middle is scaled, with pixels as below.
_MOST_PIXELS = 2**23
_MIDDLE_PIXELS = 2**20


def into_frame(image: tf.Tensor, frame: tuple[int, int], mode: str) -> tf.Tensor:
    """Scales an image to a frame.

    Args:
        image: uint8 [H, W, C].
        frame: height and width in pixels.
        mode: "crop": the image covers the frame and is longer in one direction; of one that would have more than 8
            million pixels then the middle of one million is taken. "squash": each side is scaled to the frame's.
            "pad": the image lies in the middle of the frame; the rest is black.

    Returns:
        uint8 [H', W', C]; H' and W' are the frame's but for "crop".
    """
    if mode == "squash":
        return _scaled(image, tf.constant(frame))
    if mode == "pad":
        inside = _scaled(image, _same_ratio(image, frame, covers=False))
        room = tf.constant(frame) - tf.shape(inside)[:2]
        before = room // 2
        edges = tf.stack([before, room - before], axis=1)
        return tf.pad(inside, tf.concat([edges, [[0, 0]]], 0))
    image = _without_ends(image, frame)
    return _scaled(image, _same_ratio(image, frame, covers=True))


def short_side(image: tf.Tensor, target: int) -> tf.Tensor:
    """Scales an image so that its shorter side has `target` pixels; the longer one is cut off to whole pixels.

    Args:
        image: uint8 [H, W, C].
        target: pixels.

    Returns:
        uint8 [H', W', C].
    """
    return _scaled(image, _same_ratio(image, (target, target), covers=True))


def resized(image: tf.Tensor, size: tf.Tensor, antialias: bool) -> tf.Tensor:
    """Scales to `size` [2], whatever the ratio, uint8 [H', W', C]."""
    pixels = tf.image.resize(image, size, method="bilinear", antialias=antialias)
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), tf.uint8)


def _same_ratio(image: tf.Tensor, frame: tuple[int, int], *, covers: bool) -> tf.Tensor:
    """The largest size within the frame, or the smallest that covers it, int32 [2].

    In whole numbers: a float would sometimes be off by one. torchvision cuts off too.
    """
    height, width = tf.unstack(tf.shape(image, tf.int64)[:2])
    by_height = tf.stack([frame[0], width * frame[0] // height])
    by_width = tf.stack([height * frame[1] // width, frame[1]])
    is_wider = width * frame[0] >= height * frame[1]
    size = tf.where(is_wider, by_height, by_width) if covers else tf.where(is_wider, by_width, by_height)
    return tf.cast(tf.maximum(size, 1), tf.int32)


def _without_ends(image: tf.Tensor, frame: tuple[int, int]) -> tf.Tensor:
    """The middle of an image that would be too large when scaled to cover the frame; other images as they are."""
    shape = tf.shape(image, tf.int64)[:2]
    kept = tf.minimum(shape, _longest(shape, frame, _MIDDLE_PIXELS))
    start = (shape - kept) // 2
    return tf.cond(
        tf.reduce_all(shape <= _longest(shape, frame, _MOST_PIXELS)),
        lambda: image,
        lambda: image[start[0] : start[0] + kept[0], start[1] : start[1] + kept[1]],
    )


def _longest(shape: tf.Tensor, frame: tuple[int, int], pixels: int) -> tf.Tensor:
    """How long each side of `shape` may be, so that scaled with the other one to the frame's it has so many pixels."""
    frames = max(pixels // (frame[0] * frame[1]), 1)
    return tf.maximum(tf.reverse(shape, [0]) * frames * frame // frame[::-1], 1)


def _scaled(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(image)[:2]
    # A smoothing filter makes a difference only where pixels are lost, and costs more than twice the time.
    return tf.case(
        [
            (tf.reduce_all(shape == size), lambda: image),
            (tf.reduce_any(shape > size), lambda: resized(image, size, True)),
        ],
        default=lambda: resized(image, size, False),
    )
