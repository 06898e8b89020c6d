"""Lists of published data sets, and folders."""

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.data.formats import listing

_NAMES = ("images/0/00/130,347.jpg", "images/a b.JPEG", "c.png")


@pytest.fixture
def root(tmp_path):
    for name in _NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def _list(root, text):
    (root / "list.txt").write_text(text)
    return str(root / "list.txt")


def test_class_ids(root):
    path = _list(root, "1,2.jpg 9\r\n\na b.jpg  0\nc 13 \n")
    assert listing.read_ids(path, 14) == ([1, 3, 4], ["1,2.jpg", "a b.jpg", "c"], [9, 0, 13])
    for text, message in (
        (
            "a.jpg 1\n\na.jpg 14\n",
            r"line 3: found 'a\.jpg 14', expected an image's name, a space and a class id from 0 to",
        ),
        ("a.jpg 1\na.jpg \n", r"line 2: found 'a\.jpg ', expected"),
        ("a.jpg ²\n", "line 1: found 'a"),
        ("\n", "is empty, expected an image's name"),
    ):
        with pytest.raises(errors.InputError, match=rf"list\.txt(, |: ){message}"):
            listing.read_ids(_list(root, text), 14)


def test_first_classes(root):
    path = _list(root, f"{_NAMES[0]} 1\r\n\n{_NAMES[1]}\t0\nnowhere.jpg 2\n {_NAMES[2]}   1")
    paths, labels = listing.read_first_classes(path, str(root), 2)
    assert paths == [str(root / image) for image in _NAMES]
    np.testing.assert_array_equal(labels, np.array([1, 0, 1], np.int32), strict=True)
    with pytest.raises(errors.InputError, match=r"list\.txt, line 4: there is no image .*nowhere\.jpg"):
        listing.read_first_classes(path, str(root), 3)
    assert len(listing.read_first_classes(path, str(root), 3, check_present=False)[0]) == 4
    with pytest.raises(errors.InputError, match=r"list\.txt, line 2: found 'b\.jpg -1', expected an image's path and"):
        listing.read_first_classes(_list(root, "a.jpg 7\nb.jpg -1\n"), str(root), 2)


def test_what_systems_leave_behind_in_folders_of_classes(root, capsys):
    (root / "images" / "._a b.JPEG").touch()
    paths, _ = listing.in_folders(str(root), {"images": 4})
    assert paths == [str(root / "images" / "a b.JPEG")]
    assert f"{root}: files that systems and programs leave behind are not read: 1\n" in capsys.readouterr().out


def test_folders_of_classes(root):
    paths, labels = listing.in_folders(str(root), {"images": 4, "nowhere": 1, "images/0/00": 0})
    assert paths == [str(root / "images" / "a b.JPEG"), str(root / _NAMES[0])]
    np.testing.assert_array_equal(labels, np.array([4, 0], np.int32), strict=True)
    with pytest.raises(
        errors.InputError, match="here: has no images of class b, expected some of each of the 3 classes"
    ):
        listing.require_every_class(labels[1:], ["a", "b", "c"], "here")
