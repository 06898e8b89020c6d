"""AutoAugment's policy for CIFAR-10 and RandAugment, on whole batches, each image by its own seed.

Sources: E. D. Cubuk et al., "AutoAugment" (CVPR 2019), appendix, table 7; E. D. Cubuk et al., "RandAugment" (NeurIPS
2020), section 3. The operations are Pillow's, pixel for pixel; what an operation moves in from outside is grey (128).
Shifts are shares of a side, 150/331 at most, where AutoAugment has pixels of images of one size.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import tensorflow as tf

from famus_tf import errors
from famus_tf.data.images import luma

NAMES = ("none", "autoaugment", "randaugment")
_LEVELS = 10  # of AutoAugment's magnitudes
_RAND_LEVELS = 30  # RandAugment's highest magnitude
_FILL = 128

# (operation, probability, magnitude) twice in each row.
_CIFAR10 = (
    ("invert", 0.1, 7, "contrast", 0.2, 6),
    ("rotate", 0.7, 2, "translate_x", 0.3, 9),
    ("sharpness", 0.8, 1, "sharpness", 0.9, 3),
    ("shear_y", 0.5, 8, "translate_y", 0.7, 9),
    ("autocontrast", 0.5, 8, "equalize", 0.9, 2),
    ("shear_y", 0.2, 7, "posterize", 0.3, 7),
    ("color", 0.4, 3, "brightness", 0.6, 7),
    ("sharpness", 0.3, 9, "brightness", 0.7, 9),
    ("equalize", 0.6, 5, "equalize", 0.5, 1),
    ("contrast", 0.6, 7, "sharpness", 0.6, 5),
    ("color", 0.7, 7, "translate_x", 0.5, 8),
    ("equalize", 0.3, 7, "autocontrast", 0.4, 8),
    ("translate_y", 0.4, 3, "sharpness", 0.2, 6),
    ("brightness", 0.9, 6, "color", 0.2, 8),
    ("solarize", 0.5, 2, "invert", 0.0, 3),
    ("equalize", 0.2, 0, "autocontrast", 0.6, 0),
    ("equalize", 0.2, 8, "equalize", 0.6, 4),
    ("color", 0.9, 9, "equalize", 0.6, 6),
    ("autocontrast", 0.8, 4, "solarize", 0.2, 8),
    ("brightness", 0.1, 3, "color", 0.7, 0),
    ("solarize", 0.4, 5, "autocontrast", 0.9, 3),
    ("translate_y", 0.9, 9, "translate_y", 0.7, 9),
    ("autocontrast", 0.9, 2, "solarize", 0.8, 3),
    ("equalize", 0.8, 8, "invert", 0.1, 3),
    ("translate_y", 0.7, 9, "autocontrast", 0.9, 1),
)


@dataclasses.dataclass(frozen=True)
class Policy:
    """Which operations come upon an image.

    Attributes:
        name: "autoaugment": the two of one of its 25 rows; or "randaugment": some of 14, each as likely.
        count: of randaugment, how many in a row.
        magnitude: of randaugment, 0 to 30.
    """

    name: str
    count: int = 2
    magnitude: float = 9.0


def apply(images: tf.Tensor, seeds: tf.Tensor, policy: Policy) -> tf.Tensor:
    """Changes each image by the policy.

    Args:
        images: uint8 [n, H, W, C], C 1 or 3.
        seeds: int64 [n, 2]; an image's result is a pure function of it and its seed, on every device.
        policy: which operations.

    Returns:
        uint8 [n, H, W, C].

    Raises:
        errors.InputError: images of neither one nor three channels.
    """
    if images.shape[-1] not in (1, 3):
        raise errors.InputError(
            f"option `strong_augment`={policy.name}: images of {images.shape[-1]} channels, expected 1 or 3"
        )
    changed = tf.map_fn(
        lambda pair: of_image(*pair, policy),
        (images, seeds),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec(images.shape[1:], tf.uint8),
    )
    return tf.ensure_shape(changed, images.shape)


def of_image(image: tf.Tensor, seed: tf.Tensor, policy: Policy) -> tf.Tensor:
    """`apply` for one image [H, W, C] and its seed [2]; C is not looked at."""
    draws = tf.random.stateless_uniform([2 + 3 * max(2, policy.count)], seed, alg="philox")
    places = list(OPERATIONS)
    if policy.name == "autoaugment":
        row = tf.cast(draws[0] * len(_CIFAR10), tf.int32)
        table = [[(places.index(op[k]), op[k + 1], op[k + 2] / (_LEVELS - 1)) for k in (0, 3)] for op in _CIFAR10]
        chosen = tf.gather(tf.constant(table, tf.float32), row)
        steps = [(tf.cast(one[0], tf.int32), one[1], one[2]) for one in tf.unstack(chosen)]
    else:
        kinds = [places.index(name) for name in _OF_RAND]
        level = tf.constant(policy.magnitude / _RAND_LEVELS, tf.float32)
        ones = tf.ones([])
        steps = [
            (tf.gather(tf.constant(kinds), tf.cast(draws[2 + 3 * k] * len(kinds), tf.int32)), ones, level)
            for k in range(policy.count)
        ]
    for k, (kind, probability, level) in enumerate(steps):
        sign = tf.where(draws[3 + 3 * k] < 0.5, -1.0, 1.0)
        change = functools.partial(_one, kind, image, level, sign)
        image = tf.cond(draws[4 + 3 * k] < probability, change, functools.partial(tf.identity, image))
    return image


def _one(kind, image, level, sign):
    branches = [functools.partial(change, image, level, sign) for change in OPERATIONS.values()]
    return tf.ensure_shape(tf.switch_case(kind, branches), image.shape)


# Each takes an image uint8 [H, W, C], a level from 0 to 1 and a sign, float32 scalars.


def _shear_x(image, level, sign):
    return affine(image, 1.0, sign * 0.3 * level, 0.0, 0.0, 1.0, 0.0)


def _shear_y(image, level, sign):
    return affine(image, 1.0, 0.0, 0.0, sign * 0.3 * level, 1.0, 0.0)


def _translate_x(image, level, sign):
    shift = tf.floor(150.0 / 331.0 * image.shape[1] * level)
    return affine(image, 1.0, 0.0, sign * shift, 0.0, 1.0, 0.0)


def _translate_y(image, level, sign):
    shift = tf.floor(150.0 / 331.0 * image.shape[0] * level)
    return affine(image, 1.0, 0.0, 0.0, 0.0, 1.0, sign * shift)


def _rotate(image, level, sign):
    angle = -sign * level * 30.0 * math.pi / 180.0
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = image.shape[1] / 2.0, image.shape[0] / 2.0
    return affine(image, cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)


def affine(image: tf.Tensor, a: float, b: float, c: float, d: float, e: float, f: float) -> tf.Tensor:
    """The pixel at (x, y) is that at (a x + b y + c, d x + e y + f) before, from centre to centre; grey from outside.

    Args:
        image: uint8 [H, W, C].
        a, b, c, d, e, f: numbers, or float32 scalars.
    """
    height, width, channels = image.shape
    x = tf.range(width, dtype=tf.float32)[tf.newaxis, :] + 0.5
    y = tf.range(height, dtype=tf.float32)[:, tf.newaxis] + 0.5
    column = tf.cast(tf.floor(a * x + b * y + c), tf.int32)
    row = tf.cast(tf.floor(d * x + e * y + f), tf.int32)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = tf.where(inside, row * width + column, 0)
    found = tf.gather(tf.reshape(image, [-1, channels]), index)
    return tf.where(inside[:, :, tf.newaxis], found, tf.constant(_FILL, tf.uint8))


def _blended(other, image, factor):
    """other + factor (image - other), cut to 0..255 and down to whole numbers."""
    first, second = tf.cast(other, tf.float32), tf.cast(image, tf.float32)
    return tf.cast(tf.clip_by_value(first + factor * (second - first), 0.0, 255.0), tf.uint8)


def _factor(level, sign):
    return 1.0 + sign * 0.9 * level


def _grey(image):
    return image if image.shape[-1] == 1 else luma.of(image)


def _brightness(image, level, sign):
    return _blended(tf.zeros_like(image), image, _factor(level, sign))


def _color(image, level, sign):
    return _blended(_grey(image), image, _factor(level, sign))


def _contrast(image, level, sign):
    mean = tf.floor(tf.reduce_mean(tf.cast(_grey(image), tf.float64)) + 0.5)
    return _blended(tf.cast(mean, tf.float32), image, _factor(level, sign))


def _sharpness(image, level, sign):
    height, width, channels = image.shape
    kernel = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]])[:, :, tf.newaxis, tf.newaxis]
    rows = tf.transpose(tf.cast(image, tf.float32), [2, 0, 1])[..., tf.newaxis]  # each channel by itself
    smooth = tf.nn.conv2d(rows, kernel, 1, "VALID")[..., 0]
    smooth = tf.cast(tf.floor(tf.transpose(smooth, [1, 2, 0]) / 13.0 + 0.5), tf.uint8)
    edge = tf.pad(tf.zeros([height - 2, width - 2, channels], tf.bool), [[1, 1], [1, 1], [0, 0]], constant_values=True)
    smooth = tf.where(edge, image, tf.pad(smooth, [[1, 1], [1, 1], [0, 0]]))
    return _blended(smooth, image, _factor(level, sign))


def _posterize(image, level, sign):
    del sign
    dropped = tf.cast(tf.round(4.0 * level), tf.int32)
    unit = tf.bitwise.left_shift(1, dropped)
    return tf.cast(tf.cast(image, tf.int32) // unit * unit, tf.uint8)


def _solarize(image, level, sign):
    del sign
    threshold = 255.0 * (1.0 - level)
    return tf.where(tf.cast(image, tf.float32) >= threshold, 255 - image, image)


def _invert(image, level, sign):
    del level, sign
    return 255 - image


def _autocontrast(image, level, sign):
    del level, sign
    values = tf.cast(image, tf.float64)
    low, high = tf.reduce_min(values, axis=(0, 1)), tf.reduce_max(values, axis=(0, 1))
    scale = tf.where(high > low, 255.0 / tf.maximum(high - low, 1.0), 1.0)
    offset = tf.where(high > low, -low * scale, 0.0)
    return tf.cast(tf.clip_by_value(values * scale + offset, 0.0, 255.0), tf.uint8)


def _equalize(image, level, sign):
    del level, sign
    channels = image.shape[-1]
    values = tf.cast(tf.reshape(image, [-1, channels]), tf.int32)
    tables = []
    for channel in range(channels):
        counts = tf.math.bincount(values[:, channel], minlength=256, maxlength=256)
        last = tf.reduce_max(values[:, channel])
        step = (tf.size(values[:, channel]) - counts[last]) // 255
        before = tf.cumsum(counts, exclusive=True) + step // 2
        table = tf.where(step > 0, before // tf.maximum(step, 1), tf.range(256))
        tables.append(tf.cast(tf.minimum(table, 255), tf.uint8))
    found = [tf.gather(table, values[:, channel]) for channel, table in enumerate(tables)]
    return tf.reshape(tf.stack(found, axis=-1), image.shape)


def _identity(image, level, sign):
    del level, sign
    return image


OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "identity": _identity,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
}
_OF_RAND = tuple(name for name in OPERATIONS if name != "invert")
