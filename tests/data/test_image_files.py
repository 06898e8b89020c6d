"""Files against Pillow, and the batches that are made of them."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.batches import batch_spec, pipeline
from famus_tf.data.images import image_files, parallel, scaling


def _picture(height, width, channels=3, seed=0):
    """Smooth and detailed at once, as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, channels)).astype(np.uint8)
    large = np.stack(
        [
            np.asarray(PIL.Image.fromarray(coarse[..., c]).resize((width, height), PIL.Image.Resampling.BICUBIC))
            for c in range(channels)
        ],
        -1,
    )
    return np.clip(large.astype(int) + rng.integers(-20, 21, large.shape), 0, 255).astype(np.uint8)


def _write(path, picture, **options):
    PIL.Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(path, **options)
    return str(path)


@pytest.mark.parametrize(("height", "width"), [(50, 70), (70, 50), (64, 64), (33, 100), (20, 31), (40, 40)])
def test_scaling_is_pillows(height, width):
    picture, target = _picture(height, width), 40
    mine = scaling.short_side(tf.constant(picture), target).numpy().astype(int)
    short = min(height, width)
    size = (width * target // short, height * target // short)
    theirs = np.asarray(PIL.Image.fromarray(picture).resize(size, PIL.Image.Resampling.BILINEAR)).astype(int)
    assert mine.shape == theirs.shape
    assert np.abs(mine - theirs).max() <= 1


@pytest.mark.parametrize("form", ["png", "jpg"])
@pytest.mark.parametrize(("height", "width"), [(40, 57), (57, 40), (40, 40), (80, 60), (30, 44)])
@pytest.mark.parametrize("padding", [0, 3])
def test_crops_are_of_the_scaled_image(form, height, width, padding, tmp_path):
    """Every result is a window of the whole image, scaled; all offsets and both directions occur."""
    path = _write(
        tmp_path / f"a.{form}", _picture(height, width), **({"quality": 95, "subsampling": 0} if form == "jpg" else {})
    )
    transform = image_files.Transform(resize=40, size=36, padding=padding)
    whole = scaling.short_side(tf.constant(image_files.decode(path)), 40).numpy()
    middle = image_files.load_for_evaluation(tf.constant(path), transform).numpy()
    top, left = (int(np.round((side - 36) / 2)) for side in whole.shape[:2])
    np.testing.assert_array_equal(middle, whole[top : top + 36, left : left + 36])
    padded = np.pad(whole, [(padding, padding), (padding, padding), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (36, 36), (0, 1)).transpose(0, 1, 3, 4, 2)
    seen = set()
    load = tf.function(image_files.load_for_training, autograph=False)
    for seed in range(60):
        crop = load(tf.constant(path), tf.constant([seed, 1], tf.int64), transform, True).numpy()
        again = load(tf.constant(path), tf.constant([seed, 1], tf.int64), transform, True).numpy()
        np.testing.assert_array_equal(crop, again)
        found = [
            (*map(int, offset), mirrored)
            for mirrored in (False, True)
            for offset in np.argwhere((windows == (crop[:, ::-1] if mirrored else crop)).all((2, 3, 4)))
        ]
        assert len(found) == 1, "the result is no window of its image"
        seen.add(found[0])
    rows, columns, mirrored = (set(values) for values in zip(*seen, strict=True))
    assert mirrored == {False, True}
    room = windows.shape[:2]
    assert len(rows) >= min(room[0], 5) and len(columns) >= min(room[1], 5)
    assert max(rows) < room[0] and max(columns) < room[1]


def test_crops_of_subsampled_colours_differ_at_their_edge_only(tmp_path):
    """Decoding a part of a JPEG lacks the colours beyond it, from which those of the outermost columns are made."""
    path = _write(tmp_path / "a.jpg", _picture(64, 90), quality=90, subsampling=2)
    whole = image_files.decode(path)
    crop = image_files.load_for_evaluation(tf.constant(path), image_files.Transform(64, 48)).numpy()
    expected = whole[8:56, 21:69]
    np.testing.assert_array_equal(crop[:, 2:-2], expected[:, 2:-2])
    assert np.abs(crop.astype(int) - expected).max() < 40


@pytest.mark.parametrize("form", ["png", "jpg", "bmp", "gif", "webp"])
@pytest.mark.parametrize(("stored", "wanted"), [(1, 3), (3, 1), (1, 1)])
def test_grey_and_colour(form, stored, wanted, tmp_path):
    path = _write(tmp_path / f"a.{form}", _picture(50, 60, stored))
    transform = image_files.Transform(40, 32, channels=wanted)
    assert image_files.load_for_evaluation(tf.constant(path), transform).shape == (32, 32, wanted)
    assert image_files.load_for_training(tf.constant(path), tf.constant([0, 0], tf.int64), transform, True).shape == (
        32,
        32,
        wanted,
    )


def _files(folder, count, transform):
    paths = [_write(folder / f"{k}.png", np.full((20, 24, 3), k, np.uint8)) for k in range(count)]
    return image_files.ImageFiles(np.array(paths), transform)


def test_sequence(tmp_path):
    files = _files(tmp_path, 5, image_files.Transform(16, 12))
    assert len(files) == 5 and files.shape == (5, 12, 12, 3) and files.ndim == 4
    part = files[np.array([3, 1])]
    assert [path.decode().rpartition("/")[2] for path in part.paths] == ["3.png", "1.png"]
    assert len(image_files.ImageFiles(np.array([]), files.transform)) == 0
    with pytest.raises(errors.InputError, match="a crop of 40 pixels from images of 32: expected a smaller one"):
        image_files.ImageFiles(np.array(["a"]), image_files.Transform(32, 40))


def test_in_order_and_in_parts():
    done = []
    assert list(parallel.in_order(lambda x: x * x, range(7), done.append, part_size=3)) == [x * x for x in range(7)]
    assert done == [3, 6, 7]


def test_scan(tmp_path):
    files, done = _files(tmp_path, 7, image_files.Transform(16, 12)), []
    (tmp_path / "2.png").write_bytes(b"no image")
    (tmp_path / "6.png").unlink()
    sizes, broken = image_files.scan(files, done.append)
    np.testing.assert_array_equal(sizes, [[20, 24]] * 5)
    assert [path.rpartition("/")[2] for path in broken] == ["2.png", "6.png"]
    assert all(reason.startswith("not a readable image") for reason in broken.values())
    assert done == [7]


def test_batches_have_their_own_images_and_do_not_depend_on_the_first_step(tmp_path):
    files, labels = _files(tmp_path, 11, image_files.Transform(16, 12)), np.arange(11, dtype=np.int32)

    def make(first, last):
        return pipeline.training_batches(files, labels, batch_spec.BatchSpec("train", 4, 3, flip=True), first, last)

    dataset = make(0, 5)
    assert dataset.element_spec[0] == tf.TensorSpec([4, 12, 12, 3], tf.uint8)
    assert int(dataset.cardinality()) in (5, tf.data.UNKNOWN_CARDINALITY)
    whole = [[part.numpy() for part in batch] for batch in dataset]
    assert len(whole) == 5
    for images, given, index in whole:
        np.testing.assert_array_equal(images[:, 0, 0, 0], given)
        np.testing.assert_array_equal(given, index)
    epoch = np.concatenate([index for _, _, index in whole[:2]])
    assert len(set(epoch.tolist())) == 8
    for later, expected in zip(make(3, 5), whole[3:], strict=True):
        for mine, theirs in zip(later, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_evaluation_sees_each_once(tmp_path):
    files, labels = _files(tmp_path, 7, image_files.Transform(16, 12)), np.arange(7, dtype=np.int32)
    batches = [[part.numpy() for part in batch] for batch in pipeline.evaluation_batches(files, labels, batch_size=4)]
    assert [len(images) for images, _, _ in batches] == [4, 4]
    images, given, weight = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(weight, [1] * 7 + [0])
    np.testing.assert_array_equal(given[:7], labels)
    np.testing.assert_array_equal(images[:7, 0, 0, 0], labels)
    assert not images[7].any()
