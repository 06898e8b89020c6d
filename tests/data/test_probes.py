"""Trusted examples among the training set: which they are, what stays, what is refused."""

import dataclasses

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.config import config
from famus_tf.data import probes
from famus_tf.data.images import image_files
from famus_tf.experiment import build_data


@pytest.fixture(scope="module")
def dataset():
    values = {"dataset": "digits", "noise": "symmetric", "noise_rate": 0.5, "meta_per_class": 5, "epochs": 1}
    return build_data.make_dataset(config.from_values(values).data, 0)


@pytest.mark.parametrize(("share", "moved"), [(0.4, 2), (0.01, 1), (0.99, 4)])
def test_of_each_class_a_share_is_moved_and_something_stays(dataset, share, moved):
    found = probes.with_probes(dataset, share, seed=3)
    assert found.num_probes == 10 * moved
    np.testing.assert_array_equal(np.bincount(found.train_labels[-found.num_probes :]), [moved] * 10)
    np.testing.assert_array_equal(np.bincount(found.meta_labels), [5 - moved] * 10)
    count = len(dataset.train_labels)
    for name in ("train_images", "train_labels", "train_true_labels", "train_index"):
        np.testing.assert_array_equal(getattr(found, name)[:count], getattr(dataset, name))
    assert found.is_clean[count:].all()
    together = np.concatenate([found.train_index[count:], found.meta_index])
    np.testing.assert_array_equal(np.sort(together), dataset.meta_index)
    place = {index: number for number, index in enumerate(dataset.meta_index)}
    for images, labels, index in (
        (found.train_images[count:], found.train_labels[count:], found.train_index[count:]),
        (found.meta_images, found.meta_labels, found.meta_index),
    ):
        rows = [place[one] for one in index]
        np.testing.assert_array_equal(images, dataset.meta_images[rows])
        np.testing.assert_array_equal(labels, dataset.meta_labels[rows])
    assert found.actual_noise_rate == dataset.actual_noise_rate
    assert f"{count + found.num_probes:,} training images ({found.num_probes} of them trusted)" in found.describe()


def test_the_seed_decides_which(dataset):
    one, again, other = (probes.with_probes(dataset, 0.4, seed).train_index for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_files_stay_with_their_images(dataset):
    count = len(dataset.meta_labels)
    names = {
        name: np.array([b"%s%d" % (name.encode(), k) for k in range(n)])
        for name, n in (("training", len(dataset.train_labels)), ("meta", count))
    }
    transform = image_files.Transform(8, 8)
    with_files = dataclasses.replace(
        dataset,
        files=names,
        train_images=image_files.ImageFiles(names["training"], transform),
        meta_images=image_files.ImageFiles(names["meta"], transform),
    )
    found = probes.with_probes(with_files, 0.4, 0)
    np.testing.assert_array_equal(found.files["training"], found.train_images.paths)
    np.testing.assert_array_equal(found.files["meta"], found.meta_images.paths)
    assert set(found.files["training"][-20:]) | set(found.files["meta"]) == set(names["meta"])


def test_too_few_trusted_images_or_of_another_kind_are_refused(dataset):
    single = [np.flatnonzero(dataset.meta_labels == label)[0] for label in range(10)]
    few = {name: getattr(dataset, name)[single] for name in ("meta_images", "meta_labels", "meta_index")}
    with pytest.raises(errors.InputError, match="found 10 trusted images in 10 classes, expected 2 or more of a class"):
        probes.with_probes(dataclasses.replace(dataset, **few), 0.4, 0)
    files = image_files.ImageFiles(np.array(["x"] * 50), image_files.Transform(8, 8))
    with pytest.raises(errors.InputError, match="not kept alike"):
        probes.with_probes(dataclasses.replace(dataset, meta_images=files), 0.4, 0)
