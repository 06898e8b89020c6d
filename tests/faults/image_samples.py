"""Image files of many kinds, made with Pillow from one small picture, whole and damaged."""

import io
import struct

import numpy as np
import PIL.Image

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


def make():
    """Dict of what a kind is, in words, -> the bytes of such a file."""
    jpeg, png = _encode("RGB", "JPEG", quality=95), _encode("RGB", "PNG")
    bmp, gif = _encode("RGB", "BMP"), _encode("P", "GIF")
    webp, moving = _encode("RGB", "WEBP"), _encode("RGB", "WEBP", 3)
    return {
        "JPEG": jpeg,
        "JPEG, grey": _encode("L", "JPEG", quality=95),
        "JPEG, progressive": _encode("RGB", "JPEG", quality=95, progressive=True),
        "JPEG, no subsampled colours": _encode("RGB", "JPEG", quality=95, subsampling=0),
        "JPEG, 4 components": _encode("CMYK", "JPEG", quality=95),
        "JPEG, 12 bits in its header": _changed(jpeg, jpeg.index(b"\xff\xc0") + 4, b"\x0c"),
        "JPEG, a frame without loss in its header": _changed(jpeg, jpeg.index(b"\xff\xc0"), b"\xff\xc3"),
        "JPEG, 2 components in its header": _changed(jpeg, jpeg.index(b"\xff\xc0") + 9, b"\x02"),
        "JPEG, 60,000 x 60,000 in its header": _changed(jpeg, jpeg.index(b"\xff\xc0") + 5, b"\xea\x60\xea\x60"),
        "JPEG, 0 x 0 in its header": _changed(jpeg, jpeg.index(b"\xff\xc0") + 5, b"\0\0\0\0"),
        "JPEG, cut in its header": jpeg[:30],
        "JPEG, cut": _cut(jpeg, 0.9),
        "JPEG, 3 bytes": jpeg[:3],
        "PNG": png,
        "PNG, grey": _encode("L", "PNG"),
        "PNG, grey with alpha": _encode("LA", "PNG"),
        "PNG, with alpha": _encode("RGBA", "PNG"),
        "PNG, palette": _encode("P", "PNG"),
        "PNG, palette with a transparent colour": _encode("P", "PNG", transparency=3),
        "PNG, 1 bit": _encode("1", "PNG"),
        "PNG, 16 bits grey": _encode("I;16", "PNG"),
        "PNG, animated": _encode("RGB", "PNG", 3),
        "PNG, cut": _cut(png),
        "PNG, random bytes in its body": _random(png),
        "PNG, 60,000 x 60,000 in its header": _changed(png, 16, struct.pack(">II", 60_000, 60_000)),
        "PNG, 3 bits in its header": _changed(png, 24, b"\3"),
        "PNG, 10 bytes": png[:10],
        "BMP": bmp,
        "BMP, grey": _encode("L", "BMP"),
        "BMP, palette": _encode("P", "BMP"),
        "BMP, 1 bit": _encode("1", "BMP"),
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
        "WebP": webp,
        "WebP, lossless": _encode("RGB", "WEBP", lossless=True),
        "WebP, with alpha": _encode("RGBA", "WEBP"),
        "WebP, lossless with alpha": _encode("RGBA", "WEBP", lossless=True),
        "WebP, animated": moving,
        "WebP, animated without loss": _encode("RGB", "WEBP", 3, lossless=True),
        "WebP, animated with alpha": _encode("RGBA", "WEBP", 3),
        "WebP, animated without loss with alpha": _encode("RGBA", "WEBP", 3, lossless=True),
        "WebP, animated, cut": moving[:60],
        "WebP, animated, random bytes in its body": _random(moving),
        "WebP, cut": _cut(webp),
        "WebP, random bytes in its body": _random(webp),
        "WebP, 16 bytes": webp[:16],
        "TIFF": _encode("RGB", "TIFF"),
        "PPM": _encode("RGB", "PPM"),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "empty": b"",
        "zeros": b"\0" * 500,
        "text": b"no image",
    }


def pixels(data):
    """What Pillow reads: uint8 [height, width, 3], transparency left out."""
    image = PIL.Image.open(io.BytesIO(data))
    if image.mode == "I;16":
        image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P" and image.info.get("transparency") is not None:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))
