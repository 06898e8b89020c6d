"""Marks, as somebody may have written them."""

import pytest

from famus_tf import errors
from famus_tf.reports import marks

CLASSES = ("cat", "dog")
HEAD = "index,given_label,mark,new_label\n"


def read(tmp_path, text):
    path = tmp_path / "marks.csv"
    path.write_text(text, encoding="utf-8")
    return marks.read(path, CLASSES)


def test_marks_are_read_in_any_order_of_columns(tmp_path):
    found = read(
        tmp_path, "\ufeffmark,index,new_label,given_label\nkeep,3,,cat\nrelabel,7,dog,cat\ndrop,0,,dog\ndrop,0,,dog\n"
    )
    assert found == {
        3: marks.Mark("keep", "cat", ""),
        7: marks.Mark("relabel", "cat", "dog"),
        0: marks.Mark("drop", "dog", ""),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"marks\.csv, line 1: no column index; expected index, given_label, mark, new_label"),
        ("index,given_label,mark\n1,cat,keep\n", r"line 1: no column new_label"),
        (HEAD + "x,cat,keep,\n", r"line 2: index 'x'; expected a whole number"),
        (HEAD + "1,cat,keep,\n2,cat,lose,\n", r"line 3: mark 'lose'; expected keep, relabel, drop"),
        (HEAD + "1,cat,relabel,cow\n", r"line 2: new label 'cow'; expected the name of a class"),
        (HEAD + "1,cat,relabel\n", r"line 2: new label ''; expected the name of a class"),
        (HEAD + "1,cat,keep,\n1,cat,drop,\n", r"line 3: example 1 is marked otherwise before"),
    ],
)
def test_what_is_no_mark_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(errors.InputError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        errors.InputError, match=r"marks\.csv: not readable .*, expected marks as labels\.html downloads them"
    ):
        marks.read(tmp_path / "marks.csv", CLASSES)
