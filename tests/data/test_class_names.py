"""Which classes there are, by the names of folders and by the labels in lists."""

import pytest

from famus_tf import errors
from famus_tf.data.labels import class_names


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ([str(k) for k in range(12)], tuple(str(k) for k in range(12))),
        ([str(k) for k in range(1, 13)], tuple(str(k) for k in range(1, 13))),
        (["2021", "2019", "2020"], ("2019", "2020", "2021")),
        (["4006381333931", "96385074"], ("96385074", "4006381333931")),
        (["00000", "00001"], ("00000", "00001")),
        (["01", "1", "2", "10"], ("1", "01", "2", "10")),
        (["img10", "img2", "img1"], ("img1", "img2", "img10")),
        (["7" * 5000, "8"], ("8", "7" * 5000)),
        (["-1", "3.0", "nan"], ("3.0", "-1", "nan")),
        (["Zebra", "ant", "1"], ("1", "Zebra", "ant")),
        (["n01440764", "n01443537"], ("n01440764", "n01443537")),
        (["b", "a", "b"], ("a", "b")),
    ],
)
def test_a_folders_name_is_a_name(folders, expected):
    names = class_names.of_folders(folders)
    assert names.names == expected
    assert [names.id_of(name) for name in expected] == list(range(len(expected)))
    assert names.id_of("nowhere") is None


@pytest.mark.parametrize(
    ("folders", "notes"),
    [
        (["0", "1", "2"], []),
        (["cat", "dog"], []),
        (["1", "2", "3"], ["class 0 is '1', class 1 is '2', class 2 is '3'"]),
        (["2019", "2020", "2021", "2022"], ["class 0 is '2019', class 1 is '2020', ..., class 3 is '2022'"]),
        (["0", "1", "3"], ["class 0 is '0', class 1 is '1', class 2 is '3'"]),
        (["Cat", "cat", "dog"], ["'Cat' and 'cat' are two classes"]),
        (["cat", "cat "], ["'cat' and 'cat ' are two classes"]),
    ],
)
def test_what_is_not_as_expected_is_said(folders, notes):
    said = class_names.of_folders(folders).notes
    assert len(said) == len(notes)
    assert all(note in sentence for note, sentence in zip(notes, said, strict=True))


def test_one_name_in_two_forms_of_unicode():
    names = class_names.of_folders(["café", "cafe\u0301"])
    assert names.names == ("café",) and names.id_of("cafe\u0301") == 0


def test_a_name_that_differs_in_case():
    names = class_names.of_folders(["Cat", "dog"])
    assert names.id_of("cat") is None and names.like("cat ") == "Cat" and names.like("cow") is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["2", "0", "1", "10"] + [str(k) for k in range(3, 10)], tuple(str(k) for k in range(11))),
        (["1", "2", "3"], ("1", "2", "3")),
        (["2019", "2021", "2020"], ("2019", "2020", "2021")),
        (["01", "1", "0"], ("0", "1")),
        (["10", "2", "cat", "dog", "cow"], ("2", "10", "cat", "cow", "dog")),
        (["cat", "nan", "none"], ("cat", "nan", "none")),
        (["0.5", "1.5", "-1"], ("0.5", "1.5", "-1")),
    ],
)
def test_labels_of_lists(labels, expected):
    assert class_names.of_list("train.txt", range(1, len(labels) + 1), labels).names == expected


@pytest.mark.parametrize("label", ["-1", "3.0", "nan", "", "NaN", "1e3", "?", "None", "cat", "+1", "1_0", "٣", "²"])
def test_a_label_among_whole_numbers_that_is_none(label):
    with pytest.raises(
        errors.InputError, match=r"^train\.txt, line 9: found the label '.*' among labels that are"
    ) as e:
        class_names.of_list("train.txt", [2, 4, 9, 10], ["0", "1", label, "2"])
    assert repr(label) in str(e.value)


def test_ids_of_other_lists_are_compared_as_numbers():
    names = class_names.of_list("train.txt", [1, 2], ["0", "1"])
    assert names.id_of("01") == 1 and names.id_of("2") is None and names.id_of("-1") is None
