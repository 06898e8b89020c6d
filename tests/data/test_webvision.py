"""WebVision in the layouts that people have, small; its images are found, not read."""

import importlib.util

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data.sets import by_name as sources
from famus_tf.data.sets import webvision

# Not sorted, so that labels by sorted position would be wrong.
_SYNSETS = (
    "n02012849 crane",
    "n01440764 tench, Tinca tinca",
    "n03126707 crane",
    "n01443537 goldfish, Carassius auratus",
)
_WNIDS = [line[:9] for line in _SYNSETS]
_OPTIONS = DataConfig(webvision_classes=3)
# Several queries for each class, classes in no order, as in the published list.
_TRAIN = (
    ("q0001/a.jpg", 0),
    ("q0002/b.jpg", 2),
    ("q0003/c.jpg", 1),
    ("q0001/d.jpg", 0),
    ("q0007/e.jpg", 3),
    ("q0004/f.jpg", 1),
)
_VAL = (("val000001.jpg", 3), ("val000002.jpg", 1), ("val000003.jpg", 0), ("val000004.jpg", 2), ("val000005.jpg", 1))


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _listed(root, place="", synsets=_SYNSETS):
    _write(root / "info" / "train_filelist_google.txt", (f"google/{name} {label}" for name, label in _TRAIN))
    _write(root / "info" / "val_filelist.txt", (f"{name} {label}" for name, label in _VAL))
    if synsets:
        _write(root / "info" / "synsets.txt", synsets)
    _touch(root, *(f"{place}google/{name}" for name, _ in _TRAIN), *(f"val_images_256/{name}" for name, _ in _VAL))
    return root


def _in_folders(root):
    for split in ("train", "val"):
        _touch(root, *(f"{split}/{wnid}/{k}.jpg" for label, wnid in enumerate(_WNIDS) for k in range(label + 1)))
    return root


def _pairs(images, labels, root):
    paths = [path.decode().removeprefix(f"{root}/") for path in images.paths]
    return list(zip(paths, labels.tolist(), strict=True))


@pytest.mark.parametrize("place", ["", "google_resized_256/", "train/"])
def test_file_lists(place, tmp_path, capsys):
    flags = DataConfig(dataset="webvision", data_dir=str(_listed(tmp_path, place)), webvision_classes=3)
    source = sources.load_source(flags)
    assert _pairs(source.train_images, source.train_labels, tmp_path) == [
        (f"{place}google/{name}", label) for name, label in _TRAIN if label < 3
    ]
    assert _pairs(source.test_images, source.test_labels, tmp_path) == [
        (f"val_images_256/{name}", label) for name, label in _VAL if label < 3
    ]
    assert source.class_names == ("n02012849 crane", "n01440764 tench", "n03126707 crane")
    assert source.train_labels.dtype == source.test_labels.dtype == np.int32
    assert not source.labels_are_true and not source.other_tests and source.flip
    np.testing.assert_allclose(source.mean, (123.675, 116.28, 103.53))
    np.testing.assert_allclose(source.std, (58.395, 57.12, 57.375))
    assert capsys.readouterr().out == "webvision: 5 training images in the first 3 classes\n"


def test_class_folders(tmp_path):
    source = webvision.load(str(_in_folders(tmp_path)), _OPTIONS)
    assert source.class_names == ("n01440764", "n01443537", "n02012849")  # the first, sorted
    np.testing.assert_array_equal(source.train_labels, [0] * 2 + [1] * 4 + [2] * 1)
    _write(tmp_path / "info" / "synsets.txt", _SYNSETS)
    source = webvision.load(str(tmp_path), _OPTIONS)
    expected = [(f"{wnid}/{k}.jpg", label) for label, wnid in enumerate(_WNIDS[:3]) for k in range(label + 1)]
    for split, images, labels in (
        ("train", source.train_images, source.train_labels),
        ("val", source.test_images, source.test_labels),
    ):
        assert _pairs(images, labels, tmp_path / split) == expected


def test_ilsvrc12_is_matched_by_wordnet_id(tmp_path):
    imagenet = tmp_path / "imagenet"
    _touch(imagenet, *(f"val/{wnid}/{wnid}.JPEG" for wnid in (*_WNIDS, "n00000001")))
    source = webvision.load(
        str(_listed(tmp_path / "webvision")), DataConfig(webvision_classes=3, ilsvrc_dir=str(imagenet), image_size=64)
    )
    ((name, examples),) = source.other_tests.items()
    assert name == "ilsvrc12" and examples.images.transform == source.test_images.transform
    found = {path.decode()[-14:-5]: label for path, label in zip(examples.images.paths, examples.labels, strict=True)}
    assert found == {"n02012849": 0, "n01440764": 1, "n03126707": 2}
    assert {source.class_names[label][:9]: label for label in found.values()} == found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (320, 299)),
        ({"image_size": 64}, (68, 64)),
        ({"resize": 300}, (300, 299)),
        ({"image_size": 224, "resize": 256}, (256, 224)),
    ],
)
def test_sizes(options, expected, tmp_path):
    source = webvision.load(str(_listed(tmp_path)), DataConfig(webvision_classes=3, **options))
    for images in (source.train_images, source.test_images):
        assert (images.transform.resize, images.transform.size) == expected and images.transform.padding == 0


def test_without_synsets_the_classes_are_ilsvrc12s(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    source = webvision.load(str(_listed(tmp_path, synsets=())), _OPTIONS)
    assert source.class_names == ("n01440764", "n01443537", "n01484850")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.InputError, match=r"synsets\.txt: is missing, expected a WordNet id and a name"):
        webvision.load(str(tmp_path), _OPTIONS)


@pytest.mark.parametrize(("count", "note"), [(65_944, ""), (65_943, "; published work has 65,944")])
def test_number_of_images_of_mini_webvision(count, note, tmp_path, capsys):
    wnids = [f"n{10_000_000 + k}" for k in range(50)]
    _write(tmp_path / "info" / "synsets.txt", wnids)
    _write(tmp_path / "info" / "train_filelist_google.txt", (f"google/q0001/{k}.jpg {k % 50}" for k in range(count)))
    _write(tmp_path / "info" / "val_filelist.txt", (f"{k}.jpg {k}" for k in range(50)))
    for folder in ("google", "val_images_256"):
        (tmp_path / folder).mkdir()
    source = webvision.load(str(tmp_path), DataConfig(on_bad_image="skip"))
    assert len(source.train_images) == count and len(source.class_names) == 50
    assert capsys.readouterr().out == f"webvision: {count:,} training images in the first 50 classes{note}\n"


@pytest.mark.parametrize("name", ["google/q0003/c.jpg", "val_images_256/val000003.jpg"])
def test_missing_image(name, tmp_path):
    _listed(tmp_path)
    (tmp_path / "google" / "q0007" / "e.jpg").unlink()  # of a class that is not wanted
    (tmp_path / name).unlink()
    with pytest.raises(errors.InputError, match=rf"filelist.*\.txt, line 3: there is no image .*{name}"):
        webvision.load(str(tmp_path), _OPTIONS)
    source = webvision.load(str(tmp_path), DataConfig(webvision_classes=3, on_bad_image="skip"))
    assert len(source.train_images) == 5 and len(source.test_images) == 4


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "train_filelist_google.txt",
            b"google/q0001/a.jpg 0\ngoogle/q0001/b.jpg\n",
            r"google\.txt, line 2: found 'goog",
        ),
        (
            "train_filelist_google.txt",
            b"google/q0001/a.jpg 0\n\n google/a.jpg one\n",
            "line 3: found ' google/a.jpg one', e",
        ),
        ("train_filelist_google.txt", b"\xff\xfe 0\n", "not readable .*expected a list as a text"),
        (
            "train_filelist_google.txt",
            b"google/q0001/a.jpg 0\n",
            "training set: has no images of class n01440764 tench",
        ),
        (
            "val_filelist.txt",
            b"7\n",
            r"val_filelist\.txt, line 1: found '7', expected an image's path and a class numb",
        ),
        ("val_filelist.txt", b"", "validation set: has no images of class n02012849 crane, expected some of each of t"),
        (
            "synsets.txt",
            b"n02012849 crane\ntench\nn01443537\n",
            r"synsets\.txt, line 2: found 'tench', expected a WordN",
        ),
        (
            "synsets.txt",
            b"n02012849 crane\n",
            r"synsets\.txt: has 1 classes, expected the 3 of option `webvision_classes`",
        ),
    ],
)
def test_broken_files(file, content, message, tmp_path):
    (_listed(tmp_path) / "info" / file).write_bytes(content)
    with pytest.raises(errors.InputError, match=message):
        webvision.load(str(tmp_path), _OPTIONS)


def test_other_layouts(tmp_path):
    with pytest.raises(
        errors.InputError, match=r"option `data_dir`=: expected a folder of WebVision 1\.0: info/train_filelist"
    ):
        webvision.load(None, _OPTIONS)
    with pytest.raises(
        errors.InputError, match=r"the training images were not found, expected info/train_filelist_goo"
    ):
        webvision.load(str(tmp_path), _OPTIONS)
    _touch(tmp_path, *(f"train/{wnid}/0.jpg" for wnid in _WNIDS))
    with pytest.raises(errors.InputError, match="the validation images were not found, expected info/train_filelist_g"):
        webvision.load(str(tmp_path), _OPTIONS)
    with pytest.raises(errors.InputError, match="has 4 classes, expected the 50 of option `webvision_classes` or more"):
        webvision.load(str(tmp_path), DataConfig())
