"""The digits of scikit-learn and their fixed split."""

import numpy as np
import pytest
from sklearn import datasets

from famus_tf.config.data import DataConfig
from famus_tf.data.sets import by_name as sources
from famus_tf.data.sets import digits


def test_sizes_and_dtypes():
    source = digits.load()
    assert source.train_images.shape == (1397, 8, 8, 1)
    assert source.test_images.shape == (400, 8, 8, 1)
    assert source.train_images.dtype == source.test_images.dtype == np.uint8
    assert source.train_labels.dtype == source.test_labels.dtype == np.int32
    np.testing.assert_array_equal(np.bincount(source.test_labels), [40] * 10)
    assert source.class_names == tuple("0123456789")
    assert (source.name, source.crop_padding, source.flip) == ("digits", 1, False)


def test_every_image_is_in_one_split_with_its_own_label():
    source = digits.load()
    raw = datasets.load_digits()
    expected = sorted(
        (bytes(int(value * 255 / 16 + 0.5) for value in image), label)
        for image, label in zip(raw.data, raw.target, strict=True)
    )
    found = sorted(
        (image.tobytes(), label)
        for images, labels in ((source.train_images, source.train_labels), (source.test_images, source.test_labels))
        for image, label in zip(images, labels, strict=True)
    )
    assert found == expected


def test_the_split_is_fixed():
    np.random.seed(1)
    first = digits.load()
    np.random.seed(2)
    second = digits.load("elsewhere")
    np.testing.assert_array_equal(first.test_images, second.test_images)
    np.testing.assert_array_equal(first.train_images, second.train_images)


def test_statistics_are_of_the_training_images():
    source = digits.load()
    assert source.mean == pytest.approx([source.train_images.astype(float).mean()], rel=1e-9)
    assert source.std == pytest.approx([source.train_images.astype(float).std()], rel=1e-9)


def test_load_by_name():
    found = sources.load_source(DataConfig(dataset="digits"))
    np.testing.assert_array_equal(found.train_images, digits.load().train_images)
