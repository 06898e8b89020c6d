"""The same image in two sets, or with two labels."""

import os

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data import dataset, duplicates
from famus_tf.data.images import content, look_alike
from famus_tf.data.sets import own_images
from famus_tf.data.source import Conflict


def _write(path, number, size=(16, 16)):
    """A picture that is a function of the number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rough = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    PIL.Image.fromarray(rough).resize(size, PIL.Image.Resampling.BICUBIC).save(path)


def _source(root, counts, options=None):
    """`counts`: {folder: the numbers of its pictures}."""
    for folder, numbers in counts.items():
        for number in numbers:
            _write(root / folder / f"{number}.png", number)
    return own_images.load_folder(str(root), options or DataConfig())


def test_files_of_the_same_bytes(tmp_path):
    rest = bytes(9000)
    contents = [b"", b"", b"a", b"b", b"a", rest + b"x", rest + b"y", b"z" + rest, b"x" + rest, rest + b"x"]
    paths = []
    for number, data in enumerate(contents):
        (tmp_path / str(number)).write_bytes(data)
        paths.append(str(tmp_path / str(number)))
    paths += [str(tmp_path / "gone"), paths[2]]
    groups = content.groups(np.array([os.fsencode(path) for path in paths]))
    same = {tuple(np.flatnonzero(groups == group)) for group in groups}
    assert same == {(0,), (1,), (2, 4, 11), (3,), (5, 9), (6,), (7,), (8,), (10,)}
    assert len(content.groups(np.zeros(0, "S1"))) == 0


def test_what_is_in_another_set_is_not_trained_on(tmp_path):
    counts = {"train/a": range(6), "train/b": range(10, 16), "test/a": [0, 7], "test/b": [17, 10], "val/a": [1, 7]}
    source = duplicates.marked(_source(tmp_path, counts))
    np.testing.assert_array_equal(np.flatnonzero(source.not_trained_on), [0, 1, 6])
    assert [note.partition(", such as ")[0] for note in source.notes] == [
        "1 of the 12 training images are in the validation set as well",
        "2 of the 12 training images are in the test set as well",
        "1 of the 2 validation images are in the test set as well: the epoch is chosen by them",
    ]
    assert source.notes[1].endswith(f"such as {tmp_path}/train/a/0.png; they are taken out of the training set")
    made = dataset.make_dataset(source, DataConfig(meta_per_class=2), seed=0)
    together = np.sort(np.concatenate([made.train_index, made.meta_index]))
    np.testing.assert_array_equal(together, [2, 3, 4, 5, 7, 8, 9, 10, 11])
    told = duplicates.marked(_source(tmp_path, {}), train_on_held_out=True)
    assert told.not_trained_on is None and len(told.train_labels) == 12
    assert told.notes[1].endswith("they are trained on all the same")


@pytest.mark.parametrize("part", ["test", "val", "meta"])
def test_training_set_that_is_another_one(part, tmp_path):
    counts = {"train/a": range(3), "test/a": [9], f"{part}/a": range(4)}
    with pytest.raises(
        errors.InputError, match=r"folder: all 3 training images are in another set as well: 3 of the 3"
    ):
        duplicates.marked(_source(tmp_path, counts))


def test_meta_images(tmp_path):
    counts = {"train/a": range(6), "test/a": [8, 9], "meta/a": [4, 5, 9, 11]}
    source = duplicates.marked(_source(tmp_path, counts))
    np.testing.assert_array_equal(np.flatnonzero(source.not_trained_on), [4, 5])
    assert [os.path.basename(path) for path in source.meta.images.paths] == [b"11.png", b"4.png", b"5.png"]
    assert any("1 of the 4 meta images are in the test set as well" in note for note in source.notes)
    told = duplicates.marked(_source(tmp_path, {}), train_on_held_out=True)
    assert len(told.meta.labels) == 4 and told.not_trained_on is None
    with pytest.raises(errors.InputError, match="all 1 meta images are in another set as well"):
        duplicates.marked(_source(tmp_path / "other", {"train/a": [0], "test/a": [1, 2], "meta/a": [1]}))


def test_an_image_with_two_labels(tmp_path):
    counts = {"train/a": [0, 1, 2, 3], "train/b": [0, 5, 6, 7], "train/c": [8, 9], "test/a": [20], "test/b": [8]}
    source = duplicates.marked(_source(tmp_path, counts))
    place = str(tmp_path)
    assert source.conflicts == (
        Conflict(0, "test", f"{place}/test/b/8.png", "b"),
        Conflict(0, "training", f"{place}/train/c/8.png", "c"),
        Conflict(1, "training", f"{place}/train/a/0.png", "a"),
        Conflict(1, "training", f"{place}/train/b/0.png", "b"),
    )
    assert source.notes[-1].startswith("2 images have different labels in different places, such as 'b' for ")
    assert f"1 images are in the training set more than once, 2 times at most: {place}/train/a/0.png" in source.notes
    # Both stay in training, as any wrong label does, and neither is trusted.
    for seed in range(5):
        made = dataset.make_dataset(source, DataConfig(meta_per_class=1), seed)
        assert {0, 4} <= set(made.train_index) and 8 not in (*made.train_index, *made.meta_index)


def test_copies_of_what_is_drawn_for_the_meta_set(tmp_path):
    _write(tmp_path / "train" / "a" / "copy.png", 0)
    source = duplicates.marked(_source(tmp_path, {"train/a": [0, 1], "test/a": [9]}))
    taken = []
    for seed in range(8):
        made = dataset.make_dataset(source, DataConfig(meta_per_class=1), seed)
        is_copied = source.same_image[made.meta_index[0]] == source.same_image[0]
        assert len(made.train_index) == (1 if is_copied else 2)
        assert any("copies of images that are drawn" in note for note in made.notes) == is_copied
        taken.append(is_copied)
    assert set(taken) == {True, False}


def test_lists_of_the_same_images(tmp_path):
    for number in range(6):
        _write(tmp_path / f"{number}.png", number)
    for name, numbers in (("train", range(6)), ("test", (4, 5))):
        (tmp_path / f"{name}.csv").write_text("".join(f"{number}.png,{number % 2}\n" for number in numbers))
    options = DataConfig(train_list=str(tmp_path / "train.csv"), test_list=str(tmp_path / "test.csv"))
    source = duplicates.marked(own_images.load_list(None, options))
    np.testing.assert_array_equal(np.flatnonzero(source.not_trained_on), [4, 5])
    assert source.notes[-1].startswith("2 of the 6 training images are in the test set as well")


def test_images_that_look_alike(tmp_path):
    for number in range(30):
        _write(tmp_path / f"{number}.png", number, (64, 48))
    original = PIL.Image.open(tmp_path / "3.png")
    original.save(tmp_path / "3.jpg", quality=70)
    original.resize((40, 30)).save(tmp_path / "3.bmp")
    original.convert("L").save(tmp_path / "3.webp", lossless=True)
    original.rotate(180).save(tmp_path / "turned.png")
    original.resize((5, 4)).save(tmp_path / "tiny.png")
    PIL.Image.new("RGB", (9, 9), (200, 0, 0)).save(tmp_path / "flat.png")
    PIL.Image.new("RGB", (90, 9), (200, 0, 0)).save(tmp_path / "flat_too.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    names = sorted(path.name for path in tmp_path.iterdir())
    bits = look_alike.fingerprints(np.array([os.fsencode(tmp_path / name) for name in names]))
    assert bits.shape == (len(names), 64) and bits.dtype == bool
    found = {frozenset((names[first], names[second])) for first, second, _ in look_alike.pairs(bits)}
    alike = ["3.png", "3.jpg", "3.bmp", "3.webp"]
    assert found >= {frozenset((one, other)) for one in alike for other in alike if one < other}
    assert not {"turned.png", "flat.png", "flat_too.png", "broken.png"} & set().union(*found)
    # As all pairs give it.
    differ = (bits[:, None] != bits[None]).sum(axis=-1)
    usable = bits.any(axis=1)
    expected = [(i, j) for i, j in np.argwhere(differ <= 4) if i < j and usable[i] and usable[j]]
    assert [(first, second) for first, second, _ in look_alike.pairs(bits)] == expected
    assert (
        len(look_alike.fingerprints(np.zeros(0, "S1"))) == 0 and list(look_alike.pairs(np.zeros((0, 64), bool))) == []
    )
