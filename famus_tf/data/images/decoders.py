"""Decodes image files of all kinds with Pillow, upright, to 8 bits; TensorFlow is left the plain JPEGs.

TensorFlow 2.21 cannot be handed just any file: of an animated WebP without alpha it writes past its buffer, of a BMP
with a palette it gives the indices, of printer's colours it takes the wrong sign, it makes room for whatever size a
header names, and it leaves images as the camera was held.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.Image
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.images import image_kinds, orientation

# Damaged notes beside the pixels, which are not needed; without the file's name the warnings help nobody.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

# Of a file with 16 bits, from which the 8 are taken unless the data set's own use fewer.
ALL_BITS = 16
_BITS_PER_SAMPLE = 258  # TIFF's number for it

# What Pillow says of a header that ends too soon, or makes no sense.
_UNCLEAR = ("not identified by", "unpack_from requires", "could not create decoder", "index out of range")

# Not by `PIL.Image.open`, which goes through other formats too, and warns of large images before they can be refused.
_OPENERS = {
    "JPEG": PIL.JpegImagePlugin.JpegImageFile,
    "PNG": PIL.PngImagePlugin.PngImageFile,
    "BMP": PIL.BmpImagePlugin.BmpImageFile,
    "GIF": PIL.GifImagePlugin.GifImageFile,
    "WebP": PIL.WebPImagePlugin.WebPImageFile,
    "TIFF": PIL.TiffImagePlugin.TiffImageFile,
}


def decode(data: bytes, channels: int, bits: int = ALL_BITS) -> np.ndarray:
    """The image as it is shown, without its transparency: the first frame of an animation, the first page of a TIFF.

    Args:
        data: the content of a file.
        channels: 3, or 1 for grey; 0 for 1 where it is grey and has no transparency, else 3.
        bits: how many of 16 bits are used, 8 to 16; the highest 8 of them are taken.

    Returns:
        uint8 [H, W, channels].

    Raises:
        errors.InputError: it is no image, damaged, too large, or uses more bits; the message says what was found,
            without the file's name.
    """
    kind = image_kinds.kind_of(data)
    with _Reading(kind), _OPENERS[kind](io.BytesIO(data)) as image:
        deep = _deep(kind, image, data)
        if deep is not None:
            image_of_8 = _narrowed(kind, deep, bits)
        else:
            image.load()
            # From a palette with transparent colours Pillow goes no other way without a warning.
            image_of_8 = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
        wanted = channels or (1 if image_of_8.mode in ("1", "L") else 3)
        pixels = np.asarray(image_of_8.convert("L" if wanted == 1 else "RGB"))
        turned = orientation.of_opened(image)
    return orientation.upright(pixels.reshape(*pixels.shape[:2], wanted), turned)


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height as its header has them, in pixels; not turned.

    Raises:
        errors.InputError: as `decode`.
    """
    kind = image_kinds.kind_of(data)
    with _Reading(kind), _OPENERS[kind](io.BytesIO(data)) as image:
        return image.size


def used_bits(data: bytes) -> int:
    """How many bits the largest value of an image with 16 takes; 0 for one with fewer.

    Raises:
        errors.InputError: as `decode`.
    """
    kind = image_kinds.kind_of(data)
    if kind not in ("PNG", "TIFF"):
        return 0
    with _Reading(kind), _OPENERS[kind](io.BytesIO(data)) as image:
        deep = _deep(kind, image, data)
        return 0 if deep is None else int(deep.max()).bit_length()


class _Reading:
    """Turns what Pillow raises at a damaged file, which may be almost anything, into an `errors.InputError`."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, errors.InputError):
            return
        if isinstance(error, PIL.Image.DecompressionBombError):
            raise errors.InputError(
                f"found a {self._kind} of more than {image_kinds.MOST_PIXELS:,} pixels, expected at most that"
            ) from error
        if isinstance(error, MemoryError):
            raise errors.InputError(f"found a {self._kind} that takes more memory than there is") from error
        # TensorFlow's texts name its operations.
        text = "" if isinstance(error, tf.errors.OpError) else " ".join(str(error).split())[:100]
        says = f" (Pillow: {text})" if text and not text.startswith(_UNCLEAR) else ""
        raise errors.InputError(f"found a {self._kind} that is damaged, cut short or of a rare form{says}") from error


def _deep(kind: str, image: PIL.Image.Image, data: bytes) -> np.ndarray | None:
    """Values of 16 bits, uint16 [H, W, 1 or 3]; None where the image has fewer. The header is checked first."""
    image_kinds.check_size(kind, image.height, image.width)
    if kind == "PNG" and data[24] == ALL_BITS:
        # Pillow reads colours of 16 bits as 8.
        with tf.device("CPU:0"):
            values = tf.io.decode_png(data, dtype=tf.uint16).numpy()
        # As with fewer bits, grey beside transparency counts as colour.
        return np.repeat(values[..., :1], 3, -1) if values.shape[-1] == 2 else values[..., :3]
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., np.newaxis]
    if image.mode in ("I", "F"):
        raise errors.InputError(f"found a {kind} with numbers of 32 bits, expected 8 or 16")
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile) and max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8:
        raise errors.InputError(f"found a {kind} with colours of more than 8 bits, expected 8")
    return None


def _narrowed(kind: str, values: np.ndarray, bits: int) -> PIL.Image.Image:
    most = 2**bits - 1
    if values.max() > most:
        raise errors.InputError(
            f"found a {kind} of 16 bits with values up to {values.max():,}, expected at most {most:,}, as in the first "
            "images looked at"
        )
    pixels = (values >> (bits - 8)).astype(np.uint8)
    return PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
