"""The size that a user's own images are read in, found from a sample of them."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from famus_tf import errors
from famus_tf.data.images import decoders, image_files

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig

_LOOKED_AT = 64
# Images whose shorter side has up to so many pixels are read as they are, larger ones as is usual for photographs.
_SMALL = 96
_LARGEST_AS_IT_IS = 4 * _SMALL**2
_CROP = 224
_RESIZE = 256
# Sensors' and files' own; what is between counts as the next one.
_BITS = (8, 10, 12, 14, 16)


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """What was found in the images looked at.

    Attributes:
        positions: which ones, int64 [n].
        sizes: height and width of each, as it is shown, int64 [n, 2].
        grey: whether none has colours or transparency.
        bits: how many are used by the images of 16 bits among them; 16 where there are none.
        least_bits: how many the one uses that uses fewest.
        deep: how many images have 16 bits.
    """

    positions: np.ndarray
    sizes: np.ndarray
    grey: bool
    bits: int
    least_bits: int
    deep: int


def look_at(paths: Sequence[str]) -> Sample:
    """Decodes up to 64 images, evenly spread, and passes over what cannot be read.

    Args:
        paths: files, at least one.

    Raises:
        errors.InputError: none of them can be read; of the first.
    """
    positions, shapes, depths = [], [], []
    first_error = None
    for position in np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT).astype(int)):
        try:
            shapes.append(image_files.decode(paths[position]).shape)
            depths.append(decoders.used_bits(pathlib.Path(paths[position]).read_bytes()))
            positions.append(position)
        except errors.InputError as error:
            first_error = first_error or error
    if first_error and not shapes:
        raise first_error
    deep = [next(bits for bits in _BITS if bits >= depth) for depth in depths if depth]
    return Sample(
        np.array(positions),
        np.array(shapes)[:, :2],
        all(shape[2] == 1 for shape in shapes),
        bits=max(deep, default=decoders.ALL_BITS),
        least_bits=min(deep, default=decoders.ALL_BITS),
        deep=len(deep),
    )


def transform(sample: Sample, options: DataConfig) -> tuple[image_files.Transform, bool]:
    """What is done to each image.

    The typical size is the one that more than half of the sample have; where there is none, a square of the median of
    the shorter sides. Where it is small, images are read in it; of a long strip in the square of its shorter side.

    Args:
        sample: of the training images.
        options: `image_size` and `resize`, which take the place of the typical size, and `resize_mode`.

    Returns:
        The transform, and whether images are read in their typical size.
    """
    height, width = _typical(sample.sizes)
    keeps_size = not options.image_size and not options.resize and min(height, width) <= _SMALL
    if not keeps_size:
        height = width = options.image_size or _CROP
    elif height * width > _LARGEST_AS_IT_IS:
        height = width = min(height, width)
    short = min(height, width)
    # What is cut off in the middle of a photograph would be lost on whoever asks for all of it.
    whole = keeps_size or options.resize_mode != "crop"
    resize = options.resize or (short if whole else max(short, round(short * _RESIZE / _CROP)))
    return (
        image_files.Transform(
            resize,
            height,
            padding=short // 8 if whole and resize == short else 0,
            channels=1 if sample.grey else 3,
            width=width if width != height else 0,
            mode=options.resize_mode,
            bits=sample.bits,
        ),
        keeps_size,
    )


def is_small(height: int, width: int) -> bool:
    """Whether images of this size are read as they are."""
    return min(height, width) <= _SMALL and height * width <= _LARGEST_AS_IT_IS


def sentences(sample: Sample, made: image_files.Transform, keeps_size: bool) -> list[str]:
    """What is done to the images, for people.

    Args:
        sample: of the training images.
        made, keeps_size: what `transform` has made of it.
    """
    height, width = made.shape[:2]
    alike = int((sample.sizes == (height, width)).all(axis=1).sum())
    least, most = sample.sizes.min(axis=0), sample.sizes.max(axis=0)
    count = len(sample.sizes)
    text = f"images are read as {height}x{width} (height x width)"
    if keeps_size and alike == count == 1:
        text += f", the size of the one image looked at; others would be {_what_is_done(made)}"
    elif keeps_size and alike == count:
        text += f", the size of all {count} images looked at; others would be {_what_is_done(made)}"
    elif keeps_size and alike > count / 2:
        text += f", the size of {alike} of the {count} images looked at; others are {_what_is_done(made)}"
    else:
        sizes = f"have heights {least[0]} to {most[0]}, widths {least[1]} to {most[1]}"
        if (least == most).all():
            sizes = f"are {least[0]}x{least[1]}"
        text += f"; the {count} images looked at {sizes}; all are {_what_is_done(made)}"
    notes = [f"{text} (option `resize_mode`={made.mode})"]
    if sample.deep and made.bits < decoders.ALL_BITS:
        notes.append(
            f"{sample.deep} of the {count} images looked at have 16 bits and use {made.bits} of them: values are taken "
            f"for 0 to {2**made.bits - 1:,}"
        )
    if sample.least_bits < made.bits:
        notes.append(
            f"of {sample.deep} images of 16 bits looked at some use {made.bits} bits and some {sample.least_bits}: all "
            f"values are taken for 0 to {2**made.bits - 1:,}, and the latter come out dark"
        )
    return notes


def with_bits_of(sample: Sample, others: Mapping[str, Sample]) -> Sample:
    """The training images' sample; where none of them has 16 bits, with the bits of the other sets' that have.

    Args:
        sample: of the training images.
        others: of the other sets, by name.
    """
    deep = [other.bits for other in others.values() if other.deep]
    return sample if sample.deep or not deep else dataclasses.replace(sample, bits=max(deep))


def differences(
    sample: Sample, others: Mapping[str, Sample], made: image_files.Transform, keeps_size: bool
) -> list[str]:
    """What other sets have that the training images have not, for people.

    Args:
        sample: of the training images, as they are.
        others: of the other sets, by name.
        made, keeps_size: what `transform` has made of the training images.
    """
    notes = []
    for name, other in others.items():
        looked_at = f"{name} images, of which {len(other.sizes)} are looked at,"
        if keeps_size and not (other.sizes == made.shape[:2]).all(axis=1).any():
            least, most = other.sizes.min(axis=0), other.sizes.max(axis=0)
            height, width = (f"{a} to {b}" if a < b else f"{a}" for a, b in zip(least, most, strict=True))
            what = _what_is_done(made)
            notes.append(f"{looked_at} are {height} x {width}, unlike the training images: they are {what}")
        if sample.grey and not other.grey:
            notes.append(f"{looked_at} have colours, unlike the training images: they are read as grey")
        if other.deep and (not sample.deep or other.bits < made.bits):
            notes.append(
                f"{looked_at} have 16 bits in {other.deep} and use {other.bits} of them, unlike the training images: "
                f"values are taken for 0 to {2**made.bits - 1:,}"
            )
    return notes


def _what_is_done(made: image_files.Transform) -> str:
    frame = "x".join(map(str, made.frame))
    cut = "" if made.frame == made.shape[:2] else ", then cut in the middle, in training at random"
    if made.mode == "squash":
        return f"scaled to {frame}, whatever their ratio{cut}"
    if made.mode == "pad":
        return f"scaled to fit in {frame} and padded with black{cut}"
    if not cut:
        return f"scaled to cover {frame} and cut in the middle"
    return f"scaled to cover {frame}{cut}"


def _typical(sizes: np.ndarray) -> tuple[int, int]:
    """Height and width."""
    shape, count = collections.Counter(map(tuple, sizes.tolist())).most_common(1)[0]
    if 2 * count > len(sizes):
        return shape
    shorter = sorted(sizes.min(axis=1).tolist())
    middle = shorter[len(shorter) // 2]
    return middle, middle
