"""The split into training and meta set."""

import dataclasses

import numpy as np
import pytest

from famus_tf import errors
from famus_tf.config.data import DataConfig
from famus_tf.data import dataset
from famus_tf.data.source import UNKNOWN, Examples, Source, channel_statistics

_COUNTS = (30, 12, 45, 20)


def _source(counts=_COUNTS):
    """Every image carries its own position in its pixels, so that a mix-up shows."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    images = np.zeros((len(labels), 2, 3, 3), np.uint8)
    images[:] = np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Source(
        name="toy",
        train_images=images,
        train_labels=labels,
        test_images=images[:5],
        test_labels=labels[:5],
        class_names=tuple("abcdefgh"[: len(counts)]),
        mean=(1.0, 2.0, 3.0),
        std=(4.0, 5.0, 6.0),
        crop_padding=2,
        flip=True,
    )


def _make(source, **changes):
    flags = {"meta_per_class": 5, "seed": 0} | changes
    if flags.get("noise", "none") != "none":
        flags.setdefault("noise_rate", 0.4)
    return dataset.make_dataset(source, seed=flags.pop("seed"), data=DataConfig(**flags))


def test_channel_statistics_against_numpy():
    images = np.random.default_rng(0).integers(0, 256, (5000, 3, 2, 3), np.uint8)
    images[..., 1] //= 3
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2), dtype=np.float64))
    np.testing.assert_allclose(std, images.std(axis=(0, 1, 2), dtype=np.float64))


def test_disjoint_balanced_and_complete_at_many_seeds():
    source = _source()
    meta_sets = set()
    for seed in range(40):
        made = _make(source, noise="symmetric", seed=seed)
        assert not set(made.train_index) & set(made.meta_index)
        assert sorted([*made.train_index, *made.meta_index]) == list(range(sum(_COUNTS)))
        np.testing.assert_array_equal(np.bincount(made.meta_labels), [5] * 4)
        np.testing.assert_array_equal(made.meta_labels, source.train_labels[made.meta_index])
        np.testing.assert_array_equal(made.train_true_labels, source.train_labels[made.train_index])
        np.testing.assert_array_equal(made.train_images[:, 0, 0, 0], made.train_index)
        np.testing.assert_array_equal(made.meta_images[:, 1, 2, 2], made.meta_index)
        meta_sets.add(tuple(made.meta_index))
    assert len(meta_sets) == 40


def test_fields_and_dtypes():
    source = _source()
    made = _make(source)
    assert made.num_classes == 4
    assert made.image_shape == (2, 3, 3)
    for name in ("name", "class_names", "mean", "std", "crop_padding", "flip"):
        assert getattr(made, name) == getattr(source, name)
    for name, dtype in (
        ("train_images", np.uint8),
        ("train_labels", np.int32),
        ("train_true_labels", np.int32),
        ("train_index", np.int64),
        ("meta_images", np.uint8),
        ("meta_labels", np.int32),
        ("meta_index", np.int64),
        ("test_images", np.uint8),
        ("test_labels", np.int32),
    ):
        assert getattr(made, name).dtype == dtype, name
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"


def test_empty_meta_set():
    made = _make(_source(), meta_per_class=0)
    assert made.meta_images.shape == (0, 2, 3, 3)
    assert made.meta_labels.shape == made.meta_index.shape == (0,)
    assert len(made.train_index) == sum(_COUNTS)


def test_noise_is_on_the_training_labels_only():
    source = _source((300, 300, 300))
    before = source.train_labels.copy()
    made = _make(source, noise="symmetric", noise_rate=0.6, noise_includes_true_label=False)
    assert np.mean(made.train_labels != made.train_true_labels) == pytest.approx(0.6, abs=0.06)
    np.testing.assert_array_equal(source.train_labels, before)
    np.testing.assert_array_equal(made.meta_labels, before[made.meta_index])
    np.testing.assert_array_equal(made.test_labels, source.test_labels)
    clean = _make(source, noise="none")
    np.testing.assert_array_equal(clean.train_labels, clean.train_true_labels)
    assert not np.shares_memory(clean.train_labels, clean.train_true_labels)


def test_streams_are_independent():
    source = _source()
    plain = _make(source, train_limit=40)
    noisy = _make(source, train_limit=40, noise="symmetric", noise_rate=0.9)
    np.testing.assert_array_equal(plain.meta_index, noisy.meta_index)
    np.testing.assert_array_equal(plain.train_index, noisy.train_index)
    np.testing.assert_array_equal(plain.meta_index, _make(source, train_limit=20).meta_index)
    again = _make(source, train_limit=40, noise="symmetric", noise_rate=0.9)
    np.testing.assert_array_equal(noisy.train_labels, again.train_labels)
    other = _make(source, train_limit=40, noise="symmetric", noise_rate=0.9, seed=1)
    assert list(noisy.train_labels) != list(other.train_labels)
    assert list(noisy.train_index) != list(other.train_index)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [1, 3, 4, 10, 28, 29, 50, 75, 86, 87])
def test_limit_is_as_even_as_the_classes_allow(limit, seed):
    made = _make(_source(), train_limit=limit, seed=seed)
    available = np.array(_COUNTS) - 5
    counts = np.bincount(made.train_true_labels, minlength=4)
    assert counts.sum() == limit == len(set(made.train_index))
    assert np.all(counts <= available)
    # Even: a class below the largest share by more than one has given all it has.
    for c in range(4):
        assert counts[c] >= counts.max() - 1 or counts[c] == available[c]


def test_the_remainder_goes_to_random_classes():
    seen = {tuple(np.bincount(_make(_source(), train_limit=5, seed=s).train_true_labels)) for s in range(60)}
    assert seen == {(2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta_per_class": 13}, r"class 1 \(b\) of toy has 12 training images, expected at least the 13"),
        ({"meta_per_class": -1}, "--meta_per_class=-1: expected a whole number, 0 or more"),
        ({"train_limit": -2}, "--train_limit=-2: expected a whole number, 0 or more"),
        ({"train_limit": 88}, "train_limit is 88, expected at most the 87 training images"),
        ({"noise": "pepper"}, "--noise=pepper: expected one of none, symmetric, asymmetric"),
        ({"noise": "symmetric", "noise_rate": 1.5}, "--noise_rate=1.5: expected a number in"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(errors.InputError, match=message):
        _make(_source(), **changes)


def test_meta_set_of_all_images():
    with pytest.raises(errors.InputError, match="meta set of 12 images takes all 12 training images of toy"):
        _make(_source((4, 4, 4)), meta_per_class=4)


def test_actual_noise_rate_and_description():
    made = _make(_source((300, 300, 300)), noise="symmetric", noise_rate=0.6)
    wrong = np.mean(made.train_labels != made.train_true_labels)
    assert made.actual_noise_rate == wrong
    text = "toy: 885 training images of 2x3x3 in 3 classes of"
    assert made.describe().startswith(text) and f"{wrong:.2%} of the labels wrong; 15 meta" in made.describe()
    unknown = dataclasses.replace(made, train_true_labels=None)
    assert unknown.actual_noise_rate is None and "true labels not known" in unknown.describe()


def test_a_meta_set_that_nobody_has_checked_is_said_to_be_one():
    as_they_come = dataclasses.replace(_source(), name="folder", labels_are_true=False)
    (caution,) = _make(as_they_come).cautions()
    assert caution.startswith(
        "the 20 meta images are taken out of the training images: their labels are as given and t"
    )
    assert caution.endswith("; better: a folder meta/ of class folders, of images whose labels are known to be right")
    (caution,) = _make(dataclasses.replace(as_they_come, name="webvision")).cautions()
    assert caution.endswith("nobody has checked them")
    trusted = Examples(as_they_come.test_images, as_they_come.test_labels)
    known = np.ones(len(as_they_come.train_labels), bool)
    for source, changes in (
        (_source(), {}),
        (as_they_come, {"meta_per_class": 0}),
        (as_they_come, {"noise": "symmetric"}),
        (dataclasses.replace(as_they_come, meta=trusted), {}),
        (dataclasses.replace(as_they_come, train_is_clean=known), {}),
    ):
        assert _make(source, **changes).cautions() == []


def test_long_tail_comes_before_noise_and_after_the_meta_set():
    source = _source((205, 205, 205))
    plain = _make(source, imbalance=10)
    np.testing.assert_array_equal(np.bincount(plain.train_true_labels), [200, 63, 20])
    np.testing.assert_array_equal(plain.meta_index, _make(source).meta_index)
    assert not set(plain.train_index) & set(plain.meta_index)
    noisy = _make(source, imbalance=10, noise="symmetric", noise_rate=0.5)
    np.testing.assert_array_equal(noisy.train_index, plain.train_index)
    assert noisy.actual_noise_rate > 0.2
    # The whole class counts, but what the meta set has is gone.
    whole = _make(source, imbalance=10, imbalance_head="whole")
    np.testing.assert_array_equal(np.bincount(whole.train_true_labels), [200, 64, 20])
    without = _make(source, imbalance=10, imbalance_head="whole", meta_per_class=0)
    np.testing.assert_array_equal(np.bincount(without.train_true_labels), [205, 64, 20])
    step = _make(source, imbalance=10, imbalance_shape="step")
    np.testing.assert_array_equal(np.bincount(step.train_true_labels), [200, 20, 20])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("protocol", ["independent", "mw_net"])
def test_no_meta_image_in_training(protocol, seed):
    made = _make(_source((300, 300, 300)), noise="symmetric", noise_protocol=protocol, seed=seed)
    assert not set(made.train_index) & set(made.meta_index)
    assert len(made.train_index) + len(made.meta_index) == 900
    np.testing.assert_array_equal(np.bincount(made.meta_labels), [5] * 3)
    assert 0.1 < made.actual_noise_rate < 0.45


def _partly_wrong(source, share=0.5):
    clean = np.random.default_rng(1).random(len(source.train_labels)) >= share
    return dataclasses.replace(source, labels_are_true=False, train_is_clean=clean), clean


@pytest.mark.parametrize("seed", range(10))
def test_meta_set_is_drawn_from_labels_known_to_be_right(seed):
    source, clean = _partly_wrong(_source((60, 24, 90, 40)))
    made = _make(source, seed=seed, train_limit=80)
    np.testing.assert_array_equal(np.bincount(made.meta_labels), [5] * 4)
    assert clean[made.meta_index].all() and not set(made.meta_index) & set(made.train_index)
    np.testing.assert_array_equal(made.meta_images[:, 0, 0, 0], made.meta_index)
    given = source.train_labels[made.train_index]
    np.testing.assert_array_equal(made.train_labels, given)
    np.testing.assert_array_equal(made.train_true_labels, np.where(clean[made.train_index], given, UNKNOWN))
    assert made.actual_noise_rate == pytest.approx(1 - clean[made.train_index].mean())


def test_too_few_labels_known_to_be_right():
    source, clean = _partly_wrong(_source((60, 24, 90, 40)))
    few = int((clean & (source.train_labels == 1)).sum())
    with pytest.raises(
        errors.InputError, match=rf"\(b\) of toy has {few} rightly labelled training images, expected at"
    ):
        _make(source, meta_per_class=few + 1)
    with pytest.raises(errors.InputError, match="option `noise_protocol`=mw_net with toy, whose labels are noisy"):
        _make(source, noise_protocol="mw_net")
    # Labels that were wrong before remain so, whatever is added.
    noisy = _make(source, noise="symmetric", noise_rate=0.5)
    assert np.all((noisy.train_true_labels == UNKNOWN) == ~clean[noisy.train_index])


def test_pool_of_trusted_examples():
    source, pool = _source(), _source((9, 7, 8, 6))
    trusted = Examples(pool.train_images, pool.train_labels)
    source = dataclasses.replace(source, meta=trusted, meta_is_pool=True)
    made = _make(source)
    assert len(made.train_labels) == sum(_COUNTS)
    np.testing.assert_array_equal(np.bincount(made.meta_labels), [5] * 4)
    positions = made.meta_index - sum(_COUNTS)
    np.testing.assert_array_equal(made.meta_labels, pool.train_labels[positions])
    np.testing.assert_array_equal(made.meta_images[:, 0, 0, 0], positions)
    with pytest.raises(errors.InputError, match=r"class 3 \(d\) of toy has 6 trusted images, expected at least the 7"):
        _make(source, meta_per_class=7)
    empty = dataclasses.replace(source, meta=Examples(pool.train_images[:0], pool.train_labels[:0]))
    assert len(_make(empty, meta_per_class=0).meta_labels) == 0
    with pytest.raises(errors.InputError, match=r"toy: which labels are right is not known .* `meta_per_class`=0"):
        _make(empty)


def test_a_share_is_held_out_with_the_labels_as_given():
    source = _source()
    whole = _make(source, noise="symmetric", seed=3)
    made = _make(source, noise="symmetric", seed=3, validation_share=0.25)
    held = made.validation
    assert len(held.labels) == round(0.25 * len(whole.train_labels))
    given = dict(zip(whole.train_index.tolist(), whole.train_labels.tolist(), strict=True))
    index = held.images[:, 0, 0, 0].astype(int)
    assert sorted([*made.train_index, *index]) == sorted(whole.train_index)
    assert [given[k] for k in index.tolist()] == held.labels.tolist()
    assert [given[k] for k in made.train_index.tolist()] == made.train_labels.tolist()
    np.testing.assert_array_equal(made.meta_index, whole.meta_index)
    assert list(made.held_out) == ["meta", "validation", "test"]
    again = _make(source, noise="symmetric", seed=4, validation_share=0.25).validation
    assert not np.array_equal(again.images, held.images)


def test_a_share_that_is_none_or_all_is_refused():
    for share in (0.001, 0.999):
        with pytest.raises(errors.InputError, match=r"option `validation_share`=.*: expected some, and not all"):
            _make(_source(), validation_share=share)
    source = dataclasses.replace(_source(), validation=Examples(_source().test_images, _source().test_labels))
    with pytest.raises(errors.InputError, match="toy, which has a validation set: expected 0"):
        _make(source, validation_share=0.5)
    assert _make(source).validation is source.validation
