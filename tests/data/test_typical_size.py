"""The size that images are read in, by what most of them are, and what is said of the others."""

import dataclasses
import logging
import os

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data.copies import in_memory
from famus_tf.data.images import image_files, typical_size
from famus_tf.data.sets import own_images
from tests.faults import image_samples


@pytest.fixture
def notes():
    """What is noted while own images are read; a run before may have taken the notes elsewhere."""
    kept = []
    handler = logging.Handler()
    handler.emit = lambda record: kept.append(record.getMessage())
    logger = logging.getLogger("famus_tf.data.sets.own_images")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield kept
    logger.removeHandler(handler)
    logger.setLevel("NOTSET")


def _files(folder, shapes):
    """A file of each (height, width); all grey values are 100."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, shape in enumerate(shapes):
        path = folder / f"{number:03d}.png"
        PIL.Image.fromarray(np.full((*shape, 3), 100, np.uint8)).save(path)
        paths.append(str(path))
    return paths


def _found(folder, shapes, **options):
    sample = typical_size.look_at(_files(folder, shapes))
    return sample, *typical_size.transform(sample, DataConfig(**options))


@pytest.mark.parametrize(
    ("shapes", "expected", "said"),
    [
        ([(300, 400)] * 9 + [(16, 12)], (224, 224), "scaled to cover 256x256, then cut in the middle, in training at"),
        ([(12, 16)] + [(300, 400), (500, 333), (410, 640)] * 3, (224, 224), "heights 12 to 500, widths 16 to 640"),
        ([(128, 64)] * 5, (128, 64), "the size of all 5 images looked at"),
        (
            [(64, 128)] * 5 + [(12, 16)],
            (64, 128),
            "the size of 5 of the 6 images looked at; others are scaled to cover 64x128",
        ),
        ([(32, 32)] * 7 + [(20, 3000)], (32, 32), "the size of 7 of the 8 images looked at"),
        ([(20, 3000)] * 4, (20, 20), "scaled to cover 20x20 and cut in the middle"),
        ([(40, 50), (45, 45), (50, 61), (60, 44), (30, 36)], (44, 44), "heights 30 to 60, widths 36 to 61"),
    ],
)
def test_what_most_images_are(shapes, expected, said, tmp_path):
    sample, made, keeps_size = _found(tmp_path, shapes)
    assert made.shape[:2] == expected and keeps_size == (min(expected) < 97)
    (sentence,) = typical_size.sentences(sample, made, keeps_size)
    height, width = expected
    assert sentence.startswith(f"images are read as {height}x{width} (height x width)") and said in sentence
    assert sentence.endswith("(option `resize_mode`=crop)")


@pytest.mark.parametrize("mode", ["squash", "pad"])
def test_modes_that_cut_nothing_off(mode, tmp_path):
    for options, expected in (
        ({}, (224, 224)),
        ({"image_size": 64}, (64, 64)),
        ({"image_size": 64, "resize": 80}, (64, 80)),
    ):
        _, made, keeps_size = _found(tmp_path, [(300, 400)] * 3, resize_mode=mode, **options)
        assert (made.size, made.resize) == expected and made.mode == mode and not keeps_size
        assert made.padding == (made.size // 8 if made.resize == made.size else 0)


def _marked(path, height, width):
    """A picture whose outermost quarters are white on the left and black on the right, the rest grey."""
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[:, : width // 4] = 255
    picture[:, -(width // 4) :] = 0
    PIL.Image.fromarray(picture).save(path)
    return tf.constant(str(path))


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 160), (20, 40)])
def test_what_each_mode_shows(height, width, tmp_path):
    path = _marked(tmp_path / "a.png", height, width)
    row = {}
    for mode in ("crop", "squash", "pad"):
        transform = image_files.Transform(40, 40, mode=mode, padding=5)
        image = image_files.load_for_evaluation(path, transform).numpy()
        assert image.shape == (40, 40, 3)
        row[mode] = image[20, :, 0]
        if mode == "pad":
            assert not image[:10].any() and not image[30:].any() and image[12:28, :8].min() > 200
        training = image_files.load_for_training(path, tf.constant([1, 2], tf.int64), transform, False)
        assert training.shape == (40, 40, 3)
    assert (np.abs(row["crop"][2:-2].astype(int) - 128) < 3).all()
    for mode in ("squash", "pad"):
        assert row[mode][0] == 255 and row[mode][-1] == 0 and row[mode][20] == 128


@pytest.mark.parametrize(("height", "width"), [(128, 64), (64, 32), (100, 90), (64, 128)])
def test_rectangles(height, width, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    path = tmp_path / "a.png"
    PIL.Image.fromarray(picture).save(path)
    image = image_files.load_for_evaluation(tf.constant(str(path)), image_files.Transform(64, 128, width=64)).numpy()
    assert image.shape == (128, 64, 3)
    if (height, width) == (128, 64):
        np.testing.assert_array_equal(image, picture)
    files = image_files.ImageFiles(np.array([str(path)]), image_files.Transform(64, 128, width=64))
    assert files.shape == (1, 128, 64, 3)


def test_a_folder_of_rectangles_is_kept_whole(tmp_path, notes):
    for part in ("train", "test"):
        _files(tmp_path / part / "a", [(128, 64)] * 3)
    source = own_images.load_folder(str(tmp_path), DataConfig())
    assert any("images are read as 128x64" in message for message in notes)
    loaded = in_memory.load(source, skip_bad=False)
    assert loaded.train_images.shape == (3, 128, 64, 3) and loaded.crop_padding == 8


@pytest.mark.parametrize("shape", [(20, 3000), (3000, 20), (1, 20_000), (30, 30_000)])
@pytest.mark.parametrize("form", ["png", "jpg"])
def test_strips_take_little_memory(shape, form, tmp_path, monkeypatch):
    """The largest that is made of one has 8 million pixels, whatever its ratio."""
    path = tmp_path / f"a.{form}"
    PIL.Image.fromarray(np.full((*shape, 3), 100, np.uint8)).save(path)
    sizes = []
    resize = tf.image.resize
    monkeypatch.setattr(
        tf.image, "resize", lambda image, size, **rest: sizes.append(size) or resize(image, size, **rest)
    )
    for transform in (image_files.Transform(256, 224), image_files.Transform(32, 32, padding=4)):
        image = image_files.load_for_evaluation(tf.constant(str(path)), transform)
        assert (image.numpy() == 100).all() and image.shape == transform.shape
        image_files.load_for_training(tf.constant(str(path)), tf.constant([0, 1], tf.int64), transform, True)
    for mode in ("squash", "pad"):
        image_files.load_for_evaluation(tf.constant(str(path)), image_files.Transform(32, 32, mode=mode))
    assert sizes and all(int(np.prod(size)) <= 2**23 for size in sizes)


def _deep_files(folder, largest, count=6):
    folder.mkdir(parents=True)
    for number in range(count):
        values = np.linspace(0, largest, 32 * 32).reshape(32, 32)
        (folder / f"{number}.png").write_bytes(image_samples.png_16(values))


@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (1000, 10), (4095, 12), (9000, 14), (65535, 16)])
def test_used_bits_of_16(largest, bits, tmp_path, notes):
    for part in ("train", "test"):
        _deep_files(tmp_path / part / "a", largest)
    source = own_images.load_folder(str(tmp_path), DataConfig())
    assert source.train_images.transform.bits == bits
    assert any(f"use {bits} of them" in message for message in notes) == (bits < 16)
    pixels = image_files.as_array(source.train_images, np.array([0]))
    assert len(np.unique(pixels)) > 120 and pixels.max() == largest >> (bits - 8)
    arrays = in_memory.load(source, skip_bad=False)
    np.testing.assert_array_equal(arrays.train_images[:1], pixels)


def test_one_that_uses_more_bits_is_named(tmp_path):
    for part in ("train", "test"):
        _deep_files(tmp_path / part / "a", 4095)
    source = own_images.load_folder(str(tmp_path), DataConfig())
    path = tmp_path / "train" / "a" / "3.png"
    path.write_bytes(image_samples.png_16(np.full((32, 32), 30_000)))
    said = (
        r"3\.png: not a readable image \(found a PNG of 16 bits with values up to 30,000, expected at most 4,095, as in"
    )
    with pytest.raises(errors.InputError, match=said):
        in_memory.load(source, skip_bad=False)
    _, broken = image_files.scan(source.train_images)
    assert list(broken) == [str(path)]
    loaded = in_memory.load(source, skip_bad=True)
    assert len(loaded.train_images) == 5 and list(map(os.path.basename, loaded.left_out)) == ["3.png"]


@pytest.mark.parametrize("transform", [(16, 12), (16, 16, 2), (20, 12, 0, 3, True)])
def test_without_augmentation_training_sees_what_evaluation_sees(transform, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.png"
    PIL.Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    files = image_files.ImageFiles(np.array([str(path)]), image_files.Transform(*transform))
    still = files.with_augmentation(False).transform
    expected = image_files.load_for_evaluation(tf.constant(str(path)), files.transform).numpy()
    for seed in range(5):
        found = image_files.load_for_training(tf.constant(str(path)), tf.constant([seed, 0], tf.int64), still, False)
        np.testing.assert_array_equal(found, expected)
    assert files.with_augmentation(True).transform == files.transform


def test_a_cut_without_room_is_padded():
    files = image_files.ImageFiles(np.array(["a.png"]), image_files.Transform(16, 16))
    assert files.with_augmentation(True).transform == dataclasses.replace(files.transform, padding=2)


def test_bits_that_differ_among_the_training_images_are_said(tmp_path, notes):
    for part in ("train", "test"):
        _deep_files(tmp_path / part / "a", 4095)
    (tmp_path / "train" / "a" / "3.png").write_bytes(image_samples.png_16(np.full((32, 32), 65535)))
    source = own_images.load_folder(str(tmp_path), DataConfig())
    assert source.train_images.transform.bits == 16
    assert "some use 16 bits and some 12: all values are taken for 0 to 65,535" in notes[1]
    assert "test images, of which 6 are looked at, have 16 bits in 6 and use 12 of them, unlike" in notes[2]


def test_bits_of_test_images_alone_are_those_of_all(tmp_path, notes):
    _files(tmp_path / "train" / "a", [(32, 32)] * 3)
    _deep_files(tmp_path / "test" / "a", 4095)
    source = own_images.load_folder(str(tmp_path), DataConfig())
    assert source.train_images.transform.bits == 12
    assert "values are taken for 0 to 4,095" in notes[1] and len(notes) == 2
    assert image_files.as_array(source.test_images, np.array([0])).max() == 255


def test_other_sets_of_another_size_or_with_colours_are_named(tmp_path, notes):
    (tmp_path / "train" / "a").mkdir(parents=True)
    for number in range(3):
        PIL.Image.fromarray(np.full((16, 16), 100, np.uint8)).save(tmp_path / "train" / "a" / f"{number}.png")
    _files(tmp_path / "test" / "a", [(40, 60), (50, 60)])
    _files(tmp_path / "val" / "a", [(16, 16), (50, 60)])
    own_images.load_folder(str(tmp_path), DataConfig())
    _, *said = notes
    assert said == [
        "test images, of which 2 are looked at, are 40 to 50 x 60, unlike the training images: they are scaled to "
        "cover 16x16 and cut in the middle",
        "test images, of which 2 are looked at, have colours, unlike the training images: they are read as grey",
        "validation images, of which 2 are looked at, have colours, unlike the training images: they are read as grey",
    ]
