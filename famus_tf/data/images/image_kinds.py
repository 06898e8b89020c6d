"""What kind of image a file is, by its first bytes."""

from __future__ import annotations

from famus_tf import errors

EXPECTED = "JPEG, PNG, BMP, GIF, WebP or TIFF"
# The float32 pixels of a larger one take more than a gigabyte while it is scaled.
MOST_PIXELS = 2**26

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
# What is named where it is found, though it is not read.
_OTHERS = (
    (b"%PDF", "a PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\1\0", "a Windows icon"),
    (b"<svg", "an SVG"),
    (b"<?xml", "an SVG or other XML"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"p5", "a PGM"),
    (b"p6", "a PPM"),
)
_OTHER_BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF", b"heic": "a HEIC", b"heix": "a HEIC", b"mif1": "a HEIF"}


def kind_of(data: bytes) -> str:
    """One of "JPEG", "PNG", "BMP", "GIF", "WebP" and "TIFF".

    Args:
        data: the content of a file.

    Raises:
        errors.InputError: it is none of them; the message says what was found, without the file's name.
    """
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    raise errors.InputError(f"found {_described(data)}, expected {EXPECTED}")


def _described(data: bytes) -> str:
    if not data:
        return "an empty file"
    for start, name in _OTHERS:
        if data[:16].lower().startswith(start.lower()):
            return name
    if data[4:8] == b"ftyp" and data[8:12] in _OTHER_BRANDS:
        return _OTHER_BRANDS[data[8:12]]
    return f"the first bytes {data[:8]!r}"


def check_size(kind: str, height: int, width: int) -> None:
    """Raises `errors.InputError` where the image would take too much memory, or has no pixels."""
    if height < 1 or width < 1:
        raise errors.InputError(f"found a {kind} of {width} x {height} pixels, expected 1 x 1 or more")
    if height * width > MOST_PIXELS:
        raise errors.InputError(
            f"found a {kind} of {width:,} x {height:,} pixels, expected at most {MOST_PIXELS:,} in all"
        )
