"""Images from bytes by TensorFlow alone, against what evaluation sees of the same files."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf.data.images import image_files, in_graph

OF_PNG = ("RGB", "RGBA", "L", "LA", "P", "1")


def encoded(kind, mode, size=(57, 43), seed=0, **options):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 4), np.uint8)
    image = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def both(data, transform, tmp_path):
    (tmp_path / "image").write_bytes(data)
    expected = image_files.load_for_evaluation(tf.constant(str(tmp_path / "image")), transform).numpy()
    load = tf.function(lambda content: in_graph.load(content, transform), autograph=False)
    return load(tf.constant(data)).numpy(), expected


FIRST = {"resize": 32, "size": 28}
TRANSFORMS = [
    {"resize": 43, "size": 43},  # nothing to scale
    {"resize": 20, "size": 20, "width": 30, "mode": "squash"},
    {"resize": 60, "size": 60, "mode": "pad"},
    {"resize": 16, "size": 16, "channels": 1},
]
FILES = [("JPEG", "RGB"), ("JPEG", "L"), *(("PNG", mode) for mode in OF_PNG)]
CASES = [(*file, FIRST) for file in FILES] + [(*file, one) for one in TRANSFORMS for file in (FILES[0], FILES[3])]


@pytest.mark.parametrize(("kind", "mode", "options"), CASES)
def test_as_evaluation_sees_it(tmp_path, kind, mode, options):
    found, expected = both(encoded(kind, mode), image_files.Transform(**options), tmp_path)
    np.testing.assert_array_equal(found, expected, strict=True)
    assert np.ptp(expected) > 0


def exif(value, big):
    notes = PIL.Image.Exif()
    notes.endian = ">" if big else "<"
    notes[0x0112] = value
    notes[0x010F] = "Somebody"
    return notes


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_upright(tmp_path, kind, channels):
    transform = image_files.Transform(24, 20, channels=channels)
    load = tf.function(lambda content: in_graph.load(content, transform), autograph=False)
    for value in range(10):
        data = encoded(kind, "RGB", exif=exif(value, value % 2))
        (tmp_path / "image").write_bytes(data)
        expected = image_files.load_for_evaluation(tf.constant(str(tmp_path / "image")), transform).numpy()
        np.testing.assert_array_equal(load(tf.constant(data)).numpy(), expected)
        assert int(in_graph.orientation(tf.constant(data))) == (value if 1 <= value <= 8 else 1)


@pytest.mark.parametrize(("bits", "channels"), [(16, 3), (12, 3), (12, 1)])
def test_sixteen_bits(tmp_path, bits, channels):
    pixels = np.random.default_rng(0).integers(0, 2**bits, (20, 24), np.uint16)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    transform = image_files.Transform(16, 16, channels=channels, bits=bits)
    found, expected = both(buffer.getvalue(), transform, tmp_path)
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(expected) > 100
    if bits < 16:
        PIL.Image.fromarray(pixels * 15).save(buffer := io.BytesIO(), "PNG")
        with pytest.raises(tf.errors.InvalidArgumentError, match="found values up to"):
            in_graph.load(tf.constant(buffer.getvalue()), transform)


@pytest.mark.parametrize("cut", [3, 30, 200, -40])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_is_an_error_and_no_crash(kind, cut):
    data = encoded(kind, "RGB", exif=exif(6, True))[:cut]
    with pytest.raises(tf.errors.InvalidArgumentError):
        in_graph.load(tf.constant(data), image_files.Transform(24, 20))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "found no JPEG or PNG"),
        (encoded("BMP", "RGB"), "found no JPEG or PNG"),
        (encoded("GIF", "RGB"), "found no JPEG or PNG"),
        (encoded("JPEG", "CMYK"), "found a JPEG in printer's colours"),
    ],
)
def test_what_is_not_read_is_named(data, said):
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        in_graph.load(tf.constant(data), image_files.Transform(24, 20))


def test_damaged_notes_are_passed_over():
    whole = encoded("JPEG", "RGB", exif=exif(6, True))
    start = whole.index(b"Exif\0\0") + 6
    rng = np.random.default_rng(0)
    find = tf.function(in_graph.orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    for _ in range(100):
        data = bytearray(whole)
        for place in rng.integers(start - 12, start + 40, 4):
            data[place] = rng.integers(256)
        assert 1 <= int(find(tf.constant(bytes(data)))) <= 8
