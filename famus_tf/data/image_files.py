"""Images that lie in files, decoded when a batch is made."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from famus_tf import errors

_AT_A_TIME = 512


@dataclasses.dataclass(frozen=True)
class Transform:
    """From a file of any size to an image of one size.

    Attributes:
        resize: the image is scaled so that its shorter side has so many pixels; the longer one keeps the ratio, cut off
            to whole pixels, as in torchvision.
        size: side of the square that is cut out: anywhere in training, in the middle in evaluation; at most `resize`
            plus twice the padding.
        padding: pixels of zeros around the scaled image in training.
        channels: 3, or 1 for grey images.
    """

    resize: int
    size: int
    padding: int = 0
    channels: int = 3


class ImageFiles:
    """A sequence of image files, which stands where an array of images could.

    Args:
        paths: file names [N].
        transform: what is done to each.

    Attributes:
        paths: bytes [N], as NumPy keeps them without an object for each.
        transform: the `Transform`.
    """

    dtype = np.uint8
    ndim = 4

    def __init__(self, paths: np.ndarray, transform: Transform) -> None:
        paths = np.asarray(paths)
        if paths.dtype.kind != "S":
            paths = np.array([str(path).encode() for path in paths]) if len(paths) else np.zeros(0, "S1")
        if transform.size > transform.resize + 2 * transform.padding:
            raise errors.InputError(
                f"a crop of {transform.size} pixels from images of {transform.resize}: expected a smaller one"
            )
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: np.ndarray) -> ImageFiles:
        return ImageFiles(self.paths[index], self.transform)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, size, size, channels), of what is made of the files."""
        return len(self), self.transform.size, self.transform.size, self.transform.channels


def load_for_training(path: tf.Tensor, seed: tf.Tensor, transform: Transform, flip: bool) -> tf.Tensor:
    """Reads one image, scales it, cuts a square out at random and mirrors every second one on average.

    Args:
        path: string scalar.
        seed: int64 [2]; the result is a pure function of the file and the seed.
        transform: see there.
        flip: whether to mirror left and right.

    Returns:
        uint8 [size, size, channels].
    """
    draws = tf.random.stateless_uniform([3], seed, alg="philox")
    image = _load(
        path, transform, transform.padding, lambda room: tf.cast(draws[:2] * tf.cast(room + 1, tf.float32), tf.int32)
    )
    return tf.cond(draws[2] < 0.5, lambda: tf.reverse(image, [1]), lambda: image) if flip else image


def load_for_evaluation(path: tf.Tensor, transform: Transform) -> tf.Tensor:
    """Reads one image, scales it and cuts the square in the middle out; see `load_for_training`."""
    return _load(path, transform, 0, lambda room: tf.cast(tf.round(tf.cast(room, tf.float32) / 2.0), tf.int32))


def _load(path, transform, padding, choose_offset):
    """`choose_offset`: function of the room [2] that a crop has, its largest offsets -> the offsets [2]."""
    data = tf.io.read_file(path)
    size = tf.constant([transform.size, transform.size])

    def cut_while_decoding():
        offset = choose_offset(tf.io.extract_jpeg_shape(data)[:2] - size)
        window = tf.concat([offset, size], 0)
        return tf.io.decode_and_crop_jpeg(data, window, channels=transform.channels)

    def scale():
        image = _decode(data, transform.channels)
        image = resize_short_side(image, transform.resize)
        if padding:
            image = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
        offset = choose_offset(tf.shape(image)[:2] - size)
        return tf.slice(image, tf.concat([offset, [0]], 0), [transform.size, transform.size, transform.channels])

    if padding:
        image = scale()
    else:
        # What has the right size already need not be decoded whole.
        ready = tf.cond(
            tf.io.is_jpeg(data),
            lambda: tf.equal(tf.reduce_min(tf.io.extract_jpeg_shape(data)[:2]), transform.resize),
            lambda: tf.constant(False),
        )
        image = tf.cond(ready, cut_while_decoding, scale)
    return tf.ensure_shape(image, [transform.size, transform.size, transform.channels])


def _decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8 [H, W, channels]; of an animation the first frame."""

    def colours():
        return tf.io.decode_image(data, channels=3, expand_animations=False)

    if channels == 3:
        return colours()
    # The decoders of BMP, GIF and WebP make no grey images.
    can_be_grey = tf.io.is_jpeg(data) | tf.equal(tf.strings.substr(data, 0, 4), b"\x89PNG")
    return tf.cond(
        can_be_grey,
        lambda: tf.io.decode_image(data, channels=1, expand_animations=False),
        lambda: tf.image.rgb_to_grayscale(colours()),
    )


def resize_short_side(image: tf.Tensor, target: int) -> tf.Tensor:
    """Scales an image so that its shorter side has `target` pixels, bilinearly, as Pillow does.

    Args:
        image: uint8 [H, W, C].
        target: pixels.

    Returns:
        uint8 [H', W', C].
    """
    shape = tf.shape(image)[:2]
    short = tf.reduce_min(shape)
    # Whole numbers: the longer side is cut off, not rounded, and a float would sometimes be off by one.
    scaled = shape * target // short

    def resized(antialias):
        # A smoothing filter makes a difference only where pixels are lost, and costs more than twice the time.
        pixels = tf.image.resize(image, scaled, method="bilinear", antialias=antialias)
        return tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), tf.uint8)

    return tf.case(
        [(tf.equal(short, target), lambda: image), (short > target, lambda: resized(True))],
        default=lambda: resized(False),
    )


def decode(path: str) -> np.ndarray:
    """The image in a file, uint8 [H, W, C].

    Raises:
        errors.InputError: the file is missing or no image.
    """
    try:
        return tf.io.decode_image(tf.io.read_file(path), expand_animations=False).numpy()
    except (tf.errors.OpError, ValueError) as error:
        raise errors.InputError(f"{path}: not a readable image ({_reason(error)})") from error


def scan(images: ImageFiles, seen: Callable[[int], None] | None = None) -> tuple[np.ndarray, dict[str, str]]:
    """Decodes every file, several at a time, to find those that cannot be.

    Args:
        images: the files.
        seen: called with the number of files done.

    Returns:
        Heights and widths of the readable ones, int64 [n, 2]; {path: what is wrong} of the others.
    """
    sizes, broken = [], {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        # In parts: a million tasks handed over at once would wait in memory.
        for start in range(0, len(images), _AT_A_TIME):
            paths = [path.decode() for path in images.paths[start : start + _AT_A_TIME]]
            for path, found in zip(paths, pool.map(_size_or_error, paths), strict=True):
                if isinstance(found, str):
                    broken[path] = found
                else:
                    sizes.append(found)
            if seen:
                seen(start + len(paths))
    return np.array(sizes, np.int64).reshape(-1, 2), broken


def _size_or_error(path: str) -> tuple[int, int] | str:
    try:
        return decode(path).shape[:2]
    except errors.InputError as error:
        return str(error).removeprefix(f"{path}: ")


def as_array(images: np.ndarray | ImageFiles, positions: np.ndarray) -> np.ndarray:
    """Those images as they are evaluated, uint8 [n, H, W, C]; files are read.

    Raises:
        errors.InputError: a file is missing or no image.
    """
    if not isinstance(images, ImageFiles):
        return images[positions]
    loaded = []
    for path in images.paths[positions]:
        try:
            loaded.append(load_for_evaluation(tf.constant(path), images.transform).numpy())
        except (tf.errors.OpError, ValueError) as error:
            raise errors.InputError(f"{path.decode()}: not a readable image ({_reason(error)})") from error
    return np.stack(loaded) if loaded else np.zeros((0, *images.shape[1:]), np.uint8)


def _reason(error: Exception) -> str:
    """What is wrong, without the names of TensorFlow's operations around it."""
    text = str(error).splitlines()[0]
    return re.sub(r"^\{\{.*?\}\} *| *\[Op:.*$", "", text)[:200]
