"""Images that lie in files, decoded when a batch is made."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.images import image_kinds, parallel, random_resized

# Pillow's way, to the last bit; measured, TensorFlow's default, which is off by up to 7 levels, is no faster.
_DCT = "INTEGER_ACCURATE"


@dataclasses.dataclass(frozen=True)
class Transform:
    """From a file of any size to an image of one size.

    Attributes:
        resize: the image is scaled so that its shorter side has so many pixels; the longer one keeps the ratio, cut off
            to whole pixels, as in torchvision.
        size: side of the square that is cut out: anywhere in training, in the middle in evaluation; at most `resize`
            plus twice the padding.
        padding: pixels of zeros around the scaled image in training; not with `random_resized`.
        channels: 3, or 1 for grey images.
        random_resized: in training, a box of random size and ratio is cut out and scaled to the square instead; see
            `random_resized.box`.
    """

    resize: int
    size: int
    padding: int = 0
    channels: int = 3
    random_resized: bool = False


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
        if transform.size > transform.resize + 2 * transform.padding:
            raise errors.InputError(
                f"a crop of {transform.size} pixels from images of {transform.resize}: expected a smaller one"
            )
        self.paths = paths
        self.transform = transform

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

    With `transform.random_resized` the box is cut out of the file's own pixels and scaled once, where a program that
    scales the image first and then the box scales twice: the box's edges lie on whole pixels of the file, up to half a
    pixel from where they were drawn, and what is enlarged is as sharp as the file, not as the scaled image.

    Args:
        path: string scalar.
        seed: int64 [2]; the result is a pure function of the file and the seed.
        transform: see there.
        flip: whether to mirror left and right.

    Returns:
        uint8 [size, size, channels].
    """
    data = tf.io.read_file(path)
    # The default algorithm depends on the device.
    if transform.random_resized:
        draws = tf.random.stateless_uniform([1 + random_resized.DRAWS], seed, alg="philox")
        mirrored = draws[0] < 0.5
        image = _box_of(data, transform, draws[1:])
    else:
        draws = tf.random.stateless_uniform([3], seed, alg="philox")
        mirrored = draws[2] < 0.5
        image = _square_of(data, transform, transform.padding, _anywhere(draws[:2]))
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image) if flip else image


def load_for_evaluation(path: tf.Tensor, transform: Transform) -> tf.Tensor:
    """Reads one image, scales it and cuts the square in the middle out; see `load_for_training`."""
    return _square_of(tf.io.read_file(path), transform, 0, _in_the_middle)


def _anywhere(draws):
    return lambda room: tf.cast(draws * tf.cast(room + 1, tf.float32), tf.int32)


def _in_the_middle(room):
    return tf.cast(tf.round(tf.cast(room, tf.float32) / 2.0), tf.int32)


def _square_of(data, transform, padding, choose_offset):
    """`choose_offset`: function of the room [2] that a crop has, its largest offsets -> the offsets [2]."""
    size = tf.constant([transform.size, transform.size])
    shape = _jpeg_shape(data)

    def scale():
        image = resize_short_side(_decoded(data, transform.channels, shape), transform.resize)
        if padding:
            image = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
        offset = choose_offset(tf.shape(image)[:2] - size)
        return tf.slice(image, tf.concat([offset, [0]], 0), [transform.size, transform.size, transform.channels])

    if padding:
        image = scale()
    else:
        # What has the right size already need not be decoded whole.
        image = tf.cond(
            tf.equal(tf.reduce_min(shape), transform.resize),
            lambda: _decode_part(data, tf.concat([choose_offset(shape - size), size], 0), transform.channels),
            scale,
        )
    return tf.ensure_shape(image, [transform.size, transform.size, transform.channels])


def _box_of(data, transform, draws):
    shape = _jpeg_shape(data)

    def of_pixels():
        image = _decoded(data, transform.channels, shape)
        box = random_resized.box(tf.shape(image)[:2], transform.resize, draws)
        return tf.slice(image, tf.concat([box[:2], [0]], 0), tf.concat([box[2:], [transform.channels]], 0))

    part = tf.cond(
        tf.reduce_min(shape) > 0,
        lambda: _decode_part(data, random_resized.box(shape, transform.resize, draws), transform.channels),
        of_pixels,
    )
    size = tf.constant([transform.size, transform.size])
    image = tf.cond(
        tf.reduce_any(tf.shape(part)[:2] > size),
        lambda: _resized(part, size, True),
        lambda: _resized(part, size, False),
    )
    return tf.ensure_shape(image, [transform.size, transform.size, transform.channels])


def _jpeg_shape(data: tf.Tensor) -> tf.Tensor:
    """Height and width of a JPEG that TensorFlow can decode, int32 [2]; zeros of all else."""

    def of_jpeg():
        shape = tf.io.extract_jpeg_shape(data)
        sides = tf.cast(shape[:2], tf.int64)
        fits = (
            ((shape[2] == 1) | (shape[2] == 3))
            & (sides[0] * sides[1] <= image_kinds.MOST_PIXELS)
            & (tf.reduce_max(sides) <= image_kinds.MOST_RATIO * tf.reduce_min(sides))
        )
        return tf.where(fits, shape[:2], 0)

    return tf.cond(tf.io.is_jpeg(data), of_jpeg, lambda: tf.zeros([2], tf.int32))


def _decode_part(data: tf.Tensor, window: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.io.decode_and_crop_jpeg(data, window, channels=channels, dct_method=_DCT)


def decode_data(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes the content of an image file, by what its header says.

    Args:
        data: string scalar.
        channels: 3, or 1 for grey; 0 for 1 where it is grey and has no transparency, else 3.

    Returns:
        uint8 [H, W, channels]; of an animation the first frame. Transparency is left out.

    Raises:
        errors.InputError: it is not to be read (see `image_kinds.plan`); in a graph `tf.errors.OpError`.
        tf.errors.OpError: its body is damaged.
    """
    return _decoded(data, channels, _jpeg_shape(data))


def _decoded(data, channels, jpeg_shape):
    """`jpeg_shape`: what `_jpeg_shape` says. JPEGs, by far the most, need no Python."""

    def others():
        image = tf.numpy_function(_decode_by_plan, [data, channels], tf.uint8)
        return tf.ensure_shape(image, [None, None, channels or None])

    return tf.cond(
        tf.reduce_min(jpeg_shape) > 0,
        lambda: tf.io.decode_jpeg(data, channels=channels, dct_method=_DCT),
        others,
    )


def _decode_by_plan(data: bytes, channels: int) -> np.ndarray:
    """As `decode_data`, of any kind."""
    # In a graph it comes as bytes, else in an array without dimensions.
    plan = image_kinds.plan(data if isinstance(data, bytes) else data.item())
    wanted = int(channels) or (1 if plan.grey else 3)
    if plan.pixels is not None:
        image = plan.pixels
    else:
        # The decoders of GIF and WebP make no grey images, nor does that of JPEG of printer's colours.
        asked = wanted if plan.kind == "PNG" else plan.channels
        with tf.device("CPU:0"):
            decode = _DECODERS[plan.kind]
            image = decode(plan.data, asked).numpy()[..., :3]
    if image.shape[-1] > wanted:
        with tf.device("CPU:0"):
            image = tf.image.rgb_to_grayscale(image).numpy()
    elif image.shape[-1] < wanted:
        image = np.repeat(image, wanted, axis=-1)
    if image.shape[:2] == (plan.height, plan.width):
        return image
    whole = np.zeros((plan.height, plan.width, wanted), np.uint8)
    top, left = plan.corner
    whole[top : top + image.shape[0], left : left + image.shape[1]] = image
    return whole


_DECODERS = {
    "JPEG": lambda data, channels: tf.io.decode_jpeg(data, channels=channels, dct_method=_DCT),
    "PNG": lambda data, channels: tf.io.decode_png(data, channels=channels),
    "GIF": lambda data, channels: tf.io.decode_gif(data)[0],
    "WebP": lambda data, channels: tf.io.decode_image(data, channels=channels, expand_animations=False),
}


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
    return tf.case(
        [(tf.equal(short, target), lambda: image), (short > target, lambda: _resized(image, scaled, True))],
        default=lambda: _resized(image, scaled, False),
    )


def _resized(image: tf.Tensor, size: tf.Tensor, antialias: bool) -> tf.Tensor:
    # A smoothing filter makes a difference only where pixels are lost, and costs more than twice the time.
    pixels = tf.image.resize(image, size, method="bilinear", antialias=antialias)
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), tf.uint8)


def decode(path: str) -> np.ndarray:
    """The image in a file, uint8 [H, W, C].

    Raises:
        errors.InputError: the file is missing or no image.
    """
    try:
        return decode_data(tf.io.read_file(os.fsencode(path)), 0).numpy()
    except (tf.errors.OpError, ValueError) as error:
        raise errors.InputError(f"{path}: {what_is_wrong(error)}") from error


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
    for path, outcome in zip(paths, parallel.in_order(_size_or_error, paths, seen), strict=True):
        if isinstance(outcome, str):
            broken[path] = outcome
        else:
            sizes.append(outcome)
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
            raise errors.InputError(f"{os.fsdecode(path)}: {what_is_wrong(error)}") from error
    return np.stack(loaded) if loaded else np.zeros((0, *images.shape[1:]), np.uint8)


def what_is_wrong(error: Exception) -> str:
    """With an image that could not be read, without the names of TensorFlow's operations around it."""
    text = re.sub(r"^\{\{.*?\}\} *| *\[Op:.*$", "", str(error).splitlines()[0])
    return f"not a readable image ({text[:200]})"
