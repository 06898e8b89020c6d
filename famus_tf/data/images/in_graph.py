"""From the bytes of a JPEG or PNG to the image that evaluation sees, by TensorFlow's operations alone.

For SavedModels, which run where there is neither Pillow nor this package. What evaluation reads besides (other kinds of
files, printer's colours, an orientation in XMP alone) is refused with a sentence, or not turned.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from famus_tf.data.images import decoders, image_files, image_kinds, luma, scaling

_DCT = "INTEGER_ACCURATE"  # as `image_files` decodes
_ORIENTATION_TAG = 0x0112
_EXIF = b"Exif\0\0"
_NO_LENGTH = (0x00, 0x01, *range(0xD0, 0xDA))  # JPEG's markers without a segment behind them
_MOST_NOTES = 200  # in one directory; a damaged number of them would take long
_SIZES = {1: 1, 3: 2, 4: 4}  # bytes of a number, by the types that an orientation may have


def load(data: tf.Tensor, transform: image_files.Transform) -> tf.Tensor:
    """Decodes an image, turns it upright, scales it and cuts the part in the middle out.

    Args:
        data: string scalar, the content of a JPEG or PNG file.
        transform: as evaluation has it.

    Returns:
        uint8 [height, width, channels].

    Raises:
        tf.errors.InvalidArgumentError: the content is no JPEG or PNG, damaged, too large, or in printer's colours.
    """
    turned = orientation(data)

    def scaled():
        image = scaling.into_frame(_upright(_decoded(data, transform, turned), turned), transform.frame, transform.mode)
        offset = _middle(tf.shape(image)[:2], transform)
        return tf.slice(image, tf.concat([offset, [0]], 0), transform.shape)

    def part(shape):
        window = tf.concat([_middle(shape, transform), transform.shape[:2]], 0)
        return tf.io.decode_and_crop_jpeg(data, window, channels=transform.channels, dct_method=_DCT)

    if transform.mode == "crop":
        # Evaluation decodes no more than the part of what has the right size, which differs at the part's edges.
        shape = _plain_jpeg_shape(data, turned)
        image = tf.cond(tf.equal(tf.reduce_min(shape - transform.frame), 0), lambda: part(shape), scaled)
    else:
        image = scaled()
    return tf.ensure_shape(image, transform.shape)


def _middle(shape, transform):
    room = shape - tf.constant(transform.shape[:2])
    return tf.cast(tf.round(tf.cast(room, tf.float32) / 2.0), tf.int32)


def _plain_jpeg_shape(data, turned):
    """Height and width of a JPEG that is shown as it is stored, int32 [2]; zeros of all else."""

    def of_jpeg():
        shape = tf.io.extract_jpeg_shape(data)
        return tf.where(tf.equal(turned, 1) & (shape[2] != 4), shape[:2], 0)

    return tf.cond(tf.io.is_jpeg(data), of_jpeg, lambda: tf.zeros([2], tf.int32))


def _decoded(data, transform, turned):
    is_jpeg = tf.io.is_jpeg(data)
    is_png = tf.equal(tf.strings.substr(data, 0, 8), b"\x89PNG\r\n\x1a\n")
    known = tf.debugging.Assert(
        is_jpeg | is_png,
        [f"found no JPEG or PNG, expected the content of such a file, not of {image_kinds.EXPECTED[10:]}"],
    )
    with tf.control_dependencies([known]):
        return tf.cond(is_jpeg, lambda: _jpeg(data, transform.channels, turned), lambda: _png(data, transform))


def _jpeg(data, channels, turned):
    shape = tf.io.extract_jpeg_shape(data)
    colours = tf.debugging.Assert(shape[2] != 4, ["found a JPEG in printer's colours, expected red, green and blue"])
    with tf.control_dependencies([colours, _few(shape[0], shape[1])]):

        def decoded(channels):
            return tf.io.decode_jpeg(data, channels=channels, dct_method=_DCT)

        if channels == 1:  # what is turned is made grey by Pillow, from its colours and not from the file's luma
            return tf.cond(tf.equal(turned, 1), lambda: decoded(1), lambda: luma.of(decoded(3)))
        return decoded(channels)


def _png(data, transform):
    sides = tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False, fixed_length=8)
    with tf.control_dependencies([_few(sides[0], sides[1])]):
        if transform.bits < decoders.ALL_BITS:
            has_16 = tf.equal(tf.strings.substr(data, 24, 1), b"\x10")
            image = tf.cond(has_16, lambda: _of_bits(data, transform.bits), lambda: tf.io.decode_png(data, channels=3))
        else:
            image = tf.io.decode_png(data, channels=3)
    return luma.of(image) if transform.channels == 1 else image


def _of_bits(data, bits):
    """The 8 highest of so many bits that are used of 16."""
    pixels = tf.cast(tf.io.decode_png(data, channels=3, dtype=tf.uint16), tf.int32)
    most = tf.reduce_max(pixels)
    fits = tf.debugging.Assert(most < 2**bits, ["found values up to", most, f"in an image, expected below {2**bits}"])
    with tf.control_dependencies([fits]):
        return tf.cast(pixels // 2 ** (bits - 8), tf.uint8)


def _few(height, width):
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.debugging.Assert(
        (pixels > 0) & (pixels <= image_kinds.MOST_PIXELS),
        ["found an image of", height, "x", width, f"pixels, expected at most {image_kinds.MOST_PIXELS} of them"],
    )


def _upright(image, turned):
    turns: list[Callable[[], tf.Tensor]] = [
        lambda: image,
        lambda: image[:, ::-1],
        lambda: image[::-1, ::-1],
        lambda: image[::-1],
        lambda: tf.transpose(image, [1, 0, 2]),
        lambda: tf.transpose(image, [1, 0, 2])[:, ::-1],
        lambda: tf.transpose(image, [1, 0, 2])[::-1, ::-1],
        lambda: tf.transpose(image, [1, 0, 2])[::-1],
    ]
    return tf.switch_case(turned - 1, turns)


def orientation(data: tf.Tensor) -> tf.Tensor:
    """The orientation 1 to 8 in the EXIF notes of a JPEG or PNG, int32 scalar; 1 where there is none.

    Args:
        data: string scalar.
    """
    content = _Content(data)
    place = tf.cond(tf.io.is_jpeg(data), lambda: _exif_of_jpeg(content), lambda: _exif_of_png(content))
    return tf.cond(place > 0, lambda: _orientation_at(content, place), lambda: 1)


class _Content:
    """The bytes of a file, as numbers; beyond its end 0."""

    def __init__(self, data):
        self._bytes = tf.io.decode_raw(tf.reshape(data, [1]), tf.uint8)[0]
        self.length = tf.size(self._bytes)

    def number(self, place, size, big=True):
        """The whole number of `size` bytes at a place, int32; `big`: whether its first byte counts most."""
        powers = tf.constant([256**k for k in range(size)], tf.int64)
        value = tf.reduce_sum(self._read(place, size) * tf.where(big, powers[::-1], powers))
        return tf.cast(tf.minimum(value, 2**30), tf.int32)

    def has(self, place, text):
        """Whether these bytes stand there."""
        return tf.reduce_all(tf.equal(self._read(place, len(text)), tf.constant(list(text), tf.int64)))

    def _read(self, place, size):
        places = place + tf.range(size)
        inside = (places >= 0) & (places < self.length)
        return tf.cast(tf.gather(self._bytes, tf.where(inside, places, 0)), tf.int64) * tf.cast(inside, tf.int64)


def _exif_of_jpeg(content):
    """Where the notes begin in a JPEG's segments before the pixels; 0 for none."""

    def goes_on(place, found):
        return (found == 0) & (place > 0) & (place <= content.length - 4)

    def step(place, found):
        marker = content.number(place + 1, 1)
        is_marker = tf.equal(content.number(place, 1), 0xFF)
        alone = tf.reduce_any(tf.equal(marker, _NO_LENGTH))
        behind = place + 2 + content.number(place + 2, 2)
        is_exif = is_marker & tf.equal(marker, 0xE1) & content.has(place + 4, _EXIF)
        ahead = tf.where(alone, place + 2, behind)
        ahead = tf.where(tf.equal(marker, 0xFF) | ~is_marker, place + 1, ahead)
        ahead = tf.where(is_marker & tf.equal(marker, 0xDA), 0, ahead)  # the pixels follow
        return ahead, tf.where(is_exif, place + 4 + len(_EXIF), found)

    return tf.while_loop(goes_on, step, [tf.constant(2), tf.constant(0)])[1]


def _exif_of_png(content):
    """Where the notes begin in a PNG's chunks; 0 for none."""

    def goes_on(place, found):
        return (found == 0) & (place > 0) & (place <= content.length - 12)

    def step(place, found):
        found = tf.where(content.has(place + 4, b"eXIf"), place + 8, found)
        return place + 12 + content.number(place, 4), found

    return tf.while_loop(goes_on, step, [tf.constant(8), tf.constant(0)])[1]


def _orientation_at(content, start):
    """The orientation in notes that begin at a place, 1 where they have none or are damaged."""
    big = content.has(start, b"MM\0*")
    known = big | content.has(start, b"II*\0")
    directory = start + content.number(start + 4, 4, big)
    count = tf.where(known, tf.minimum(content.number(directory, 2, big), _MOST_NOTES), 0)

    def step(k, found):
        entry = directory + 2 + 12 * k
        kind = content.number(entry + 2, 2, big)
        value = 0
        for number, size in _SIZES.items():
            value = tf.where(tf.equal(kind, number), content.number(entry + 8, size, big), value)
        is_it = tf.equal(content.number(entry, 2, big), _ORIENTATION_TAG)
        return k + 1, tf.where(is_it & (value >= 1) & (value <= 8), value, found)

    return tf.while_loop(lambda k, _: k < count, step, [tf.constant(0), tf.constant(1)])[1]
