"""Sets in which a class has no images."""

import numpy as np
import pytest

from famus_tf.data.labels import coverage


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"training": [0, 1, 2], "test": [2, 1, 0], "meta": []}, []),
        ({"training": [0, 2], "test": [0, 1, 2]}, ["no training images of 1 of 3 classes: dog"]),
        ({"training": [0, 1, 2], "meta": [1]}, ["no meta images of 2 of 3 classes: cat, cow"]),
        (
            {"training": [0, 1, 2], "validation": [1, 2], "test": [0]},
            ["no validation images of 1 of 3 classes: cat", "no test images of 2 of 3 classes: dog, cow"],
        ),
    ],
)
def test_classes_without_images(parts, expected):
    arrays = {name: np.array(labels, np.int32) for name, labels in parts.items()}
    assert coverage.sentences(("cat", "dog", "cow"), arrays) == expected


def test_many_classes():
    names = [f"c{number}" for number in range(12)]
    assert coverage.sentences(names, {"test": np.array([3])}) == [
        "no test images of 11 of 12 classes: c0, c1, c2, c4, c5, ..."
    ]


def test_one_class():
    (sentence,) = coverage.sentences(["cat"], {"training": np.zeros(3, np.int32), "test": np.zeros(2, np.int32)})
    assert sentence.startswith("there is one class, cat: every answer is right, and an accuracy of 100% says nothing")
