"""Reads IDX files, the format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib

import numpy as np

from famus_tf import errors

_UNSIGNED_BYTE = 0x08
# Fashion-MNIST's largest has 47 million, EMNIST's 550 million.
_MOST_BYTES = 2**30


def read(path: str, rank: int) -> np.ndarray:
    """Reads one IDX file of unsigned bytes; a name that ends in `.gz` is decompressed.

    Source: the description of the format on Y. LeCun's MNIST page: two zero bytes, the element type, the number of
    dimensions, each dimension as a big-endian 32-bit number, then the elements with the last dimension fastest.

    Args:
        path: the file.
        rank: the number of dimensions it must have: 3 for images, 1 for labels.

    Returns:
        A writable uint8 array with `rank` dimensions.

    Raises:
        errors.InputError: the file cannot be read, is not what its name says, or has another magic number, no
            elements, or another length than its header announces.
    """
    content = _content(path)
    expected_magic = _UNSIGNED_BYTE << 8 | rank
    header_length = 4 + 4 * rank
    if len(content) < header_length:
        raise errors.InputError(
            f"{path} holds {len(content)} bytes, expected at least the {header_length} bytes of an IDX header"
        )
    magic, *shape = struct.unpack(f">{1 + rank}I", content[:header_length])
    if magic != expected_magic:
        raise errors.InputError(
            f"{path} has the magic number 0x{magic:08x}, expected 0x{expected_magic:08x} (IDX, unsigned bytes, "
            f"{rank} dimension{'s' if rank > 1 else ''})"
        )
    size = math.prod(shape)
    if size == 0:
        raise errors.InputError(f"{path} has the dimensions {tuple(shape)}, expected at least one element")
    if len(content) != header_length + size:
        raise errors.InputError(
            f"{path} holds {len(content)} bytes, expected {header_length + size} for the dimensions {tuple(shape)} "
            "in its header"
        )
    return np.frombuffer(content, np.uint8, offset=header_length).reshape(shape).copy()


def read_pair(images_path: str, labels_path: str, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Reads a file of grey images and the file of their labels.

    Args:
        images_path: an IDX file with 3 dimensions.
        labels_path: an IDX file with 1 dimension.
        image_size: the height and the width that the images must have.

    Returns:
        The images [N, H, W, 1], uint8, and the labels [N], int32.

    Raises:
        errors.InputError: as in `read`, or the images have another size, or the two files differ in N.
    """
    images = read(images_path, rank=3)
    labels = read(labels_path, rank=1)
    if images.shape[1:] != tuple(image_size):
        raise errors.InputError(
            f"{images_path} holds images of {images.shape[1]}x{images.shape[2]} pixels, expected "
            f"{image_size[0]}x{image_size[1]}"
        )
    if len(images) != len(labels):
        raise errors.InputError(
            f"{labels_path} holds {len(labels)} labels, expected {len(images)}, one for each image in {images_path}"
        )
    return images[..., np.newaxis], labels.astype(np.int32)


def _content(path: str) -> bytes:
    opener = gzip.open if os.fspath(path).endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except gzip.BadGzipFile as error:
        raise errors.InputError(f"{path} is not an intact gzip file, as its name says ({error})") from error
    except (EOFError, zlib.error) as error:
        raise errors.InputError(f"{path} is truncated or damaged, expected a complete gzip file ({error})") from error
    except OSError as error:
        raise errors.InputError(f"{path} cannot be read, expected an IDX file ({error.strerror or error})") from error
    if len(content) > _MOST_BYTES:
        raise errors.InputError(f"{path} holds more than {_MOST_BYTES:,} bytes, expected at most that many")
    return content
