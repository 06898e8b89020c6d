"""CNWL's lists, trees of images and TFRecords, on small sets in their layouts."""

import dataclasses
import io
import json
import shutil

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data import dataset
from famus_tf.data.sets import cnwl

_PER_CLASS = 6
_SPLIT = "red_noise_nl_0.4"


def _wnid(label):
    """Not in the order of the classes, as in the release."""
    return f"n{10000000 + (label * 37) % 100:08d}"


def _rows(colour, rng):
    """[(name, label, whether the label is right)]: of each class, 4 of 6 right; the others are wrong by the colour."""
    rows = []
    for label in range(100):
        for k in range(_PER_CLASS):
            right = k < 4
            other = (label + 1 + k) % 100
            own = f"{_wnid(label if right else other)}{100 * label + k:08d}.jpg"
            rows.append((own if right or colour == "blue" else f"{rng.integers(2**62):016x}.jpg", label, right))
    return [rows[k] for k in rng.permutation(len(rows))]


def _validation_rows(rng):
    labels = rng.permutation(np.repeat(np.arange(100), 2))
    return [(f"ILSVRC2012_val_{k + 1:08d}.jpg", int(label), True) for k, label in enumerate(labels)]


def _lists(root, split, rows, validation):
    (root / "split").mkdir(parents=True)
    for name, content in ((split, rows), ("clean_validation", validation)):
        (root / "split" / name).write_text("".join(f"{file} {label}\n" for file, label, _ in content))


def _touch(root, rows, by_class, ending=None):
    paths = []
    for name, label, _ in rows:
        path = (root / str(label) if by_class else root) / (name if ending is None else name.replace(".jpg", ending))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        paths.append(str(path))
    return paths


def _set(root, split=_SPLIT, train="training_s32/{}", test="validation_s32", lists=True, ending=None):
    """Writes a set with empty images; returns rows and paths of both parts."""
    rng = np.random.default_rng(0)
    rows, validation = _rows(split.partition("_")[0], rng), _validation_rows(rng)
    if lists:
        _lists(root, split, rows, validation)
    folder = train.format(split)
    paths = _touch(root / folder, rows, by_class="training" in folder, ending=ending)
    test_paths = _touch(root / test, validation, by_class=not test.count("all"), ending=ending)
    return rows, paths, validation, test_paths


def _load(root, **changes):
    return cnwl.load(str(root), DataConfig(**changes))


_TREES = [
    ("training_s32/{}", "validation_s32"),
    ("training/{}", "validation"),
    ("all_images", "validation"),
    ("all_images", "validation_all"),
    ("all_images", "all_validation"),
]


_PLACES = ["", "mini-imagenet", "dataset_no_images/mini-imagenet", "", "mini-imagenet"]


@pytest.mark.parametrize(
    ("train", "test", "place"), [(*tree, place) for tree, place in zip(_TREES, _PLACES, strict=True)]
)
def test_trees_with_lists(train, test, place, tmp_path):
    rows, paths, validation, test_paths = _set(tmp_path / place, train=train, test=test)
    source = _load(tmp_path)
    assert [path.decode() for path in source.train_images.paths] == paths
    assert [path.decode() for path in source.test_images.paths] == test_paths
    np.testing.assert_array_equal(source.train_labels, [label for _, label, _ in rows])
    np.testing.assert_array_equal(source.test_labels, [label for _, label, _ in validation])
    np.testing.assert_array_equal(source.train_is_clean, [right for _, _, right in rows])
    assert source.train_labels.dtype == source.test_labels.dtype == np.int32 and not source.labels_are_true


def _choices(name):
    (field,) = (field for field in dataclasses.fields(DataConfig) if field.name == name)
    return field.metadata["choices"]


@pytest.mark.parametrize("colour", _choices("web_noise"))
def test_colours_and_rates(colour, tmp_path):
    rows, paths, _, _ = _set(tmp_path, split=f"{colour}_noise_nl_0.0", train="all_images", test="validation_all")
    for k, rate in enumerate(_choices("web_noise_rate")):
        chosen = np.random.default_rng(k).permutation(len(rows))
        lines = [f"{rows[position][0]} {rows[position][1]}\n" for position in chosen]
        (tmp_path / "split" / f"{colour}_noise_nl_{rate}").write_text("".join(lines))
        source = _load(tmp_path, web_noise=colour, web_noise_rate=rate)
        assert [path.decode() for path in source.train_images.paths] == [paths[position] for position in chosen]
        np.testing.assert_array_equal(source.train_is_clean, [rows[position][2] for position in chosen])
        (tmp_path / "split" / f"{colour}_noise_nl_{rate}").unlink()
        with pytest.raises(errors.InputError, match=f"the images of {colour}_noise_nl_{rate} were not found, expected"):
            _load(tmp_path, web_noise=colour, web_noise_rate=rate)


@pytest.mark.parametrize(("train", "test"), _TREES[:2])
@pytest.mark.parametrize("colour", ["red", "blue"])
def test_trees_without_lists(train, test, colour, tmp_path):
    split = f"{colour}_noise_nl_0.4"
    rows, paths, validation, test_paths = _set(tmp_path, split, train=train, test=test, lists=False)
    source = _load(tmp_path, web_noise=colour)
    truth = {path: (label, right) for path, (_, label, right) in zip(paths, rows, strict=True)}
    found = [path.decode() for path in source.train_images.paths]
    assert sorted(found) == sorted(paths)
    assert [truth[path] for path in found] == list(
        zip(source.train_labels.tolist(), source.train_is_clean.tolist(), strict=True)
    )
    truth = {path: label for path, (_, label, _) in zip(test_paths, validation, strict=True)}
    assert [truth[path.decode()] for path in source.test_images.paths] == source.test_labels.tolist()


def test_other_endings_and_the_larger_images(tmp_path):
    _, paths, _, test_paths = _set(tmp_path, train="training/{}", test="validation", ending=".JPEG")
    source = _load(tmp_path)
    assert [path.decode() for path in source.train_images.paths] == paths
    assert [path.decode() for path in source.test_images.paths] == test_paths
    for folder, small in ((f"training/{_SPLIT}", f"training_s32/{_SPLIT}"), ("validation", "validation_s32")):
        shutil.copytree(tmp_path / folder, tmp_path / small)
    for size, part in ((0, "training_s32"), (32, "training_s32"), (84, "training")):
        source = _load(tmp_path, image_size=size)
        assert source.train_images.paths[0].decode().startswith(str(tmp_path / part / _SPLIT))
        transform, side = source.train_images.transform, size or 32
        assert (transform.size, transform.resize, transform.padding) == (side, side, side // 8) and source.in_memory
    assert not _load(tmp_path, image_size=128).in_memory
    assert _load(tmp_path, image_size=64, resize=72).test_images.transform.resize == 72
    with pytest.raises(
        errors.InputError, match="option `resize`=30 with option `image_size`=32: expected at least that"
    ):
        _load(tmp_path, resize=30)


def test_annotations(tmp_path):
    rows, *_ = _set(tmp_path / "dataset_no_images" / "mini-imagenet")
    web = [(name, label) for name, label, right in rows if not right]
    # The first third is right, the second wrong, the third right of another class.
    entries = [
        {"image/id": name[:-4], "image/uri": "", "image/class/label": label, "image/class/label/is_clean": flag}
        for k, (name, label) in enumerate(web)
        for label, flag in [((label, 1), (label, 0), ((label + 1) % 100, 1))[3 * k // len(web)]]
    ]
    path = tmp_path / "dataset_no_images" / "mini-imagenet-annotations.json"
    with pytest.raises(
        errors.InputError, match=rf"{tmp_path}/mini-imagenet-annotations\.json is missing; expected it there or in data"
    ):
        _load(tmp_path, clean_by="annotation")
    path.write_text(json.dumps({"data": [[entry] for entry in entries]}))
    right = {name for name, _ in web[: -(-len(web) // 3)]} | {name for name, _, right in rows if right}
    np.testing.assert_array_equal(
        _load(tmp_path, clean_by="annotation").train_is_clean, [name in right for name, _, _ in rows]
    )
    np.testing.assert_array_equal(_load(tmp_path).train_is_clean, [right for _, _, right in rows])
    for broken in ("{", "[]", '{"data": [[{"image/id": "a"}]]}', '{"data": [1]}'):
        path.write_text(broken)
        with pytest.raises(
            errors.InputError, match=r"annotations\.json: not readable \(.*\), expected a dict with data"
        ):
            _load(tmp_path, clean_by="annotation")


def test_meta_set_is_of_right_labels_and_out_of_the_training_set(tmp_path):
    rows, paths, _, _ = _set(tmp_path)
    source = _load(tmp_path)
    np.testing.assert_allclose(source.mean, [129.3, 124.2, 112.5], atol=0.1)
    made = dataset.make_dataset(source, DataConfig(meta_per_class=3), seed=0)
    truth = {path: (label, right) for path, (_, label, right) in zip(paths, rows, strict=True)}
    assert [truth[path.decode()] for path in made.meta_images.paths] == [(label, True) for label in made.meta_labels]
    np.testing.assert_array_equal(np.bincount(made.meta_labels), [3] * 100)
    assert not set(made.meta_images.paths) & set(made.train_images.paths) and len(made.train_labels) == 300
    given = [truth[path.decode()] for path in made.train_images.paths]
    np.testing.assert_array_equal(made.train_true_labels, [label if right else -1 for label, right in given])
    assert made.actual_noise_rate == pytest.approx(2 / 3)


def test_class_names(tmp_path):
    _set(tmp_path / "mini-imagenet")
    assert _load(tmp_path).class_names == tuple(map(str, range(100)))
    names = [f"{_wnid(k)} thing {k}" for k in range(100)]
    for file in ("class_name.txt", "class_names.txt"):
        path = tmp_path / "mini-imagenet" / file
        path.write_text("\n".join(names) + "\n")
        assert _load(tmp_path).class_names == tuple(names)
        path.write_text("\n".join(names[:99]) + "\n")
        assert _load(tmp_path).class_names == tuple(map(str, range(100)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("n0153282900000005.jpg", r"found 'n0153282900000005\.jpg', expected an image's name, a space and a class id"),
        ("n0153282900000005.jpg ", r"found 'n0153282900000005\.jpg ', expected an image's name"),
        ("n0153282900000005.jpg 100", r"found '.* 100', expected .* from 0 to 99"),
        ("n0153282900000005.jpg 4.0", r"found '.* 4\.0', expected"),
        ("n0153282900000005.jpg 49", "there is no image .*/training_s32/red_noise_nl_0.4/49/n0153282900000005.jpg"),
    ],
)
def test_lines_that_are_wrong(line, message, tmp_path):
    _set(tmp_path)
    path = tmp_path / "split" / _SPLIT
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:11], line, *lines[12:]]))
    with pytest.raises(errors.InputError, match=rf"split/{_SPLIT}, line 12: {message}"):
        _load(tmp_path)
    if "no image" in message:
        paths = _load(tmp_path, on_bad_image="skip").train_images.paths
        assert paths[11].decode() == str(tmp_path / "training_s32" / _SPLIT / "49" / "n0153282900000005.jpg")


def test_other_layouts(tmp_path):
    expected = rf"split/{_SPLIT} and split/clean_validation .* all_images/.*; or TFRecords {_SPLIT}/data"
    for place in (None, str(tmp_path / "nowhere")):
        with pytest.raises(errors.InputError, match=f"expected a folder of CNWL with {expected}"):
            cnwl.load(place, DataConfig())
    _set(tmp_path, train="all_images", test="all_validation")
    (tmp_path / "split" / "clean_validation").unlink()
    with pytest.raises(errors.InputError, match=f"the images of clean_validation were not found, expected {expected}"):
        _load(tmp_path)
    (tmp_path / "split" / _SPLIT).write_text("\n")
    with pytest.raises(errors.InputError, match=rf"split/{_SPLIT}: is empty, expected an image's name"):
        _load(tmp_path)
    (tmp_path / "split" / _SPLIT).unlink()
    with pytest.raises(errors.InputError, match=f"the images of {_SPLIT} were not found, expected {expected}"):
        _load(tmp_path)
    (tmp_path / "training" / _SPLIT / "cat").mkdir(parents=True)
    (tmp_path / "training" / _SPLIT / "cat" / "a.jpg").touch()
    with pytest.raises(errors.InputError, match=rf"{_SPLIT}/cat: expected class folders 0 to 99"):
        _load(tmp_path)


def _records(path, images, labels, key, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image, label in zip(images, labels, strict=True):
            data = io.BytesIO()
            PIL.Image.fromarray(image).save(data, "png")
            features = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data.getvalue()])),
                "image/format": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"png"])),
                key: tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
            features |= changes
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


_TEXT = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"no image"]))


@pytest.mark.parametrize(("folder", "side"), [("", 32), ("red_mini_imagenet_s32", 84)])
def test_records(folder, side, tmp_path):
    rng, root = np.random.default_rng(0), tmp_path / folder
    images = rng.integers(0, 256, (30, side, side, 3), np.uint8)
    labels = rng.integers(0, 100, 30)
    _records(root / _SPLIT / "data-00000-of-00002", images[:12], labels[:12], "image/class/label")
    _records(root / _SPLIT / "data-00001-of-00002", images[12:20], labels[12:20], "image/class/label")
    _records(root / "clean_validation" / "data", images[20:], labels[20:], "image/class/fine_label")
    source = _load(tmp_path)
    assert source.train_images.shape == (20, 32, 32, 3) and source.train_images.dtype == np.uint8
    wanted = [PIL.Image.fromarray(image).resize((32, 32), PIL.Image.Resampling.BILINEAR) for image in images]
    difference = np.stack(wanted).astype(int) - np.concatenate([source.train_images, source.test_images])
    assert np.abs(difference).max() <= (side != 32)
    np.testing.assert_array_equal(np.concatenate([source.train_labels, source.test_labels]), labels)
    assert source.crop_padding == 4 and source.padding_mode == "zero" and source.train_is_clean is None
    made = dataset.make_dataset(source, DataConfig(meta_per_class=0), seed=0)
    assert made.train_true_labels is None and made.meta_images.shape == (0, 32, 32, 3)
    with pytest.raises(
        errors.InputError, match=r"cnwl: which labels are right is not known .* option `meta_per_class`=0 with"
    ):
        dataset.make_dataset(source, DataConfig(meta_per_class=1), seed=0)
    with pytest.raises(
        errors.InputError, match="option `clean_by`=annotation: expected files of images, TFRecords do not name"
    ):
        _load(tmp_path, clean_by="annotation")


@pytest.mark.parametrize(
    ("key", "label", "changes", "message"),
    [
        ("image/class/label", 100, {}, "record 1: has label 100, expected 0 to 99"),
        ("image/class/fine_label", 1, {}, "record 1: cannot be read, .* and image/class/label, a class id"),
        (
            "image/class/label",
            1,
            {"image/encoded": _TEXT},
            "record 1: cannot be read, expected a TFRecord with image/enc",
        ),
    ],
)
def test_records_that_are_wrong(key, label, changes, message, tmp_path):
    image = np.zeros((1, 32, 32, 3), np.uint8)
    _records(tmp_path / _SPLIT / "data-0", image, [3], "image/class/label")
    _records(tmp_path / _SPLIT / "data-1", image, [label], key, **changes)
    with pytest.raises(errors.InputError, match=rf"{_SPLIT}/data-1, {message}"):
        _load(tmp_path)
    path = tmp_path / _SPLIT / "data-0"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-7])
    with pytest.raises(errors.InputError, match=rf"{_SPLIT}/data-0, record 2: cannot be read"):
        _load(tmp_path)
    path.write_bytes(b"")
    (tmp_path / _SPLIT / "data-1").unlink()
    with pytest.raises(errors.InputError, match=rf"{_SPLIT}/data-0: holds no records"):
        _load(tmp_path)
