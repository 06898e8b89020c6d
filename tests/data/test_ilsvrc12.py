"""ILSVRC12's validation images in the layouts that people have, small; they are found, not read."""

import importlib.util

import numpy as np
import pytest
import scipy.io

from famus_tf import errors
from famus_tf.data.images import image_files
from famus_tf.data.sets import ilsvrc12

# Not sorted, so that a label by sorted position would be wrong; the set holds others too.
_WNIDS = ("n02012849", "n01440764", "n09193705")
_TRANSFORM = image_files.Transform(8, 8)
_DEVKIT = "ILSVRC2012_devkit_t12/data"
# The devkit's own numbers, in its own order, and one of an inner node of WordNet's tree.
_DEVKIT_IDS = {1: "n09193705", 2: "n02105855", 3: "n02012849", 4: "n01440764", 1001: "n00015388"}
_TRUTH = [4, 2, 1, 3, 3, 2, 1, 4]


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _devkit(folder):
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = [(float(number), wnid, "a, b", float(number > 1000)) for number, wnid in _DEVKIT_IDS.items()]
    scipy.io.savemat(folder / "meta.mat", {"synsets": np.array(rows, kinds)[:, None]})
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{number}\n" for number in _TRUTH))


def _flat(number):
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def _found(root, **options):
    examples = ilsvrc12.load(str(root), _WNIDS, _TRANSFORM, **options)
    assert examples.labels.dtype == np.int32 and examples.images.transform == _TRANSFORM
    names = [path.decode().removeprefix(f"{root}/") for path in examples.images.paths]
    return dict(zip(names, examples.labels.tolist(), strict=True))


@pytest.mark.parametrize("place", ["val/", "ILSVRC2012_img_val/", ""])
def test_folders_by_wordnet_id(place, tmp_path):
    names = {f"{place}n01440764/{_flat(293)}": 1, f"{place}n02012849/b.jpg": 0, f"{place}n02012849/a.jpg": 0}
    names[f"{place}n09193705/{_flat(2)}"] = 2
    _touch(tmp_path, *names, f"{place}n00000001/{_flat(7)}", f"{place}n01440764/notes.txt")
    assert _found(tmp_path) == names


@pytest.mark.parametrize("place", ["val/", ""])
@pytest.mark.parametrize("devkit", [_DEVKIT, "data", "."])
def test_side_by_side_with_the_devkit(place, devkit, tmp_path):
    _touch(tmp_path, *(place + _flat(number) for number in range(1, 9)))
    _devkit(tmp_path / devkit)
    by_wnid = {wnid: label for label, wnid in enumerate(_WNIDS)}
    expected = {place + _flat(number): by_wnid.get(_DEVKIT_IDS[_TRUTH[number - 1]]) for number in range(1, 9)}
    assert _found(tmp_path) == {name: label for name, label in expected.items() if label is not None}


def test_side_by_side_labelled_by_tensorflow_datasets(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    # Known elsewhere: 1 is a sea snake, 2 an alp, 3 a sheepdog, 293 a tench.
    wnids = ("n01440764", "n09193705", "n01751748")
    _touch(tmp_path, *(f"val/{_flat(number)}" for number in (1, 2, 3, 293)), "val/other.JPEG")
    examples = ilsvrc12.load(str(tmp_path), wnids, _TRANSFORM)
    names = [path.decode().rpartition("/")[2] for path in examples.images.paths]
    assert dict(zip(names, examples.labels, strict=True)) == {_flat(1): 2, _flat(2): 1, _flat(293): 0}
    _touch(tmp_path, f"val/{_flat(50_001)}")
    with pytest.raises(errors.InputError, match=r"50001\.JPEG: its number is 50001, expected 1 to 50000"):
        ilsvrc12.load(str(tmp_path), wnids, _TRANSFORM)


def test_side_by_side_without_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert ilsvrc12.sorted_wnids() is None
    _touch(tmp_path, f"val/{_flat(1)}", f"{_DEVKIT}/ILSVRC2012_validation_ground_truth.txt")
    with pytest.raises(errors.InputError, match=r"val: holds 1 images and no labels, expected .*meta\.mat of the devk"):
        _found(tmp_path)


def test_folders_by_number(tmp_path):
    names = {f"val/0/{_flat(4)}": 0, "val/1/a.JPEG": 1, "val/2/a.JPEG": 2, "val/2/b.JPEG": 2}
    _touch(tmp_path, *names, "val/3/a.JPEG", "val/10/a.JPEG")
    assert _found(tmp_path) == names


def test_list_of_class_numbers(tmp_path):
    _touch(tmp_path, *(f"val/{_flat(number)}" for number in (1, 3, 4, 5)))
    (tmp_path / "imagenet_val.txt").write_text(
        "".join(f"{_flat(number)} {label}\n" for number, label in enumerate((2, 65, 0, 1, 0, 3), start=1))
    )
    assert _found(tmp_path) == {f"val/{_flat(n)}": label for n, label in ((1, 2), (3, 0), (4, 1), (5, 0))}
    (tmp_path / "val" / _flat(4)).unlink()
    with pytest.raises(errors.InputError, match=r"imagenet_val\.txt, line 4: there is no image .*00000004\.JPEG"):
        _found(tmp_path)
    assert len(_found(tmp_path, check_present=False)) == 4


def test_the_sorted_classes():
    pytest.importorskip("tensorflow_datasets")
    wnids = ilsvrc12.sorted_wnids()
    assert len(wnids) == 1000 and list(wnids) == sorted(wnids)
    assert (wnids[0], wnids[49]) == ("n01440764", "n01697457")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda root: None,
            r"option `ilsvrc_dir`=.*: not a folder, expected one with val/<wnid>/\*\.JPEG; or val/ILSVRC2012_v",
        ),
        (
            lambda root: _touch(root, "val/a/b.JPEG"),
            r"holds none of its layouts, expected val/<wnid>/\*\.JPEG; .*or val/<",
        ),
        (
            lambda root: _touch(root, "val/n01440764/a.JPEG"),
            "has no images of class n02012849, expected some of each of t",
        ),
        (lambda root: _touch(root, "val/0/a.JPEG", "val/2/a.JPEG"), "has no images of class n01440764"),
    ],
)
def test_other_layouts(make, message, tmp_path):
    make(tmp_path / "imagenet")
    with pytest.raises(errors.InputError, match=message):
        _found(tmp_path / "imagenet")


def test_broken_devkit(tmp_path):
    _touch(tmp_path, f"val/{_flat(1)}")
    _devkit(tmp_path / _DEVKIT)
    truth, meta = (tmp_path / _DEVKIT / name for name in ("ILSVRC2012_validation_ground_truth.txt", "meta.mat"))
    for text, message in (
        ("4\n5\n", r"ground_truth\.txt, line 2: found '5', expected one of the ids in meta\.mat"),
        ("4\n\n", "line 2: found '', expected one"),
        ("n01440764\n", "line 1: found 'n01440764', expected one"),
    ):
        truth.write_text(text)
        with pytest.raises(errors.InputError, match=message):
            _found(tmp_path)
    for content in (b"", b"not a table" * 50, meta.read_bytes()[:300]):
        meta.write_bytes(content)
        with pytest.raises(errors.InputError, match=r"meta\.mat: not readable .*expected the devkit's table"):
            _found(tmp_path)
    scipy.io.savemat(meta, {"synsets": np.arange(3)})
    with pytest.raises(errors.InputError, match="table of classes, `synsets` with ILSVRC2012_ID and WNID"):
        _found(tmp_path)
