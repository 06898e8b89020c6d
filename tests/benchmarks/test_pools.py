"""The images that the modes are timed on."""

import numpy as np
import pytest
from sklearn import datasets

from benchmarks import pools
from famus_tf.errors import InputError


@pytest.mark.parametrize("kind", pools.KINDS)
@pytest.mark.parametrize("wrong_labels", [True, False])
def test_images_labels_and_index(kind, wrong_labels):
    images, labels, index = pools.make(kind, (12, 9, 3), 10, 0, wrong_labels)
    assert images.shape[1:] == (12, 9, 3) and images.dtype == np.uint8 and np.ptp(images) > 200
    assert labels.shape == index.shape == images.shape[:1] and set(labels) == set(range(10))
    again = pools.make(kind, (12, 9, 3), 10, 0, wrong_labels)
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[1], labels)


def test_digits_are_those_of_scikit_learn_and_trusted_ones_are_others_with_right_labels():
    noisy, given, _ = pools.make("digits", (8, 8, 1), 10, 0, wrong_labels=True)
    trusted, right, _ = pools.make("digits", (8, 8, 1), 10, 0, wrong_labels=False)
    images, labels = datasets.load_digits(return_X_y=True)
    known = {tuple(np.round(image * 255 / 16)): label for image, label in zip(images, labels, strict=True)}
    assert len(noisy) + len(trusted) == len(images)
    assert [known[tuple(image.ravel())] for image in trusted] == list(right)
    truth = np.array([known[tuple(image.ravel())] for image in noisy])
    assert 0.30 < (truth != given).mean() < 0.42  # 40% drawn from all ten classes
    larger = pools.make("digits", (16, 16, 3), 10, 0, wrong_labels=False)[0]
    np.testing.assert_array_equal(larger[:, ::2, ::2, :1], trusted)


def test_digits_of_fewer_than_ten_classes_are_refused():
    with pytest.raises(InputError, match="--classes=4 with --pool=digits: expected 10 or more"):
        pools.make("digits", (8, 8, 1), 4, 0, wrong_labels=True)
