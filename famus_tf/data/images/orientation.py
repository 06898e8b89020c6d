"""Which way up an image is shown: the orientation that a camera writes beside the pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
import PIL.Image

_TAG = 0x0112
_APP1 = 0xE1
_PIXELS_FOLLOW = 0xDA
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_EXIF_NAME = b"Exif\0\0"
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"


def of_jpeg(data: bytes) -> int:
    """The orientation 1 to 8 in a JPEG's header, 1 where there is none.

    Args:
        data: the content of a JPEG file.
    """
    exif, xmp = b"", b""
    for segment in _notes(data):
        if segment.startswith(_EXIF_NAME):
            exif += segment[len(_EXIF_NAME) :] if exif else segment
        elif segment.startswith(_XMP_NAME):
            xmp = segment
    found = _in_exif(exif)
    if found is None and (in_xmp := _XMP.search(xmp)):
        found = int(in_xmp[1])
    return _known(found)


def _notes(data: bytes) -> Iterator[bytes]:
    """The contents of a JPEG's APP1 segments before its pixels; as decoders do, what is between segments is skipped."""
    position = data.find(b"\xff", 2)
    while 0 <= position <= len(data) - 4:
        marker = data[position + 1]
        if marker == _PIXELS_FOLLOW:
            return
        end = position + 2
        if marker == 0xFF:  # fills up
            end = position + 1
        elif marker not in _WITHOUT_LENGTH:
            end += int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _APP1:
            yield data[position + 4 : end]
        position = data.find(b"\xff", end)


def of_opened(image: PIL.Image.Image) -> int:
    """The orientation 1 to 8 of an image that Pillow has opened; damaged notes count as none."""
    try:
        return _known(image.getexif().get(_TAG))
    except Exception:
        return 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels [H, W, C] as they are shown, [H, W, C] or [W, H, C]."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    rows, columns = _STEPS[orientation]
    return np.ascontiguousarray(pixels[::rows, ::columns])


# Of rows and columns, where the sides were exchanged first.
_STEPS: Mapping[int, tuple[int, int]] = {
    1: (1, 1),
    2: (1, -1),
    3: (-1, -1),
    4: (-1, 1),
    5: (1, 1),
    6: (1, -1),
    7: (-1, -1),
    8: (-1, 1),
}


def _in_exif(data: bytes) -> object:
    if not data:
        return None
    exif = PIL.Image.Exif()
    try:
        exif.load(data)
        return exif.get(_TAG)
    except Exception:  # damaged notes do not make the pixels unreadable
        return None


def _known(value: object) -> int:
    return value if isinstance(value, int) and value in _STEPS else 1
