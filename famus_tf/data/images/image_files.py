"""Images that lie in files, decoded when a batch is made."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.images import decoders, image_kinds, orientation, parallel, random_resized, scaling

# Pillow's way, to the last bit; measured, TensorFlow's default, which is off by up to 7 levels, is no faster.
_DCT = "INTEGER_ACCURATE"


@dataclasses.dataclass(frozen=True)
class Transform:
    """From a file of any size to an image of one size.

    Attributes:
        resize: pixels of the frame's shorter side; the frame has the shape of what is cut out of it, and the image is
            scaled to it, see `scaling.into_frame`. Of a square: the image's shorter side has so many pixels.
        size: height of what is cut out: anywhere in training, in the middle in evaluation; the shorter of height and
            width is at most `resize` plus twice the padding.
        padding: pixels of zeros around the scaled image in training; not with `random_resized`.
        channels: 3, or 1 for grey images.
        random_resized: in training, a box of random size and ratio is cut out and scaled to the square instead; see
            `random_resized.box`.
        width: of what is cut out; 0 for a square.
        mode: one of `scaling.MODES`; with `random_resized` "crop".
        augmented: whether training cuts at random; else as evaluation does, and nothing is mirrored.
        bits: how many are used of images with 16; see `decoders.decode`.
    """

    resize: int
    size: int
    padding: int = 0
    channels: int = 3
    random_resized: bool = False
    width: int = 0
    mode: str = "crop"
    augmented: bool = True
    bits: int = decoders.ALL_BITS

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what is made of each file."""
        return self.size, self.width or self.size, self.channels

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width of what a file is scaled to."""
        short = min(self.shape[:2])
        return tuple(side * self.resize // short for side in self.shape[:2])


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
            paths = np.array([os.fsencode(str(path)) for path in paths]) if len(paths) else np.zeros(0, "S1")
        if min(transform.shape[:2]) > transform.resize + 2 * transform.padding:
            raise errors.InputError(
                f"a crop of {min(transform.shape[:2])} pixels from images of {transform.resize}: expected a smaller one"
            )
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: np.ndarray) -> ImageFiles:
        return ImageFiles(self.paths[index], self.transform)

    def with_augmentation(self, crops: bool) -> ImageFiles:
        """The same files, cut at random in training or not; where a cut has no room, they are padded first."""
        transform = self.transform
        short = min(transform.shape[:2])
        if crops and transform.resize + 2 * transform.padding == short and not transform.random_resized:
            return ImageFiles(self.paths, dataclasses.replace(transform, padding=max(1, short // 8)))
        return ImageFiles(self.paths, dataclasses.replace(transform, augmented=crops))

    def with_padding(self, padding: int) -> ImageFiles:
        """The same files, with so many pixels around the scaled image in training; -1: as it is."""
        if padding == -1:
            return self
        return ImageFiles(self.paths, dataclasses.replace(self.transform, padding=padding))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, height, width, channels), of what is made of the files."""
        return len(self), *self.transform.shape


def load_for_training(path: tf.Tensor, seed: tf.Tensor, transform: Transform, flip: bool) -> tf.Tensor:
    """Reads one image, scales it, cuts a part out at random and mirrors every second one on average.

    With `transform.random_resized` the box is cut out of the file's own pixels and scaled once, where a program that
    scales the image first and then the box scales twice: the box's edges lie on whole pixels of the file, up to half a
    pixel from where they were drawn, and what is enlarged is as sharp as the file, not as the scaled image.

    Args:
        path: string scalar.
        seed: int64 [2]; the result is a pure function of the file and the seed.
        transform: see there.
        flip: whether to mirror left and right.

    Returns:
        uint8 [height, width, channels].
    """
    if not transform.augmented:
        return load_for_evaluation(path, transform)
    data = tf.io.read_file(path)
    # The default algorithm depends on the device.
    if transform.random_resized:
        draws = tf.random.stateless_uniform([1 + random_resized.DRAWS], seed, alg="philox")
        mirrored = draws[0] < 0.5
        image = _box_of(data, transform, draws[1:])
    else:
        draws = tf.random.stateless_uniform([3], seed, alg="philox")
        mirrored = draws[2] < 0.5
        image = _part_of(data, transform, transform.padding, _anywhere(draws[:2]))
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image) if flip else image


def load_for_evaluation(path: tf.Tensor, transform: Transform) -> tf.Tensor:
    """Reads one image, scales it and cuts the part in the middle out; see `load_for_training`."""
    return _part_of(tf.io.read_file(path), transform, 0, _in_the_middle)


def _anywhere(draws):
    return lambda room: tf.cast(draws * tf.cast(room + 1, tf.float32), tf.int32)


def _in_the_middle(room):
    return tf.cast(tf.round(tf.cast(room, tf.float32) / 2.0), tf.int32)


def _part_of(data, transform, padding, choose_offset):
    """`choose_offset`: function of the room [2] that a crop has, its largest offsets -> the offsets [2]."""
    size = tf.constant(transform.shape[:2])
    shape = _jpeg_shape(data)

    def scale():
        image = scaling.into_frame(_decoded(data, transform, shape), transform.frame, transform.mode)
        if padding:
            image = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
        offset = choose_offset(tf.shape(image)[:2] - size)
        return tf.slice(image, tf.concat([offset, [0]], 0), transform.shape)

    if padding or transform.mode != "crop":
        image = scale()
    else:
        # What has the right size already need not be decoded whole.
        image = tf.cond(
            tf.equal(tf.reduce_min(shape - transform.frame), 0),
            lambda: _decode_part(data, tf.concat([choose_offset(shape - size), size], 0), transform.channels),
            scale,
        )
    return tf.ensure_shape(image, transform.shape)


def _box_of(data, transform, draws):
    shape = _jpeg_shape(data)

    def of_pixels():
        image = _decoded(data, transform, shape)
        box = random_resized.box(tf.shape(image)[:2], transform.resize, draws)
        return tf.slice(image, tf.concat([box[:2], [0]], 0), tf.concat([box[2:], [transform.channels]], 0))

    part = tf.cond(
        tf.reduce_min(shape) > 0,
        lambda: _decode_part(data, random_resized.box(shape, transform.resize, draws), transform.channels),
        of_pixels,
    )
    size = tf.constant(transform.shape[:2])
    image = tf.cond(
        tf.reduce_any(tf.shape(part)[:2] > size),
        lambda: scaling.resized(part, size, True),
        lambda: scaling.resized(part, size, False),
    )
    return tf.ensure_shape(image, transform.shape)


def _jpeg_shape(data: tf.Tensor) -> tf.Tensor:
    """Height and width of a JPEG that TensorFlow decodes as it is shown, int32 [2]; zeros of all else."""

    def of_jpeg():
        shape = tf.io.extract_jpeg_shape(data)
        sides = tf.cast(shape[:2], tf.int64)
        is_plain = (
            ((shape[2] == 1) | (shape[2] == 3))
            & (sides[0] * sides[1] <= image_kinds.MOST_PIXELS)
            & _is_upright(data, shape)
        )
        return tf.where(is_plain, shape[:2], 0)

    return tf.cond(tf.io.is_jpeg(data), of_jpeg, lambda: tf.zeros([2], tf.int32))


def _is_upright(data: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Whether a JPEG, whose `shape` has been read, is shown as it is stored."""
    # Only a header that was found whole is long enough.
    with tf.control_dependencies([shape]):
        marks = tf.strings.substr(data, [2, 20], [4, 2])
    # JFIF's segment of 16 bytes and then a table: as most programs write it, and not worth a call of Python.
    return tf.cond(
        tf.reduce_all(tf.equal(marks, [b"\xff\xe0\0\x10", b"\xff\xdb"])),
        lambda: True,
        lambda: tf.ensure_shape(tf.numpy_function(_is_stored_upright, [data], tf.bool), []),
    )


def _is_stored_upright(data: bytes | np.ndarray) -> bool:
    return orientation.of_jpeg(_bytes(data)) == 1


def _decode_part(data: tf.Tensor, window: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.io.decode_and_crop_jpeg(data, window, channels=channels, dct_method=_DCT)


def decode_data(data: tf.Tensor, channels: int, bits: int = decoders.ALL_BITS) -> tf.Tensor:
    """Decodes the content of an image file, by what its header says.

    Args:
        data: string scalar.
        channels, bits: see `decoders.decode`.

    Returns:
        uint8 [H, W, channels], as it is shown.

    Raises:
        errors.InputError: it cannot be decoded; in a graph `tf.errors.OpError`.
        tf.errors.OpError: it is a damaged JPEG.
    """
    return _decoded(data, Transform(1, 1, channels=channels, bits=bits), _jpeg_shape(data))


def _decoded(data, transform, jpeg_shape):
    """`jpeg_shape`: what `_jpeg_shape` says. Plain JPEGs, by far the most, need no Python."""

    def others():
        def decode_other(content):
            return decoders.decode(_bytes(content), transform.channels, transform.bits)

        image = tf.numpy_function(decode_other, [data], tf.uint8)
        return tf.ensure_shape(image, [None, None, transform.channels or None])

    return tf.cond(
        tf.reduce_min(jpeg_shape) > 0,
        lambda: tf.io.decode_jpeg(data, channels=transform.channels, dct_method=_DCT),
        others,
    )


def _bytes(data: bytes | np.ndarray) -> bytes:
    """What `tf.numpy_function` hands over: bytes in a graph, else an array without dimensions."""
    return data if isinstance(data, bytes) else data.item()


def decode(path: str, bits: int = decoders.ALL_BITS) -> np.ndarray:
    """The image in a file as it is shown, uint8 [H, W, C].

    Args:
        path: the file.
        bits: see `decoders.decode`.

    Raises:
        errors.InputError: the file is missing or no image.
    """
    data = b""
    try:
        data = tf.io.read_file(os.fsencode(path)).numpy()
        return decode_data(tf.constant(data), 0, bits).numpy()
    except (tf.errors.OpError, ValueError) as error:
        raise errors.InputError(f"{path}: {what_is_wrong(error, data)}") from error


def scan(images: ImageFiles, seen: Callable[[int], None] | None = None) -> tuple[np.ndarray, dict[str, str]]:
    """Decodes every file, several at a time, to find those that cannot be.

    Args:
        images: the files.
        seen: called with the number of files done.

    Returns:
        Heights and widths of the readable ones, int64 [n, 2]; {path: what is wrong} of the others.
    """
    sizes = []
    broken = {}
    paths = [os.fsdecode(path) for path in images.paths]
    one = functools.partial(_size_or_error, bits=images.transform.bits)
    for path, outcome in zip(paths, parallel.in_order(one, paths, seen), strict=True):
        if isinstance(outcome, str):
            broken[path] = outcome
        else:
            sizes.append(outcome)
    return np.array(sizes, np.int64).reshape(-1, 2), broken


def _size_or_error(path: str, bits: int) -> tuple[int, int] | str:
    try:
        return decode(path, bits).shape[:2]
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
            raise errors.InputError(f"{os.fsdecode(path)}: {what_is_wrong(error)}") from error
    return np.stack(loaded) if loaded else np.zeros((0, *images.shape[1:]), np.uint8)


def readable(images: np.ndarray | ImageFiles, positions: np.ndarray) -> list[np.ndarray | None]:
    """Those images as they are evaluated, uint8 [H, W, C] each; None where a file cannot be read."""
    found = []
    for position in positions:
        try:
            found.append(as_array(images, np.array([position]))[0])
        except errors.InputError:
            found.append(None)
    return found


def what_is_wrong(error: Exception, data: bytes = b"") -> str:
    """With an image that could not be read, without the names of TensorFlow's operations around it.

    Args:
        error: what reading it ended with.
        data: its content, where that is known: of a JPEG, TensorFlow says little more than that it is invalid.
    """
    if isinstance(error, tf.errors.OpError) and data:
        try:
            decoders.decode(data, 0)
        except errors.InputError as reason:
            return f"not a readable image ({str(reason)[:200]})"
    text = re.sub(r"^\{\{.*?\}\} *| *\[Op:.*$", "", str(error).splitlines()[0])
    return f"not a readable image ({text[:200]})"
