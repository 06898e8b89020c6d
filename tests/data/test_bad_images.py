"""Missing and broken images: named, or passed over with another of their class in their place."""

import csv
import os

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.data import dataset
from famus_tf.data.batches import bad_images, feed, sampling
from famus_tf.data.images import image_files

_COUNT, _TESTED = 240, 30


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """JPEG data of images that are alike in nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (_COUNT + _TESTED, 12, 12, 3), np.uint8)
    return [tf.io.encode_jpeg(image, quality=95).numpy() for image in pixels]


@pytest.fixture
def made(written, tmp_path):
    """A dataset of files, the first `_COUNT` of which are trained on."""
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"{number:03d}.jpg" for number in range(len(written))]
    for path, data in zip(paths, written, strict=True):
        path.write_bytes(data)
    files = image_files.ImageFiles(np.array(paths), image_files.Transform(10, 8))
    labels = (np.arange(len(paths)) % 3).astype(np.int32)
    return dataset.Dataset(
        name="toy",
        train_images=files[np.arange(_COUNT)],
        train_labels=labels[:_COUNT],
        train_true_labels=None,
        train_index=np.arange(_COUNT),
        meta_images=files[np.zeros(0, np.int64)],
        meta_labels=labels[:0],
        meta_index=np.arange(0),
        test_images=files[np.arange(_COUNT, len(paths))],
        test_labels=labels[_COUNT:],
        class_names=("a", "b", "c"),
        mean=(1.0,) * 3,
        std=(1.0,) * 3,
        crop_padding=0,
        flip=True,
    )


def _path(made, position):
    images = made.train_images if position < _COUNT else made.test_images
    return images.paths[position if position < _COUNT else position - _COUNT].decode()


def _break(path):
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)


def _batches(made, bad, first=0, last=45):
    strategy = tf.distribute.get_strategy()
    fed = feed.Feed(
        made,
        strategy,
        bad,
        batch_size=8,
        meta_batch_size=1,
        eval_batch_size=7,
        seed=5,
        drawn=sampling.NATURAL,
    )
    return [tuple(part.numpy() for part in batch) for batch in fed.training(first, last)], fed


def test_the_first_bad_image_is_named(made):
    _break(_path(made, 17))
    with pytest.raises(errors.InputError) as caught:
        _batches(made, bad_images.BadImages(made, skip=False))
    said = str(caught.value)
    assert said.startswith(f"{_path(made, 17)}: ") and "option `on_bad_image`=skip" in said and "\n" not in said


def test_skipped_images_are_stood_in_for_and_listed(made, tmp_path, capsys):
    _break(_path(made, 17))
    os.remove(_path(made, 100))
    listed = tmp_path / "bad_images.csv"
    bad = bad_images.BadImages(made, skip=True, list_file=listed)
    assert list(bad.reasons) == [_path(made, 100)]  # what is missing is known beforehand
    found, _ = _batches(made, bad)
    with open(listed, newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "reason"] and [row[0] for row in rows[1:]] == [_path(made, 100), _path(made, 17)]
    assert rows[1][1] == "there is no such file" and rows[2][1] == bad.reasons[_path(made, 17)] != ""
    assert bad_images.all_listed(tmp_path) == bad.reasons
    # The same positions as without bad ones, but for those two, in whose place the next of their class stand.
    expected = [p for p, _ in sampling.batch_positions(made.train_labels, 8, range(45), 5, "train")]
    instead = {17: 20, 100: 103}
    for (_, labels, index), positions in zip(found, expected, strict=True):
        np.testing.assert_array_equal(index, [instead.get(p, p) for p in positions])
        np.testing.assert_array_equal(labels, made.train_labels[index])
    # The images are those of a run that has known of them from the start.
    again, _ = _batches(made, bad_images.BadImages(made, skip=True, list_file=listed))
    later, _ = _batches(made, bad_images.BadImages(made, skip=True), first=9)
    for one, two, three in zip(found[9:], again[9:], later, strict=True):
        for a, b, c in zip(one, two, three, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)
    said = capsys.readouterr().out
    assert f"2 image files are skipped so far; the last: {_path(made, 17)}: " in said


def test_an_evaluation_goes_without_them(made):
    for position in (_COUNT + 3, _COUNT + 20):
        _break(_path(made, position))
    bad = bad_images.BadImages(made, skip=True)
    _, fed = _batches(made, bad, last=1)
    for _ in range(2):
        batches = [tuple(part.numpy() for part in batch) for batch in fed.evaluation("test")]
        images, labels, weight = (np.concatenate(rows) for rows in zip(*batches, strict=True))
        np.testing.assert_array_equal(weight, [k < _TESTED and k not in (3, 20) for k in range(35)])
        good = np.flatnonzero(weight)
        np.testing.assert_array_equal(labels[good], made.test_labels[good])
        np.testing.assert_array_equal(images[good], image_files.as_array(made.test_images, good))
    assert set(bad.reasons) == {_path(made, _COUNT + 3), _path(made, _COUNT + 20)}


def test_more_than_one_in_a_hundred_stop_the_run(made, tmp_path):
    for position in (3, 40, 77):
        _break(_path(made, position))
    bad = bad_images.BadImages(made, skip=True, list_file=tmp_path / "bad_images.csv")
    with pytest.raises(errors.InputError, match=r"3 of 270 images cannot be read, such as .*expected at most 1%"):
        _batches(made, bad)
    assert len(bad_images.all_listed(tmp_path)) == 3


def test_a_mended_file_is_read_again(made, tmp_path, written):
    _break(_path(made, 17))
    listed = tmp_path / "bad_images.csv"
    _batches(made, bad_images.BadImages(made, skip=True, list_file=listed))
    with open(_path(made, 17), "wb") as file:
        file.write(written[17])
    assert not bad_images.BadImages(made, skip=True, list_file=listed).reasons
    assert bad_images.all_listed(tmp_path) == {}


def test_other_errors_stay_what_they_are(made):
    bad = bad_images.BadImages(made, skip=True)

    def make(first, positions):
        yield first
        raise tf.errors.InvalidArgumentError(None, None, "something else")

    batches = bad.batches(made.train_images, make, lambda first: iter([np.arange(8)]), first=4)
    assert next(batches) == 4
    with pytest.raises(tf.errors.InvalidArgumentError, match="something else"):
        next(batches)


def test_a_list_of_another_form_is_refused(made, tmp_path):
    (tmp_path / "bad_images.csv").write_text("path\na.jpg\n")
    with pytest.raises(errors.InputError, match="expected the columns image and reason"):
        bad_images.BadImages(made, skip=True, list_file=tmp_path / "bad_images.csv")
