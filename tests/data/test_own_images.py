"""Class folders and lists as sources, and the datasets that are made of them."""

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data import dataset
from famus_tf.data.images import image_files
from famus_tf.data.sets import own_images

_OPTIONS = DataConfig()


def _write(path, size=(40, 48), grey=False, colour=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if grey else (*size, 3)
    PIL.Image.fromarray(np.full(shape, colour, np.uint8)).save(path)


def _tree(root, counts, **options):
    """`counts`: {folder below root: images}."""
    for folder, count in counts.items():
        for number in range(count):
            _write(root / folder / f"{number}.png", **options)
    return str(root)


def test_folders_with_splits(tmp_path):
    counts = {"train/cat": 5, "train/dog": 3, "test/dog": 2, "test/cat": 1, "meta/cat": 2, "meta/dog": 2}
    source = own_images.load_folder(_tree(tmp_path, counts), _OPTIONS)
    assert source.class_names == ("cat", "dog") and not source.labels_are_true
    np.testing.assert_array_equal(source.train_labels, [0] * 5 + [1] * 3)
    np.testing.assert_array_equal(source.test_labels, [0, 1, 1])
    np.testing.assert_array_equal(source.meta.labels, [0, 0, 1, 1])
    assert source.train_images.paths[0].decode() == str(tmp_path / "train" / "cat" / "0.png")
    assert source.train_images.shape == (8, 40, 48, 3)
    made = dataset.make_dataset(source, DataConfig(meta_per_class=10), seed=0)
    assert len(made.train_labels) == 8 and made.train_true_labels is None and made.actual_noise_rate is None
    np.testing.assert_array_equal(made.meta_labels, [0, 0, 1, 1])
    assert not set(made.meta_index) & set(made.train_index)
    assert made.mean == (100.0,) * 3 and all(value > 0 for value in made.std)


def test_folders_without_meta_and_with_val(tmp_path):
    source = own_images.load_folder(_tree(tmp_path, {"train/a": 6, "train/b": 6, "val/a": 2, "val/b": 2}), _OPTIONS)
    assert source.meta is None and len(source.test_labels) == 4
    made = dataset.make_dataset(source, DataConfig(noise="symmetric", noise_rate=0.5, meta_per_class=2), seed=0)
    np.testing.assert_array_equal(made.meta_labels, [0, 0, 1, 1])
    np.testing.assert_array_equal(
        made.train_true_labels, [0] * 4 + [1] * 4
    )  # noise was added: these were taken for true
    assert not set(made.train_images.paths) & set(made.meta_images.paths)


def test_class_folders_alone(tmp_path):
    root = _tree(tmp_path, {"a": 10, "b": 5, "c": 2})
    sources = [own_images.load_folder(root, _OPTIONS) for _ in range(2)]
    for source in sources:
        assert not set(source.test_images.paths) & set(source.train_images.paths)
        assert len(source.test_labels) + len(source.train_labels) == 17
        assert min(np.bincount(source.test_labels)) == min(np.bincount(source.train_labels)) == 1
        assert "has no test set" in source.notes[0]
    np.testing.assert_array_equal(sources[0].test_images.paths, sources[1].test_images.paths)


@pytest.mark.parametrize("names", [range(1, 13), (2019, 2020, 2021), (4006381333931, 96385074)])
def test_folders_named_by_numbers(names, tmp_path):
    _tree(tmp_path, {f"{part}/{name}": 1 for name in names for part in ("train", "test")})
    source = own_images.load_folder(str(tmp_path), _OPTIONS)
    assert source.class_names == tuple(str(name) for name in sorted(names))
    np.testing.assert_array_equal(np.bincount(source.train_labels), [1] * len(names))
    np.testing.assert_array_equal(np.bincount(source.test_labels), [1] * len(names))
    assert "class 0 is " in source.notes[-1]


def test_ids_of_folders_with_leading_zeros(tmp_path):
    _tree(tmp_path, {"train/1": 1, "train/01": 2, "train/00000": 3, "train/10": 1, "train/2": 4, "test/01": 1})
    source = own_images.load_folder(str(tmp_path), _OPTIONS)
    assert source.class_names == ("00000", "1", "01", "2", "10")
    np.testing.assert_array_equal(np.bincount(source.train_labels), [3, 1, 2, 4, 1])
    np.testing.assert_array_equal(source.test_labels, [2])


def test_what_is_not_read(tmp_path):
    root = _tree(tmp_path, {"train/a": 2, "test/a": 1, "valid/a": 1, "trusted/a": 1, "train/a/more": 1})
    (tmp_path / "train" / "a" / "._0.png").touch()
    (tmp_path / "train" / "a" / "notes.txt").touch()
    source = own_images.load_folder(root, _OPTIONS)
    assert len(source.train_labels) == 3 and len(source.validation.labels) == len(source.meta.labels) == 1
    assert sorted((key.what, count) for key, count in source.not_read.items()) == [("*.txt", 1), ("._*", 1)]
    assert len(source.notes) == 5
    made = dataset.make_dataset(source, _OPTIONS, seed=0)
    assert made.notes == source.notes and made.not_read == source.not_read


@pytest.mark.parametrize(
    ("size", "grey", "options", "expected"),
    [
        ((28, 28), True, {}, (28, 28, 3, 1, 28)),
        ((32, 40), False, {}, (32, 32, 4, 3, 40)),
        ((300, 400), False, {}, (256, 224, 0, 3, 224)),
        ((300, 400), False, {"image_size": 160}, (183, 160, 0, 3, 160)),
        ((300, 400), False, {"image_size": 160, "resize": 160}, (160, 160, 0, 3, 160)),
        ((28, 28), True, {"image_size": 24}, (27, 24, 0, 1, 24)),
    ],
)
def test_sizes(size, grey, options, expected, tmp_path):
    root = _tree(tmp_path, {"train/a": 2, "test/a": 1}, size=size, grey=grey)
    transform = own_images.load_folder(root, DataConfig(**options)).train_images.transform
    found = transform.resize, transform.size, transform.padding, transform.channels, transform.shape[1]
    assert found == expected


def test_lists(tmp_path):
    _tree(tmp_path, {"images": 6})
    (tmp_path / "train.txt").write_text("".join(f"images/{k}.png {k % 3}\n" for k in range(4)))
    (tmp_path / "test.txt").write_text("images/4.png 1\nimages/5.png 0\n")
    options = DataConfig(train_list=str(tmp_path / "train.txt"), test_list=str(tmp_path / "test.txt"))
    source = own_images.load_list(None, options)
    np.testing.assert_array_equal(source.train_labels, [0, 1, 2, 0])
    np.testing.assert_array_equal(source.test_labels, [1, 0])
    assert source.class_names == ("0", "1", "2")
    (tmp_path / "test.txt").write_text("images/4.png 7\n")
    with pytest.raises(
        errors.InputError, match=r"/test\.txt, line 1: class '7' of the test set is not among the training set's"
    ):
        own_images.load_list(None, options)


@pytest.mark.parametrize("label", ["3.0", "-1", "nan", "two"])
def test_a_list_with_a_label_that_is_no_class_id(label, tmp_path):
    _tree(tmp_path, {"images": 6})
    lines = [f"images/{k}.png {k}" for k in range(5)]
    (tmp_path / "list.txt").write_text("\n".join(["path label", *lines[:3], "", f"images/5.png {label}", *lines[3:]]))
    options = DataConfig(train_list=str(tmp_path / "list.txt"), test_list=str(tmp_path / "list.txt"))
    with pytest.raises(errors.InputError, match=rf"list\.txt, line 6: found the label '{label}' among labels that are"):
        own_images.load_list(None, options)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, r"expected a folder with train/<class>/<image> and test"),
        ({"train/a": 2}, r"has train/ but no test/ or val/"),
        ({"train/a": 2, "test/b": 1}, "class 'b' of the test set is not among the training set's classes$"),
        ({"train/Cat": 2, "test/cat": 1}, "class 'cat' of the test .* the training set's classes, where 'Cat' is$"),
        ({"a": 1}, "class a has 1 image, expected 2 or more"),
        ({"train/a": 2, "test/a": 1, "train/empty": 0}, "empty: holds no images, as it is empty; expected JPEG"),
    ],
)
def test_wrong_layouts(counts, message, tmp_path):
    root = tmp_path / "data"
    for folder in counts:
        (root / folder).mkdir(parents=True)
    with pytest.raises(errors.InputError, match=message):
        own_images.load_folder(_tree(root, counts), _OPTIONS)


def test_broken_image(tmp_path):
    root = _tree(tmp_path, {"train/a": 2, "test/a": 1})
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"no image")
    assert own_images.load_folder(root, _OPTIONS).mean == (100.0,) * 3
    (tmp_path / "train" / "a" / "1.png").write_bytes(b"no image")
    with pytest.raises(
        errors.InputError,
        match=r"0\.png: not a readable image \(found the first bytes .*, expected JPEG, PNG, BMP, GIF, WebP or TIFF\)$",
    ):
        own_images.load_folder(root, _OPTIONS)
    files = image_files.ImageFiles(np.array([str(tmp_path / "gone.png")]), image_files.Transform(8, 8))
    with pytest.raises(errors.InputError, match=r"gone\.png: not a readable image"):
        image_files.as_array(files, np.array([0]))
