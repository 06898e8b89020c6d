"""Clothing1M's lists and class folders, on small trees in the layout of the release."""

import shutil

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data import dataset
from famus_tf.data.sets import clothing1m

_COUNTS = {"noisy_train": 42, "clean_train": 28, "clean_val": 15, "clean_test": 14}
_FOLDERS = {"noisy_train": "noisy_train", "clean_train": "clean_train", "clean_val": "val", "clean_test": "test"}


def _release(root, *, annotations="", prefix="images/"):
    """Writes lists and empty images; returns {part: [(path, label), ...]} in the lists' order."""
    rng, truth, number = np.random.default_rng(0), {}, 0
    label_files = {"noisy": [], "clean": []}
    (root / annotations).mkdir(parents=True, exist_ok=True)
    for part, count in _COUNTS.items():
        keys = []
        for k in range(count):
            number += 1
            key = f"images/{number % 10}/{number % 100:02d}/{1300000000 + number},{rng.integers(10**9)}.jpg"
            path = root / (prefix + key.removeprefix("images/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            label = (5 * k + 3) % 14
            keys.append((key, str(path), label))
            label_files[part.partition("_")[0]].append(f"{key} {label}\n")
            # Some images have both labels.
            if part == "clean_val" and k % 2:
                label_files["noisy"].append(f"{key} {(label + 1) % 14}\n")
            if part == "noisy_train" and k % 7 == 0:
                label_files["clean"].append(f"{key} {(label + 1) % 14}\n")
        (root / annotations / f"{part}_key_list.txt").write_text("".join(f"{key}\n" for key, _, _ in keys))
        truth[part] = [(path, label) for _, path, label in keys]
    for kind, lines in label_files.items():
        shuffled = [lines[k] for k in rng.permutation(len(lines))]
        (root / annotations / f"{kind}_label_kv.txt").write_text("".join(shuffled))
    return truth


def _class_folders(root):
    truth = {}
    for part, folder in _FOLDERS.items():
        truth[part] = []
        for label in range(14):
            for k in range(1 + label % 3):
                path = root / folder / f"q{label:04d}" / f"{k},{label}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                truth[part].append((str(path), label))
    return truth


def _assert_is(images, labels, pairs):
    assert [path.decode() for path in images.paths] == [path for path, _ in pairs]
    np.testing.assert_array_equal(labels, [label for _, label in pairs])
    assert labels.dtype == np.int32


@pytest.mark.parametrize(
    "make",
    [
        _release,
        lambda root: _release(root, annotations="annotations"),
        lambda root: _release(root, prefix=""),
        lambda root: _release(root, prefix="", annotations="annotations"),
        _class_folders,
    ],
    ids=["release", "annotations", "no_prefix", "no_prefix_annotations", "class_folders"],
)
@pytest.mark.parametrize("on_bad_image", ["fail", "skip"])
def test_layouts(make, on_bad_image, tmp_path):
    truth = make(tmp_path)
    source = clothing1m.load(str(tmp_path), DataConfig(on_bad_image=on_bad_image))
    _assert_is(source.train_images, source.train_labels, truth["noisy_train"])
    _assert_is(source.meta.images, source.meta.labels, truth["clean_train"])
    _assert_is(source.validation.images, source.validation.labels, truth["clean_val"])
    _assert_is(source.test_images, source.test_labels, truth["clean_test"])
    assert not source.labels_are_true and source.train_is_clean is None


def test_what_it_is_made_into(tmp_path):
    truth = _release(tmp_path)
    source = clothing1m.load(str(tmp_path), DataConfig())
    assert len(source.class_names) == 14 and source.class_names[8] == "Down Coat" and source.flip
    np.testing.assert_allclose(source.mean, [177.45, 166.69, 162.46], atol=0.01)
    np.testing.assert_allclose(source.std, [79.38, 81.40, 81.96], atol=0.01)
    made = dataset.make_dataset(source, DataConfig(meta_per_class=1), seed=0)
    np.testing.assert_array_equal(np.bincount(made.meta_labels), [1] * 14)
    trusted = dict(truth["clean_train"])
    assert [trusted[path.decode()] for path in made.meta_images.paths] == made.meta_labels.tolist()
    assert len(made.train_labels) == 42 and made.train_true_labels is None
    assert not set(made.train_index) & set(made.meta_index)
    assert "true labels not known; 14 meta, 15 validation, 14 test images" in made.describe()
    with pytest.raises(errors.InputError, match=r"class 0 \(T-Shirt\) of clothing1m has 2 trusted images"):
        dataset.make_dataset(source, DataConfig(meta_per_class=3), seed=0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (256, 224)),
        ({"image_size": 32}, (37, 32)),
        ({"image_size": 64, "resize": 64}, (64, 64)),
        ({"resize": 300}, (300, 224)),
    ],
)
def test_sizes(options, expected, tmp_path):
    _release(tmp_path)
    transform = clothing1m.load(str(tmp_path), DataConfig(**options)).meta.images.transform
    assert (transform.resize, transform.size) == expected and transform.padding == 0 and transform.channels == 3


def _replace_line(path, number, line):
    lines = path.read_text().splitlines()
    lines[number - 1] = line
    path.write_text("\n".join(lines) + "\n")


_KEY = "images/1/01/1,2.jpg"


@pytest.mark.parametrize(
    ("file", "number", "line", "message"),
    [
        ("noisy_label_kv.txt", 5, f"{_KEY} ", rf"found '{_KEY} ', expected an image's name, a space and a class id"),
        ("clean_label_kv.txt", 9, _KEY, f"found '{_KEY}', expected an image's name, a space and a class id from 0"),
        ("noisy_label_kv.txt", 3, f"{_KEY} x", f"found '{_KEY} x'"),
        ("noisy_label_kv.txt", 3, f"{_KEY} -1", f"found '{_KEY} -1', expected .* from 0 to 13"),
        ("clean_label_kv.txt", 3, f"{_KEY} 14", f"found '{_KEY} 14', expected .* from 0 to 13"),
        ("clean_label_kv.txt", 3, "7", "found '7'"),
        ("clean_test_key_list.txt", 4, _KEY, rf"'{_KEY}' has no label in clean_label_kv\.txt"),
        ("noisy_train_key_list.txt", 42, _KEY, rf"'{_KEY}' has no label in noisy_label_kv\.txt"),
    ],
)
def test_lines_that_are_wrong(file, number, line, message, tmp_path):
    _release(tmp_path)
    _replace_line(tmp_path / file, number, line)
    with pytest.raises(errors.InputError, match=rf"{file}, line {number}: {message}"):
        clothing1m.load(str(tmp_path), DataConfig())


def test_two_labels_for_one_image(tmp_path):
    truth = _release(tmp_path)
    path = tmp_path / "clean_label_kv.txt"
    count = len(path.read_text().splitlines())
    key, label = truth["clean_test"][0][0].removeprefix(f"{tmp_path}/"), truth["clean_test"][0][1]
    with path.open("a") as file:
        file.write(f"{key} {label}\n")
    clothing1m.load(str(tmp_path), DataConfig())  # the same label twice does no harm
    with path.open("a") as file:
        file.write(f"{key} {label + 1}\n")
    expected = (
        rf"clean_label_kv\.txt, line {count + 2}: '{key}' has label {label + 1}, an earlier line gives it {label}"
    )
    with pytest.raises(errors.InputError, match=expected):
        clothing1m.load(str(tmp_path), DataConfig())


@pytest.mark.parametrize("prefix", ["images/", ""])
def test_missing_image(prefix, tmp_path):
    truth = _release(tmp_path, prefix=prefix)
    path = truth["clean_val"][6][0]
    (tmp_path / path).unlink()
    with pytest.raises(errors.InputError, match=rf"clean_val_key_list\.txt, line 7: there is no image {path}"):
        clothing1m.load(str(tmp_path), DataConfig())
    source = clothing1m.load(str(tmp_path), DataConfig(on_bad_image="skip"))
    assert source.validation.images.paths[6].decode() == path


def test_other_layouts(tmp_path):
    expected = r"noisy_label_kv\.txt, clean_label_kv\.txt, .* and images/0/00/\*\.jpg .*option `dataset`=folder"
    for place in (None, str(tmp_path / "nowhere")):
        with pytest.raises(errors.InputError, match=f"expected a folder of Clothing1M with {expected}"):
            clothing1m.load(place, DataConfig())
    (tmp_path / "train" / "shirt").mkdir(parents=True)
    with pytest.raises(errors.InputError, match=f"is no folder of Clothing1M, expected {expected}"):
        clothing1m.load(str(tmp_path), DataConfig())
    _release(tmp_path)
    shutil.rmtree(tmp_path / "images")
    for on_bad_image in ("fail", "skip"):
        with pytest.raises(
            errors.InputError, match=f"there is no images/ nor 1/, where .* could be; expected {expected}"
        ):
            clothing1m.load(str(tmp_path), DataConfig(on_bad_image=on_bad_image))
    (tmp_path / "clean_val_key_list.txt").write_text("\n")
    (tmp_path / "images").mkdir()
    with pytest.raises(errors.InputError, match=r"noisy_train_key_list\.txt, line 1: there is no image"):
        clothing1m.load(str(tmp_path), DataConfig())
    with pytest.raises(errors.InputError, match=r"clean_val_key_list\.txt: is empty, expected an image's key"):
        clothing1m.load(str(tmp_path), DataConfig(on_bad_image="skip"))
    (tmp_path / "clean_val_key_list.txt").unlink()
    with pytest.raises(errors.InputError, match=rf"clean_val_key_list\.txt: is missing; expected in .* {expected}"):
        clothing1m.load(str(tmp_path), DataConfig())
    (tmp_path / "noisy_label_kv.txt").write_text("")
    (tmp_path / "clean_val_key_list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.InputError, match=r"noisy_label_kv\.txt: is empty, expected an image's name, a space"):
        clothing1m.load(str(tmp_path), DataConfig())


def test_class_folders_of_other_names(tmp_path):
    _class_folders(tmp_path)
    (tmp_path / "val" / "q0013").rename(tmp_path / "val" / "q0014")
    with pytest.raises(errors.InputError, match=r"val/q0014: expected class folders q0000 to q0013"):
        clothing1m.load(str(tmp_path), DataConfig())
    shutil.rmtree(tmp_path / "val")
    with pytest.raises(
        errors.InputError, match=r"is no folder of Clothing1M, expected .*val/, test/ with folders q0000"
    ):
        clothing1m.load(str(tmp_path), DataConfig())
