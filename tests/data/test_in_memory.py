"""Small image files as arrays: the same pixels, labels and crops; broken ones named or left out."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data import dataset
from famus_tf.data.batches import batch_spec, pipeline
from famus_tf.data.copies import in_memory
from famus_tf.data.images import image_files
from famus_tf.data.source import Examples, Source

_PIXELS = np.random.default_rng(0).integers(0, 256, (700, 8, 8, 3), np.uint8)
_LABELS = (np.arange(700) % 5).astype(np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """PNG files, so that the pixels are known."""
    folder = tmp_path_factory.mktemp("images")
    for number, pixels in enumerate(_PIXELS):
        (folder / f"{number:03d}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return folder


def _source(folder):
    """All parts that a source can have."""
    paths = np.array([folder / f"{number:03d}.png" for number in range(700)])
    files = image_files.ImageFiles(paths, image_files.Transform(8, 8, padding=1))

    def part(start, stop):
        return Examples(files[np.arange(start, stop)], _LABELS[start:stop])

    return Source(
        name="toy",
        train_images=files[np.arange(600)],
        train_labels=_LABELS[:600],
        test_images=files[np.arange(600, 650)],
        test_labels=_LABELS[600:650],
        class_names=tuple("abcde"),
        mean=(1.0,) * 3,
        std=(1.0,) * 3,
        crop_padding=0,
        flip=True,
        train_is_clean=np.arange(600) % 7 > 0,
        labels_are_true=False,
        meta=part(650, 670),
        validation=part(670, 690),
        other_tests={"more": part(690, 700)},
        in_memory=True,
    )


def test_all_parts_become_arrays(folder):
    seen = []
    loaded = in_memory.load(
        _source(folder), skip_bad=False, progress=lambda what, count: lambda done: seen.append((what, done, count))
    )
    for found, expected in (
        (loaded.train_images, _PIXELS[:600]),
        (loaded.test_images, _PIXELS[600:650]),
        (loaded.meta.images, _PIXELS[650:670]),
        (loaded.validation.images, _PIXELS[670:690]),
        (loaded.other_tests["more"].images, _PIXELS[690:]),
        (loaded.train_labels, _LABELS[:600]),
        (loaded.validation.labels, _LABELS[670:690]),
    ):
        np.testing.assert_array_equal(found, expected, strict=True)
    assert loaded.crop_padding == 1 and not loaded.in_memory and not loaded.left_out
    assert seen[:3] == [("training", 256, 600), ("training", 512, 600), ("training", 600, 600)]
    assert {what for what, _, _ in seen} == {"training", "test", "meta", "validation", "more"}


def test_crops_are_those_of_the_padded_pixels(folder):
    """The arrays' chain, against NumPy: each image is one of the nine crops, mirrored or not."""
    loaded = in_memory.load(_source(folder), skip_bad=False)
    spec = batch_spec.BatchSpec("train", 32, 0, crop_padding=loaded.crop_padding, flip=True)
    batches = pipeline.training_batches(loaded.train_images, loaded.train_labels, spec, 0, 3)
    seen = set()
    for images, _, index in batches:
        for image, position in zip(images.numpy(), index.numpy(), strict=True):
            padded = np.pad(_PIXELS[position], ((1, 1), (1, 1), (0, 0)))
            found = [
                (top, left, step)
                for top in range(3)
                for left in range(3)
                for step in (1, -1)
                if np.array_equal(image, padded[top : top + 8, left : left + 8][:, ::step])
            ]
            assert len(found) == 1
            seen.add(found[0])
    assert len(seen) > 14  # of 18


def _with_broken(folder, tmp_path, numbers):
    """The source with some of its files replaced: cut off, or gone."""
    source = _source(folder)
    paths = source.train_images.paths.astype(object)
    for number in numbers:
        path = tmp_path / f"{number:03d}.png"
        if number % 2:
            path.write_bytes((folder / f"{number:03d}.png").read_bytes()[:60])
        paths[number] = str(path).encode()
    files = image_files.ImageFiles(np.array([path.decode() for path in paths]), source.train_images.transform)
    return dataclasses.replace(source, train_images=files), [str(tmp_path / f"{number:03d}.png") for number in numbers]


def test_broken_files_are_left_out_with_their_labels(folder, tmp_path):
    numbers = [0, 5, 300, 301, 599]
    source, paths = _with_broken(folder, tmp_path, numbers)
    loaded = in_memory.load(source, skip_bad=True)
    rest = np.setdiff1d(np.arange(600), numbers)
    np.testing.assert_array_equal(loaded.train_images, _PIXELS[rest])
    np.testing.assert_array_equal(loaded.train_labels, _LABELS[rest])
    np.testing.assert_array_equal(loaded.train_is_clean, source.train_is_clean[rest])
    assert sorted(loaded.left_out) == sorted(paths) and all(loaded.left_out.values())
    made = dataset.make_dataset(loaded, DataConfig(meta_per_class=1), seed=0)
    assert made.left_out == loaded.left_out


def test_a_broken_file_is_named(folder, tmp_path):
    source, paths = _with_broken(folder, tmp_path, [301])
    with pytest.raises(errors.InputError) as caught:
        in_memory.load(source, skip_bad=False)
    assert str(caught.value).startswith(f"{paths[0]}: ") and "option `on_bad_image`=skip" in str(caught.value)
    source, _ = _with_broken(folder, tmp_path, list(range(600)))
    with pytest.raises(errors.InputError, match="none of the 600 training images can be read"):
        in_memory.load(source, skip_bad=True)


def test_what_is_large_or_wanted_as_files_stays(folder, monkeypatch):
    source = _source(folder)
    assert (
        in_memory.load(dataclasses.replace(source, in_memory=False), skip_bad=False).train_images is source.train_images
    )
    monkeypatch.setattr(in_memory, "LARGEST_BYTES", 700 * 8 * 8 * 3 - 1)
    assert in_memory.load(source, skip_bad=False) is source
    monkeypatch.setattr(in_memory, "LARGEST_BYTES", 700 * 8 * 8 * 3)
    assert isinstance(in_memory.load(source, skip_bad=False).train_images, np.ndarray)
