"""Lists as a source: class ids, whom to trust, further test sets."""

import os

import numpy as np
import PIL.Image
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data.sets import own_images


@pytest.fixture
def root(tmp_path):
    for number in range(8):
        PIL.Image.new("RGB", (12, 12), (number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def _load(root, train, test="7.png,{}\n", others=None, **options):
    texts = {"train": train, "test": test.format(train.rstrip().rpartition(",")[2]), **(others or {})}
    for name, text in texts.items():
        (root / f"{name}.csv").write_text(text)
    lists = {f"{name}_list": str(root / f"{name}.csv") for name in ("train", "test")}
    return own_images.load_list(None, DataConfig(**lists, **options))


def _rows(labels):
    return "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))


def _names(images):
    return [os.path.basename(path).decode() for path in images.paths]


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        ("0121", ("0", "1", "2"), [0, 1, 2, 1]),
        (("10", "2", "2"), ("2", "10"), [1, 0, 0]),
        (("cat", "dog", "cat"), ("cat", "dog"), [0, 1, 0]),
        (("1.4", "2.8", "11"), None, None),
        (("1.4", "2.8", "-1"), ("-1", "1.4", "2.8"), None),
    ],
)
def test_class_ids(labels, names, ids, root):
    if names is None:
        with pytest.raises(
            errors.InputError, match=r"train\.csv, line 1: found the label '1\.4' among labels that are"
        ):
            _load(root, _rows(labels))
        return
    source = _load(root, _rows(labels))
    assert set(source.class_names) == set(names)
    if ids:
        assert source.class_names == names
        np.testing.assert_array_equal(source.train_labels, ids)


@pytest.mark.parametrize("labels", [("0.0", "1.0", "2.0"), ("3.0", "1.0", "nan"), ("-1", "-2"), ("1e0", "2.", "cat")])
def test_ids_that_are_written_otherwise(labels, root):
    message = rf"train\.csv, line 1: found the label '{labels[0]}', expected a class id, a whole number from 0 up"
    with pytest.raises(errors.InputError, match=message):
        _load(root, _rows(labels))


def test_names_like_missing_labels(root):
    source = _load(root, _rows(("cat", "None", "dog")))
    assert source.class_names == ("None", "cat", "dog") and source.notes[-1].startswith("'None': taken for names of")


@pytest.mark.parametrize("label", ["3.0", "-1", "nan", "2", "None"])
def test_labels_of_other_lists(label, root):
    with pytest.raises(errors.InputError, match=rf"test\.csv, line 3: class '{label}' of the test set is not among"):
        _load(root, _rows("0101"), f"6.png,0\n\n7.png,{label}\n")


def test_trusted_rows_are_the_meta_set(root):
    train = "path,label,is_trusted\n0.png,a,0\n1.png,b,1\n2.png,a,1\n3.png,b,0\n"
    source = _load(root, train, "7.png,a\n")
    assert _names(source.train_images) == ["0.png", "3.png"] and _names(source.meta.images) == ["1.png", "2.png"]
    np.testing.assert_array_equal(source.meta.labels, [1, 0])
    assert source.notes == (f"{root}/train.csv: its 2 trusted images are the meta set, and are not trained on",)
    also = _load(root, train, "path,label,trusted\n7.png,a,1\n")
    assert also.notes[0] == f"{root}/test.csv: its column of trust is not read, as it is not the training list"
    for rows, message in (
        (train.replace("0\n", "1\n"), "trusts all of its 4"),
        (train.replace("1\n", "0\n"), "none of"),
    ):
        with pytest.raises(errors.InputError, match=message):
            _load(root, rows, "7.png,a\n")
    with pytest.raises(
        errors.InputError, match=r"train\.csv: has a column of trust, and option `meta_list`=.* as well"
    ):
        _load(root, train, "7.png,a\n", {"meta": "6.png,a\n"}, meta_list=str(root / "meta.csv"))


def test_further_test_sets(root):
    others = {"other, one": "5.png,b\n6.png,a\n", "two": "4.png,b\n"}
    paths = [str(root / f"{name}.csv") for name in others]
    source = _load(root, _rows("ab"), "7.png,a\n", others, other_test_lists=paths[0])
    assert _names(source.other_tests["other, one"].images) == ["5.png", "6.png"]
    (root / "one.csv").write_text(others["other, one"])
    source = _load(root, _rows("ab"), "7.png,a\n", others, other_test_lists=f"{root}/one.csv, {paths[1]}")
    assert list(source.other_tests) == ["one", "two"] and source.validation is None
    np.testing.assert_array_equal(source.other_tests["one"].labels, [1, 0])
    for wrong in (f"{root}/test.csv", f"{root}/two.csv,{root}/./two.csv"):
        with pytest.raises(errors.InputError, match=r"would be named '(test|two)', as another set is"):
            _load(root, _rows("ab"), "7.png,a\n", others, other_test_lists=wrong)
