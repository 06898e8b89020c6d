"""Images are read as they are shown, by whatever notes turn them; against Pillow."""

import io
import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from famus_tf.config.data import DataConfig
from famus_tf.data.copies import resized_copy
from famus_tf.data.images import image_files, orientation
from famus_tf.data.sets import own_images
from tests.faults import image_samples

_SAMPLES = image_samples.make()
_TURNED = [kind for kind in _SAMPLES if "orientation" in kind and "99" not in kind]


@pytest.mark.parametrize("kind", _TURNED)
def test_is_read_upright(kind, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(_SAMPLES[kind])
    shown = image_samples.pixels(_SAMPLES[kind])
    stored = np.asarray(PIL.Image.open(io.BytesIO(_SAMPLES[kind])).convert("RGB"))
    if not kind.startswith("TIFF"):  # which Pillow turns as it opens them
        assert stored.shape != shown.shape or (stored != shown).any()
    height, width = shown.shape[:2]
    side = min(height, width)
    transform = image_files.Transform(side, side)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image_files.load_for_evaluation(tf.constant(str(path)), transform).numpy()
    np.testing.assert_array_equal(middle, shown[top : top + side, left : left + side])


def _segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def _exif(value, order="<"):
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, value, 0)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return b"Exif\0\0" + start + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([], 1),
        ([(0xE1, _exif(6))], 6),
        ([(0xE1, _exif(6, ">"))], 6),
        ([(0xE2, b"ICC_PROFILE\0" + bytes(60_000)), (0xED, b"Photoshop"), (0xE1, _exif(3))], 3),
        ([(0xFE, b"a comment"), (0xE1, _exif(8))], 8),
        ([(0xE1, _exif(0))], 1),
        ([(0xE1, _exif(9))], 1),
        ([(0xE1, b"Exif\0\0not a TIFF")], 1),
        ([(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')], 6),
        ([(0xE1, b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>5</tiff:Orientation>"), (0xE1, _exif(2))], 2),
    ],
)
@pytest.mark.parametrize("between", [b"", b"\xff\xff", b"\0", b"\xff\0junk"])
def test_segments_of_a_jpeg(segments, expected, between):
    jpeg = _SAMPLES["JPEG"]
    data = jpeg[:20] + b"".join(between + _segment(*segment) for segment in segments) + jpeg[20:]
    assert orientation.of_jpeg(data) == expected
    with PIL.Image.open(io.BytesIO(data)) as image:
        stored = np.asarray(image.convert("RGB"))
        shown = np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(orientation.upright(stored, expected), shown)
    np.testing.assert_array_equal(image_files.decode_data(tf.constant(data), 3), shown)


def test_the_scaled_copy_is_upright_without_notes(tmp_path):
    for part in ("train", "test"):
        (tmp_path / "data" / part / "a").mkdir(parents=True)
        (tmp_path / "data" / part / "a" / "1.jpg").write_bytes(_SAMPLES["JPEG, orientation 6"])
    source = own_images.load_folder(str(tmp_path / "data"), DataConfig(image_size=14, resize=16))
    made = resized_copy.make(source, str(tmp_path / "data"), str(tmp_path / "copy"))
    assert made.scaled == 2
    with PIL.Image.open(tmp_path / "copy" / "train" / "a" / "1.jpg") as image:
        assert image.size == (16, 22) and not image.getexif()
