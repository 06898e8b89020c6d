"""Image files of many kinds, made with Pillow from one small picture, whole and damaged."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps

HEIGHT, WIDTH = 20, 28


def _picture(shift=0):
    """Smooth colours, so that what loses something loses little."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([5 * x + 20 + shift, 6 * y + 40, 3 * (x + y) + 60], -1).astype(np.uint8)


def _encode(mode, form, frames=1, **options):
    alpha = np.full((HEIGHT, WIDTH, 1), 128, np.uint8)
    pictures = []
    for number in range(frames):
        picture = PIL.Image.fromarray(_picture(40 * number))
        if mode in ("RGBA", "LA"):
            picture = PIL.Image.fromarray(np.concatenate([_picture(40 * number), alpha], -1))
        if mode == "I;16":
            wide = np.asarray(picture.convert("L")).astype(np.uint16) * 257
            picture = PIL.Image.frombytes("I;16", (WIDTH, HEIGHT), wide.tobytes())
        pictures.append(picture if picture.mode == mode else picture.convert(mode))
    file = io.BytesIO()
    if frames > 1:
        options |= {"save_all": True, "append_images": pictures[1:], "duration": 100, "loop": 0}
    pictures[0].save(file, form, **options)
    return file.getvalue()


def _cut(data, share=0.5):
    return data[: int(len(data) * share)]


def _changed(data, position, new):
    return data[:position] + new + data[position + len(new) :]


def _random(data):
    """The body's second half overwritten."""
    half = len(data) // 2
    return data[:half] + np.random.default_rng(0).integers(0, 256, len(data) - half, np.uint8).tobytes()


def _turned(mode, form, orientation, **options):
    """With the orientation noted as cameras do."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return _encode(mode, form, exif=exif, **options)


def _with_segment(jpeg, content, marker=0xE1):
    """A JPEG with one more segment, after JFIF's."""
    return jpeg[:20] + struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content + jpeg[20:]


def _without_adobe(jpeg):
    """Without the mark by which decoders tell printer's colours that are stored inverted."""
    start = jpeg.index(b"Adobe") - 4
    return jpeg[:start] + jpeg[start + 2 + struct.unpack_from(">H", jpeg, start + 2)[0] :]


def chunk(name, content):
    """A PNG's chunk."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_with_header(png, position, new):
    """A PNG with part of its header's content changed, and its check sum with it."""
    return png[:8] + chunk(b"IHDR", _changed(png[16:29], position, new)) + png[33:]


def png_of_bits(bits, colours, extra=b""):
    """A PNG of few bits, which Pillow does not write: random indices or grey values."""
    rows = np.random.default_rng(bits).integers(0, 256, (HEIGHT, (WIDTH * bits + 7) // 8), np.uint8)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colours, 0, 0, 0)
    palette = np.random.default_rng(0).integers(0, 256, (2**bits, 3), np.uint8).tobytes()
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    parts += [chunk(b"PLTE", palette)] if colours == 3 else []
    return b"".join([*parts, extra, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")])


def png_16(values):
    """A PNG of 16 bits of values [H, W] or [H, W, 3], not negative."""
    values = np.asarray(values).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 0 if values.ndim == 2 else 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts])


def _bmp_of_16_bits():
    rows = np.arange(HEIGHT * WIDTH, dtype="<u2").reshape(HEIGHT, WIDTH) * 50
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 16, 0, rows.nbytes, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + rows.nbytes, 0, 0, 54) + header + rows.tobytes()


_XMP = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation="8"/>'


def _jpegs():
    jpeg = _encode("RGB", "JPEG", quality=95)
    printed = _encode("CMYK", "JPEG", quality=95)
    return {
        "JPEG": jpeg,
        "JPEG, grey": _encode("L", "JPEG", quality=95),
        "JPEG, progressive": _encode("RGB", "JPEG", quality=95, progressive=True),
        "JPEG, no subsampled colours": _encode("RGB", "JPEG", quality=95, subsampling=0),
        "JPEG, 4 components": printed,
        "JPEG, 4 components without Adobe's mark": _without_adobe(printed),
        "JPEG, with a colour profile": _encode("RGB", "JPEG", quality=95, icc_profile=bytes(200)),
        **{f"JPEG, orientation {n}": _turned("RGB", "JPEG", n, quality=95) for n in range(2, 9)},
        "JPEG, grey, orientation 6": _turned("L", "JPEG", 6, quality=95),
        "JPEG, 4 components, orientation 6": _turned("CMYK", "JPEG", 6, quality=95),
        "JPEG, orientation 8 in XMP": _with_segment(jpeg, _XMP),
        "JPEG, orientation 99": _turned("RGB", "JPEG", 99, quality=95),
        "JPEG, damaged Exif": _with_segment(jpeg, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "JPEG, 12 bits in its header": _changed(jpeg, jpeg.index(b"\xff\xc0") + 4, b"\x0c"),
        "JPEG, a frame without loss in its header": _changed(jpeg, jpeg.index(b"\xff\xc0"), b"\xff\xc3"),
        "JPEG, 2 components in its header": _changed(jpeg, jpeg.index(b"\xff\xc0") + 9, b"\2"),
        "JPEG, 60,000 x 60,000 in its header": _changed(
            jpeg, jpeg.index(b"\xff\xc0") + 5, struct.pack(">HH", 60_000, 60_000)
        ),
        "JPEG, 0 x 0 in its header": _changed(jpeg, jpeg.index(b"\xff\xc0") + 5, bytes(4)),
        "JPEG, cut in its header": jpeg[:30],
        "JPEG, cut": _cut(jpeg),
        "JPEG, 3 bytes": jpeg[:3],
    }


def _pngs():
    png = _encode("RGB", "PNG")
    return {
        "PNG": png,
        "PNG, grey": _encode("L", "PNG"),
        "PNG, grey with alpha": _encode("LA", "PNG"),
        "PNG, with alpha": _encode("RGBA", "PNG"),
        "PNG, palette": _encode("P", "PNG"),
        "PNG, palette with a transparent colour": _encode("P", "PNG", transparency=3),
        "PNG, palette with transparent colours": _encode("P", "PNG", transparency=bytes([0, 128, 255, 9])),
        "PNG, a transparent colour": _encode("RGB", "PNG", transparency=(20, 40, 60)),
        "PNG, 1 bit": _encode("1", "PNG"),
        **{f"PNG, {bits} bits grey": png_of_bits(bits, 0) for bits in (2, 4)},
        "PNG, palette of 1 bit": png_of_bits(1, 3),
        **{f"PNG, palette of {bits} bits": png_of_bits(bits, 3) for bits in (2, 4)},
        "PNG, palette of 2 bits with transparent colours": png_of_bits(2, 3, chunk(b"tRNS", b"\0\x80")),
        "PNG, 16 bits grey": _encode("I;16", "PNG"),
        "PNG, 16 bits": png_16(_picture().astype(int) * 257),
        "PNG, orientation 6": _turned("RGB", "PNG", 6),
        "PNG, animated": _encode("RGB", "PNG", 3),
        "PNG, cut": _cut(png),
        "PNG, random bytes in its body": _random(png),
        "PNG, 60,000 x 60,000 in its header": png_with_header(png, 0, struct.pack(">II", 60_000, 60_000)),
        "PNG, 3 bits in its header": png_with_header(png, 8, b"\3"),
        "PNG, a header that fails its check": _changed(png, 16, b"\1"),
        "PNG, 10 bytes": png[:10],
    }


def _webps():
    webp, moving = _encode("RGB", "WEBP"), _encode("RGB", "WEBP", 3)
    clear = _encode("RGBA", "WEBP")
    return {
        "WebP": webp,
        "WebP, lossless": _encode("RGB", "WEBP", lossless=True),
        "WebP, with alpha": clear,
        "WebP, lossless with alpha": _encode("RGBA", "WEBP", lossless=True),
        "WebP, with alpha that its header denies": _changed(clear, 20, bytes([clear[20] & ~16])),
        "WebP, orientation 6": _turned("RGB", "WEBP", 6, lossless=True),
        "WebP, animated": moving,
        "WebP, animated without loss": _encode("RGB", "WEBP", 3, lossless=True),
        "WebP, animated with alpha": _encode("RGBA", "WEBP", 3),
        "WebP, animated without loss with alpha": _encode("RGBA", "WEBP", 3, lossless=True),
        "WebP, animated, that its header denies": _changed(moving, 20, bytes([moving[20] & ~2])),
        "WebP, animated, cut": moving[:60],
        "WebP, animated, random bytes in its body": _random(moving),
        "WebP, cut": _cut(webp),
        "WebP, random bytes in its body": _random(webp),
        "WebP, 16 bytes": webp[:16],
    }


def _tiffs():
    tiff = _encode("RGB", "TIFF")
    return {
        "TIFF": tiff,
        "TIFF, grey": _encode("L", "TIFF"),
        "TIFF, palette": _encode("P", "TIFF"),
        "TIFF, 1 bit": _encode("1", "TIFF"),
        "TIFF, with alpha": _encode("RGBA", "TIFF"),
        "TIFF, 4 components": _encode("CMYK", "TIFF"),
        "TIFF, 16 bits grey": _encode("I;16", "TIFF"),
        "TIFF, LZW": _encode("RGB", "TIFF", compression="tiff_lzw"),
        "TIFF, JPEG inside": _encode("RGB", "TIFF", compression="jpeg", quality=95),
        "TIFF, orientation 6": _turned("RGB", "TIFF", 6),
        "TIFF, several pages": _encode("RGB", "TIFF", 3),
        "TIFF, floats": _encode("F", "TIFF"),
        "TIFF, cut": _cut(tiff),
        "TIFF, 10 bytes": tiff[:10],
    }


def make():
    """Dict of what a kind is, in words, -> the bytes of such a file."""
    bmp, gif = _encode("RGB", "BMP"), _encode("P", "GIF")
    return {
        **_jpegs(),
        **_pngs(),
        "BMP": bmp,
        "BMP, grey": _encode("L", "BMP"),
        "BMP, palette": _encode("P", "BMP"),
        "BMP, 1 bit": _encode("1", "BMP"),
        "BMP, 16 bits": _bmp_of_16_bits(),
        "BMP, with alpha": _encode("RGBA", "BMP"),
        "BMP, cut": _cut(bmp),
        "BMP, 2**31 - 1 pixels wide in its header": _changed(bmp, 18, b"\xff\xff\xff\x7f"),
        "BMP, compressed in its header": _changed(bmp, 30, b"\1\0\0\0"),
        "GIF": gif,
        "GIF, grey": _encode("L", "GIF"),
        "GIF, with a transparent colour": _encode("P", "GIF", transparency=3),
        "GIF, animated": _encode("RGB", "GIF", 3),
        "GIF, cut": _cut(gif),
        "GIF, random bytes in its body": _random(gif),
        "GIF, 65,535 x 65,535 in its header": _changed(gif, 6, b"\xff\xff\xff\xff"),
        **_webps(),
        **_tiffs(),
        "PPM": _encode("RGB", "PPM"),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "empty": b"",
        "zeros": b"\0" * 500,
        "text": b"no image",
    }


def pixels(data):
    """What Pillow shows: uint8 [height, width, 3], upright, transparency left out."""
    image = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data)))
    if image.mode == "I;16":
        image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P" and image.info.get("transparency") is not None:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))
