"""Batches of some of the training examples, passes over them, and samples of an epoch; on one device and shared."""

import numpy as np
import pytest
import tensorflow as tf

from famus_tf import errors
from famus_tf.config import config
from famus_tf.experiment import build_data, supervision

_FLAGS = {"dataset": "digits", "noise": "symmetric", "noise_rate": 0.5, "train_limit": 60, "meta_per_class": 1}
_FLAGS |= {"batch_size": 6, "meta_batch_size": 4, "eval_batch_size": 7, "epochs": 2, "seed": 4}
_AMONG = np.array([1, 4, 5, 9, 20, 33, 34, 35, 36, 58, 59])


@pytest.fixture(scope="module")
def dataset():
    settings = config.from_values(_FLAGS)
    return build_data.make_dataset(settings.data, settings.run.seed)


def _feed(dataset, strategy=None, number=0, **changes):
    settings = config.from_values(_FLAGS | changes)
    seed, strategy = supervision.seed_of(settings.run.seed, number), strategy or tf.distribute.get_strategy()
    return build_data.make_feed(settings.optimization, dataset, strategy, seed, settings.run.eval_batch_size)


def _whole(strategy, batches):
    """The batches with the replicas' shares joined."""
    for batch in batches:
        parts = [strategy.experimental_local_results(part) for part in batch]
        assert all(len({len(share) for share in shares}) == 1 for shares in parts)
        yield tuple(np.concatenate([share.numpy() for share in shares]) for shares in parts)


def _assert_same(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("views", [1, 2])
def test_batches_of_some_examples(dataset, two_replicas, views):
    alone = tf.distribute.get_strategy()
    known = np.random.default_rng(0).uniform(size=60).astype(np.float32)

    def drawn(first=0, strategy=alone, number=0, stream="labelled 3"):
        feed = _feed(dataset, strategy, number)
        batches = feed.drawn(stream, _AMONG, 4, first, 5, views=views, values=known)
        return list(_whole(strategy, batches))

    whole = drawn()
    assert len(whole) == 5
    for start in (0, 2):  # two batches of four of eleven examples, none twice
        indices = np.concatenate([index for *_, index in whole[start : start + 2]])
        assert len(set(indices)) == 8 and set(indices) <= set(_AMONG)
    for images, labels, values, index in whole:
        assert images.shape == ((4, 2, 8, 8, 1) if views > 1 else (4, 8, 8, 1)) and images.dtype == np.uint8
        np.testing.assert_array_equal(labels, dataset.train_labels[index])
        np.testing.assert_array_equal(values, known[index])
    _assert_same(drawn(first=3), whole[3:])
    _assert_same(drawn(strategy=two_replicas), whole)
    for other in (drawn(number=1), drawn(stream="labelled 4")):
        assert [list(index) for *_, index in other] != [list(index) for *_, index in whole]


def test_without_values_there_are_three_parts(dataset):
    ((images, labels, index),) = _feed(dataset).drawn("warm-up 0", np.arange(60), 60, 0, 1)
    assert images.shape == (60, 8, 8, 1) and sorted(index.numpy()) == list(range(60))
    np.testing.assert_array_equal(labels, dataset.train_labels[index])


def test_more_than_there_are_are_refused(dataset):
    with pytest.raises(errors.InputError, match="labelled 3: the batch size is 12, expected at most the 11"):
        _feed(dataset).drawn("labelled 3", _AMONG, 12, 0, 1)


@pytest.mark.parametrize("among", [None, _AMONG], ids=["all", "some"])
def test_a_pass_over_the_examples_as_they_are_labelled(dataset, two_replicas, among):
    alone, positions = tf.distribute.get_strategy(), np.arange(60) if among is None else among
    feed = _feed(dataset)
    found = [tuple(part.numpy() for part in batch) for batch in feed.scan(among)]
    images, labels, weight = (np.concatenate(parts) for parts in zip(*found, strict=True))
    count = len(positions)
    assert {len(part) for part, _, _ in found} == {7} and len(images) == -(-count // 7) * 7
    np.testing.assert_array_equal(weight, np.arange(len(images)) < count)
    np.testing.assert_array_equal(images[:count], dataset.train_images[positions])
    np.testing.assert_array_equal(labels[:count], dataset.train_labels[positions])
    assert (dataset.train_labels[positions] != dataset.train_true_labels[positions]).any()
    _assert_same(_whole(alone, feed.scan(among)), found)  # a second time
    pairs = list(_whole(two_replicas, _feed(dataset, two_replicas).scan(among)))
    assert {len(part) for part, _, _ in pairs} == {8}
    for found, expected in zip(zip(*pairs, strict=True), (images, labels, weight), strict=True):
        np.testing.assert_array_equal(np.concatenate(found)[:count], expected[:count])
        assert not np.concatenate(found)[count:].any()


def test_passes_over_other_examples_are_not_mixed_up(dataset):
    feed = _feed(dataset)
    for among in (_AMONG, _AMONG + 0, np.arange(20, 31), None, _AMONG):
        labels = np.concatenate([labels for _, labels, _ in feed.scan(among)])
        expected = dataset.train_labels if among is None else dataset.train_labels[among]
        np.testing.assert_array_equal(labels[: len(expected)], expected)


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_an_epochs_sample(dataset, sampling):
    flags = {"sampling": sampling, "batches_per_epoch": 5}
    feed = _feed(dataset, **flags)
    samples = [feed.sample(epoch) for epoch in range(4)]
    for sample in samples:
        assert len(sample) == 30 and (np.diff(sample) > 0).all() and sample[0] >= 0 and sample[-1] < 60
    counts = [np.bincount(dataset.train_labels[sample], minlength=10) for sample in samples]
    assert np.bincount(dataset.train_labels).min() >= 3
    assert all((one == 3).all() for one in counts) is (sampling == "balanced")
    assert len({tuple(sample) for sample in samples}) == 4
    np.testing.assert_array_equal(_feed(dataset, **flags).sample(2), samples[2])
    assert list(_feed(dataset, seed=5, **flags).sample(2)) != list(samples[2])


def test_without_a_limit_an_epochs_sample_is_everything(dataset):
    assert _feed(dataset).sample(3) is None
