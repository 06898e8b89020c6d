"""Which folders are read as which set, what is refused, and how the test set of class folders alone is drawn."""

import os

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.sets import folder_splits

_SETS = ("train/cat", "train/dog", "test/cat", "test/dog")


def _tree(root, folders, count=3):
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / folder / f"{number}.png").touch()
    return str(root)


def _read(root, folders):
    found = folder_splits.read(_tree(root, folders))
    return {split: len(paths) for split, (paths, _) in found.splits.items()}, "\n".join(found.notes)


@pytest.mark.parametrize(
    ("folders", "splits", "note"),
    [
        (_SETS, {"train": 6, "test": 6}, ""),
        ((*_SETS, "val/cat", "meta/dog"), {"train": 6, "test": 6, "val": 3, "meta": 3}, ""),
        *(
            ((*_SETS, f"{name}/cat"), {"train": 6, "test": 6, "val": 3}, f"{name}/ is read as the validation set")
            for name in ("valid", "validation", "dev", "Val")
        ),
        ((*_SETS, "trusted/cat"), {"train": 6, "test": 6, "meta": 3}, "trusted/ is read as the trusted set"),
        (("Train/cat", "TEST/cat"), {"train": 3, "test": 3}, "Train/ is read as the training set"),
        (("training/cat", "testing/cat"), {"train": 3, "test": 3}, "testing/ is read as the test set"),
        (("train/cat", "val/cat"), {"train": 3, "test": 3}, "no test set with class folders; val/ is the test set"),
        (("train/cat", "valid/cat"), {"train": 3, "test": 3}, "class folders; valid/ is the test set"),
        (("train/cat", "val/cat", "test"), {"train": 3, "test": 3}, "no class folder are not read: 3 *.png"),
        ((*_SETS, "val"), {"train": 6, "test": 6}, "val/ has no images in class folders and is not read"),
        ((*_SETS, "meta/cat", "trusted/cat"), {"train": 6, "test": 6, "meta": 3}, "not read: trusted/ (3 images)"),
        ((*_SETS, "val/cat", "dev/cat"), {"train": 6, "test": 6, "val": 3}, "not read: dev/ (3 images)"),
        ((*_SETS, "unlabeled", "extra/a/b"), {"train": 6, "test": 6}, "extra/ (3 images), unlabeled/ (3 images)"),
        ((*_SETS, "train/cat/batch2"), {"train": 9, "test": 6}, "class of the outer folder: 3, in"),
        ((*_SETS, "test/cow/.git"), {"train": 6, "test": 6}, "leave behind is not read: 1 .git/"),
        (("cat", "dog"), {"train": 4, "test": 2}, "has no test set, so 2 of the 6 images, drawn by their names"),
        (("car", "train", "plane"), {"train": 6, "test": 3}, "has no test set"),
        (("valid", "invalid"), {"train": 4, "test": 2}, "has no test set"),
        (("cat/a", "dog/b"), {"train": 4, "test": 2}, "class of the outer folder: 6, in"),
    ],
)
def test_layouts(folders, splits, note, tmp_path):
    found, notes = _read(tmp_path, folders)
    assert found == splits
    assert note in notes and (note or not notes)


def test_an_empty_class_folder_of_another_set_that_is_no_class_is_named(tmp_path):
    (tmp_path / "test" / "cow").mkdir(parents=True)
    (tmp_path / "test" / "dog").mkdir(parents=True)
    _, notes = _read(tmp_path, ("train/cat", "train/dog", "test/cat"))
    assert notes == f"{tmp_path / 'test' / 'cow'}: holds no images, and cow is no class of the training set"


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/cat",), "has train/ but no test/ or val/, expected train/<class>/<image>"),
        (("train/cat", "test"), "has train/ but test/ without images in class folders, expected"),
        (("train", "test"), "train: has 3 images in no class folder"),
        (("train", "test/cat"), "train: has 3 images in no class folder"),
        (("train/cat", "test/cat", "meta"), "meta: has 3 images in no class folder, expected meta/<class>/<image>"),
        (("test/cat", "cat"), "has test/ but no train/"),
        (("test", "cat", "dog"), "has test/ but no train/"),
        (("cat", "dog", "trusted/cat"), "has trusted/ but no train/"),
        (("seg_train/cat", "seg_test/cat"), "has seg_test/ and seg_train/ but no train/"),
        (("train2017/cat", "val2017/cat"), "has train2017/ and val2017/ but no train/"),
        (
            ("images/cat", "images/dog"),
            "holds one folder, images/, with 2 folders in it, such as cat/; .* perhaps in .*/i",
        ),
        (("set/train/cat", "set/test/cat"), "holds one folder, set/, with 2 folders in it"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), "cat: has test/ and train/ inside the class"),
        (("cat", "docs/.git"), "docs: holds no images but 1 .git/"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(folders, message, tmp_path):
    with pytest.raises(errors.InputError, match=message):
        _read(tmp_path, folders)


def _draw(*paths, root="/data"):
    pairs = [(os.path.join(root, path), path.partition("/")[0]) for path in paths]
    (train, _), (test, names) = folder_splits.draw_test(tuple(map(list, zip(*pairs, strict=True))), root)
    assert sorted(train + test) == sorted(path for path, _ in pairs)
    assert [os.path.relpath(path, root).partition("/")[0] for path in test] == names
    return {os.path.relpath(path, root) for path in test}


@pytest.mark.parametrize("change", ["fewer", "more", "another class", "renamed class", "another ending"])
def test_images_stay_in_the_test_set(change):
    files = [f"{name}/{name}{number}.jpg" for name in ("cat", "dog") for number in range(200)]
    before = _draw(*files)
    assert 40 < len(before) < 120
    if change == "fewer":
        gone = {*files[:1], *files[150:201]}
        assert _draw(*(file for file in files if file not in gone)) == before - gone
    elif change == "more":
        after = _draw(*(f"cat/new{number}.jpg" for number in range(57)), *files)
        assert after & set(files) == before and len(after) > len(before)
    else:
        old, new = {"another class": ("dog/", "cat/"), "renamed class": ("cat/", "lynx/")}.get(change, ("jpg", "png"))
        assert _draw(*(file.replace(old, new) for file in files)) == {file.replace(old, new) for file in before}


def test_the_draw_is_the_same_in_every_release():
    numbered = _draw(*(f"cat/{number}.jpg" for number in range(20)))
    assert sorted(numbered) == [f"cat/{number}.jpg" for number in (0, 10, 13, 18, 5)]
    assert sorted(_draw(*(f"cat/{letter}.jpg" for letter in "abcdefghij"))) == ["cat/h.jpg", "cat/j.jpg"]


def test_every_class_has_both_parts():
    for count in range(2, 40):
        test = _draw(*(f"cat/{number}.jpg" for number in range(count)), "dog/1.jpg", "dog/2.jpg")
        assert 0 < sum(path.startswith("cat") for path in test) < count
        assert sum(path.startswith("dog") for path in test) == 1
    with pytest.raises(errors.InputError, match="class cat has 1 image, expected 2 or more"):
        _draw("cat/1.jpg")


def test_one_image_in_a_folder_each_is_drawn_too():
    test = _draw(*(f"cat/{number}/image.jpg" for number in range(500)))
    assert 70 < len(test) < 130


@pytest.mark.parametrize("name", ["{}", "IMG_{:04}", "2019/{} of many", "frame{:06}.crop"])
def test_the_share_is_a_fifth(name):
    for first, count in ((0, 30), (1, 100), (730, 50), (0, 1000)):
        test = _draw(*(f"cat/{name.format(first + k)}.jpg" for k in range(count)))
        assert len(test) / count == pytest.approx(0.2, abs=2 / count)


def test_the_share_of_names_without_numbers_is_a_fifth():
    letters = "abcdefghijklmnopqrstuvwxyz"
    test = _draw(*(f"cat/{a}{b}{c}.jpg" for a in letters for b in letters for c in "xyz"))
    np.testing.assert_allclose(len(test) / (26 * 26 * 3), 0.2, atol=0.03)
