"""What an image file is by its header, and how it is decoded safely; TensorFlow sees no other bytes.

TensorFlow 2.21 cannot be handed just any file: of an animated WebP without alpha it writes past its buffer, of a BMP
with a palette it gives the indices, and it makes room for whatever size a header names.
"""

from __future__ import annotations

import dataclasses
import struct

import numpy as np

from famus_tf import errors

EXPECTED = "JPEG, PNG, BMP, GIF or WebP"
# The float32 pixels of a larger one take more than a gigabyte while it is scaled.
MOST_PIXELS = 2**26
# Of the longer side over the shorter one, which is scaled to a given length.
MOST_RATIO = 100

# What is named where it is found, though it is not read: the start of the file, and the bytes from the fourth on.
_OTHERS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop file"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "Windows icon"),
    (b"<svg", "SVG"),
    (b"<?xml", "SVG or other XML"),
    (b"<!DOCTYPE", "web page"),
    (b"<html", "web page"),
    (b"P5", "PGM"),
    (b"P6", "PPM"),
)
_OTHER_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """How an image is decoded.

    Attributes:
        kind: "JPEG", "PNG", "BMP", "GIF" or "WebP".
        height, width: of the whole image, in pixels.
        grey: whether it has neither colours nor transparency.
        data: what TensorFlow is given: the file, or a still one of an animation's first frame; empty with `pixels`.
        channels: what TensorFlow is asked for, 1, 3 or 4; the fourth is left out afterwards.
        corner: (top, left) of what is decoded, in the whole image, which is black elsewhere.
        pixels: uint8 [height, width, 1 or 3] of what needs no decoder; else None.
    """

    kind: str
    height: int
    width: int
    grey: bool
    data: bytes
    channels: int
    corner: tuple[int, int] = (0, 0)
    pixels: np.ndarray | None = None


def plan(data: bytes) -> Plan:
    """Looks at the header.

    Args:
        data: the content of a file.

    Raises:
        errors.InputError: it is none of the five kinds, cut short, of a form that cannot be read safely, or too large;
            the message says what was found, without the file's name.
    """
    for start, look in _LOOKS.items():
        if data.startswith(start):
            try:
                return look(data)
            except (struct.error, IndexError):
                raise errors.InputError(f"found a {_names(start)} whose header is cut short") from None
    raise errors.InputError(f"found {_described(data)}, expected {EXPECTED}")


def kind_of(data: bytes) -> str:
    """One of the five kinds, by the first bytes.

    Args:
        data: the content of a file, or its start.

    Raises:
        errors.InputError: it is none of them; the message says what was found, without the file's name.
    """
    for start in _LOOKS:
        if data.startswith(start) and (start != b"RIFF" or data[8:12] == b"WEBP"):
            return _names(start)
    raise errors.InputError(f"found {_described(data)}, expected {EXPECTED}")


def _names(start: bytes) -> str:
    return {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP", b"RIFF": "WebP"}.get(start, "GIF")


def _described(data: bytes) -> str:
    if not data:
        return "an empty file"
    for start, name in _OTHERS:
        if data.lower().startswith(start.lower()):
            return f"a {name}" if name[0] not in "AEIOS" or name.startswith("SVG or") else f"an {name}"
    if data[4:8] == b"ftyp" and data[8:12] in _OTHER_BRANDS:
        return f"an {_OTHER_BRANDS[data[8:12]]}"
    return f"the first bytes {data[:8]!r}"


def check_size(kind: str, height: int, width: int) -> None:
    """Raises `errors.InputError` where the image would take too much memory, decoded or scaled, or has no pixels."""
    if height < 1 or width < 1:
        raise errors.InputError(f"found a {kind} of {width} x {height} pixels, expected 1 x 1 or more")
    if height * width > MOST_PIXELS:
        raise errors.InputError(
            f"found a {kind} of {width:,} x {height:,} pixels, expected at most {MOST_PIXELS:,} in all"
        )
    if max(height, width) > MOST_RATIO * min(height, width):
        raise errors.InputError(
            f"found a {kind} of {width:,} x {height:,} pixels, expected one side at most {MOST_RATIO} times the other"
        )


def _jpeg(data: bytes) -> Plan:
    """Walks over the markers up to that of the frame."""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise errors.InputError("found a JPEG with a damaged header")
        marker = data[position + 1]
        if marker == 0xFF:  # fills up
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            position += 2
            continue
        if marker in (0xD9, 0xDA):
            raise errors.InputError("found a JPEG without a frame")
        length = struct.unpack_from(">H", data, position + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            break
        position += 2 + length
    bits, height, width, components = struct.unpack_from(">BHHB", data, position + 4)
    if marker not in (0xC0, 0xC1, 0xC2) or bits != 8:
        form = f"{bits} bits" if bits != 8 else "a lossless, hierarchical or arithmetic form"
        raise errors.InputError(f"found a JPEG of {form}, expected a baseline or progressive one of 8 bits")
    if components not in (1, 3, 4):
        raise errors.InputError(f"found a JPEG of {components} components, expected 1, 3 or 4")
    check_size("JPEG", height, width)
    return Plan("JPEG", height, width, components == 1, data, 1 if components == 1 else 3)


def _png(data: bytes) -> Plan:
    length, name, width, height, bits, colours = struct.unpack_from(">I4sIIBB", data, 8)
    if name != b"IHDR" or length != 13 or (bits, colours) not in _PNG_FORMS:
        raise errors.InputError("found a PNG with a damaged header")
    check_size("PNG", height, width)
    return Plan("PNG", height, width, colours == 0, data, 1 if colours == 0 else 3)


_PNG_FORMS = {
    *((bits, 0) for bits in (1, 2, 4, 8, 16)),
    *((bits, 3) for bits in (1, 2, 4, 8)),
    *((bits, colours) for bits in (8, 16) for colours in (2, 4, 6)),
}


def _bmp(data: bytes) -> Plan:
    """Read here: its pixels are not compressed, and TensorFlow knows no palette."""
    start, header = struct.unpack_from("<II", data, 10)
    if header not in (40, 52, 56, 64, 108, 124):
        raise errors.InputError(f"found a BMP with a header of {header} bytes, expected 40 or a later form")
    width, height, planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    masks = struct.unpack_from("<III", data, 54) if compression == 3 else _BGR
    if compression not in (0, 3) or planes != 1 or bits not in (1, 4, 8, 24, 32) or (compression and bits != 32):
        raise errors.InputError(
            f"found a BMP of {bits} bits and compression {compression}, expected 1, 4, 8, 24 or 32 bits, not compressed"
        )
    if masks != _BGR:
        raise errors.InputError("found a BMP with its colours in other bits, expected 8 each of blue, green and red")
    rows = abs(height)
    check_size("BMP", rows, width)
    stride = (width * bits + 31) // 32 * 4
    if start < 14 + header or start + stride * rows > len(data):
        raise errors.InputError(
            f"found a BMP of {len(data):,} bytes, expected {start + stride * rows:,}; it is cut short or damaged"
        )
    stored = np.frombuffer(data, np.uint8, stride * rows, start).reshape(rows, stride)
    stored = stored if height < 0 else stored[::-1]
    if bits < 24:
        pixels = _by_palette(data, stored, bits, header, start)[:, :width]
    else:
        pixels = stored[:, : width * bits // 8].reshape(rows, width, bits // 8)[..., 2::-1]
    return Plan("BMP", rows, width, pixels.shape[-1] == 1, b"", 0, pixels=np.ascontiguousarray(pixels))


_BGR = (0xFF0000, 0xFF00, 0xFF)


def _by_palette(data: bytes, stored: np.ndarray, bits: int, header: int, start: int) -> np.ndarray:
    """The colours that the stored indices stand for; one channel where all of the palette is grey."""
    used = struct.unpack_from("<I", data, 46)[0] or 2**bits
    count = min(used, 2**bits, (start - 14 - header) // 4)
    palette = np.zeros((256, 3), np.uint8)
    palette[:count] = np.frombuffer(data, np.uint8, 4 * count, 14 + header).reshape(-1, 4)[:, 2::-1]
    if bits < 8:
        parts = np.unpackbits(stored, axis=1).reshape(len(stored), -1, bits)
        stored = parts @ (1 << np.arange(bits - 1, -1, -1)).astype(np.uint8)
    if stored.size and stored.max() >= count:
        raise errors.InputError(f"found a BMP with the colour {stored.max()} of {count}; it is damaged")
    if (palette == palette[:, :1]).all():
        palette = palette[:, :1]
    return palette[stored]


def _gif(data: bytes) -> Plan:
    """Its first frame: TensorFlow's library would make room for all of them."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _gif_palette(flags)
    while True:
        if data[position] == 0x21:  # an extension
            position = _after_blocks(data, position + 2)
            continue
        if data[position] != 0x2C:
            raise errors.InputError("found a GIF without a frame, or a damaged one")
        left, top, columns, rows, flags = struct.unpack_from("<HHHHB", data, position + 1)
        break
    check_size("GIF", height, width)
    if left + columns > width or top + rows > height or not columns or not rows:
        raise errors.InputError("found a GIF whose first frame is not within the image")
    end = _after_blocks(data, position + 10 + _gif_palette(flags) + 1)
    return Plan("GIF", height, width, False, data[:end] + b"\x3b", 3)


def _gif_palette(flags: int) -> int:
    """Bytes of the palette that the flags announce."""
    return 3 * 2 ** (1 + flags % 8) if flags & 0x80 else 0


def _after_blocks(data: bytes, position: int) -> int:
    """The position after a chain of blocks, each with its length before it, and a zero at the end."""
    while data[position]:
        position += 1 + data[position]
    return position + 1


def _webp(data: bytes) -> Plan:
    if data[8:12] != b"WEBP":
        raise errors.InputError(f"found the first bytes {data[:12]!r}, expected {EXPECTED}")
    name = data[12:16]
    if name == b"VP8X":
        flags, *sides = struct.unpack_from("<B3xHBHB", data, 20)
        width, height = sides[0] + (sides[1] << 16) + 1, sides[2] + (sides[3] << 16) + 1
        if flags & 2:
            return _animated_webp(data, height, width)
        alpha = bool(flags & 16)
    else:
        height, width, alpha = _webp_frame(name, data[20:30])
    check_size("WebP", height, width)
    return Plan("WebP", height, width, False, data, 4 if alpha else 3)


def _webp_frame(name: bytes, start: bytes) -> tuple[int, int, bool]:
    """Height, width and whether there is transparency, from the first 10 bytes of a frame's own data."""
    if name == b"VP8 " and start[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", start, 6)
        return height & 0x3FFF, width & 0x3FFF, False
    if name == b"VP8L" and start[:1] == b"\x2f":
        bits = struct.unpack_from("<I", start, 1)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, bool(bits >> 28 & 1)
    raise errors.InputError("found a WebP with a damaged header")


def _animated_webp(data: bytes, height: int, width: int) -> Plan:
    """A still WebP of the first frame, whose place in the image is kept."""
    check_size("WebP", height, width)
    chunks = _riff_chunks(data, 12, len(data))
    frame = next((place for name, place in chunks if name == b"ANMF"), None)
    if frame is None:
        raise errors.InputError("found an animated WebP without a frame, or one that is cut short")
    start, end = frame
    left, left_high, top, top_high = struct.unpack_from("<HBHB", data, start)
    left, top = 2 * (left + (left_high << 16)), 2 * (top + (top_high << 16))
    parts = dict(_riff_chunks(data, start + 16, end))
    name = b"VP8 " if b"VP8 " in parts else b"VP8L"
    if name not in parts:
        raise errors.InputError("found an animated WebP whose first frame is cut short or damaged")
    rows, columns, alpha = _webp_frame(name, data[parts[name][0] : parts[name][0] + 10])
    if not rows or not columns or top + rows > height or left + columns > width:
        raise errors.InputError("found an animated WebP whose first frame is not within the image")
    # Without the header of the extended form a lossy frame has no transparency, which is not wanted.
    content = _chunk(name, data[slice(*parts[name])])
    still = b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WEBP" + content
    return Plan("WebP", height, width, False, still, 4 if alpha else 3, (top, left))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _riff_chunks(data: bytes, position: int, end: int) -> list[tuple[bytes, tuple[int, int]]]:
    """(name, (start, end)) of the whole chunks from `position` to `end`."""
    chunks = []
    while position + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > end:
            break
        chunks.append((name, (position + 8, position + 8 + length)))
        position += 8 + length + length % 2
    return chunks


_LOOKS = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"BM": _bmp,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"RIFF": _webp,
}
