"""The dataset of a run: a source split into a noisy training set and a small clean meta set, with its test sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from famus_tf import errors
from famus_tf.data import streams
from famus_tf.data.formats import class_folders
from famus_tf.data.images import image_files, strong_augment
from famus_tf.data.labels import balance, long_tail, mw_net_protocol, noise_file
from famus_tf.data.labels import noise as noise_lib
from famus_tf.data.source import UNKNOWN, Conflict, Examples, Images, Source

if TYPE_CHECKING:
    from famus_tf.config.data import DataConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """The examples that a run trains, validates and tests on.

    Attributes:
        name: the source's name.
        train_images: uint8 [N, H, W, C], or files.
        train_labels: the given labels, perhaps wrong, int32 [N].
        train_true_labels: int32 [N], `UNKNOWN` where all that is known is that the given label is wrong; None where
            the true labels are not known.
        train_index: the position in the source's training set, int64 [N], rising but for the probes.
        meta_images: uint8 [m, H, W, C], or files; disjoint from the training images.
        meta_labels: true labels, int32 [m].
        meta_index: the position in the source's training set, int64 [m], rising; beyond its end for a meta set that
            the source has.
        test_images: uint8 [M, H, W, C], or files.
        test_labels: int32 [M].
        class_names: one for each class id.
        mean, std: per channel, in units of 0..255.
        crop_padding: pixels of padding for the random crop.
        flip: whether to mirror images at random.
        padding_mode: of the crop; see `augment.crop_and_flip`.
        strong: what comes upon training images after the crop; None: nothing.
        validation: examples to choose the epoch by, or None.
        other_tests: further test sets, by name.
        left_out, files, transform, test_is_drawn, notes, not_read, conflicts: as in `Source`.
        num_probes: how many examples at the end of the training set are trusted ones (`probes.with_probes`).
        meta_is_checked: whether somebody knows that the labels of the meta set are right.
    """

    name: str
    train_images: Images
    train_labels: np.ndarray
    train_true_labels: np.ndarray | None
    train_index: np.ndarray
    meta_images: Images
    meta_labels: np.ndarray
    meta_index: np.ndarray
    test_images: Images
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool
    padding_mode: str = "zero"
    strong: strong_augment.Policy | None = None
    validation: Examples | None = None
    other_tests: Mapping[str, Examples] = dataclasses.field(default_factory=dict)
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    test_is_drawn: bool = False
    notes: tuple[str, ...] = ()
    not_read: Mapping[class_folders.LeftOut, int] = dataclasses.field(default_factory=dict)
    num_probes: int = 0
    meta_is_checked: bool = True
    files: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    transform: image_files.Transform | None = None
    conflicts: tuple[Conflict, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def noisy_labels(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The given labels and the true ones, None where they are not known, of all training images but probes."""
        count = len(self.train_labels) - self.num_probes
        true = self.train_true_labels
        return self.train_labels[:count], None if true is None else true[:count]

    @property
    def is_clean(self) -> np.ndarray | None:
        """Which training labels are right, bool [N]; None where that is not known."""
        return None if self.train_true_labels is None else self.train_labels == self.train_true_labels

    @property
    def actual_noise_rate(self) -> float | None:
        """The share of training labels, but those of probes, that are wrong; None where that is not known."""
        given, true = self.noisy_labels
        return None if true is None else float(np.mean(given != true))

    def describe(self) -> str:
        """Its name, sizes and share of wrong labels, in one line."""
        counts = np.bincount(self.train_labels, minlength=self.num_classes)
        size = "x".join(map(str, self.image_shape))
        rate = self.actual_noise_rate
        probes = f" ({self.num_probes:,} of them trusted)" if self.num_probes else ""
        others = " of the others" if self.num_probes else ""
        wrong = "true labels not known" if rate is None else f"{rate:.2%} of the labels{others} wrong"
        return (
            f"{self.name}: {len(self.train_labels):,} training images{probes} of {size} in {self.num_classes} classes "
            f"of {counts.min():,} to {counts.max():,}, {wrong}; "
            + ", ".join(f"{len(examples.labels):,} {name}" for name, examples in self.held_out.items())
            + " images"
        )

    def cautions(self) -> list[str]:
        """What is to be known of it before its figures are believed, a sentence each."""
        if self.meta_is_checked or not len(self.meta_labels):
            return []
        better = {"folder": "a folder meta/ of class folders", "list": "a list, option `meta_list`"}.get(self.name)
        advice = f"; better: {better}, of images whose labels are known to be right" if better else ""
        return [
            f"the {len(self.meta_labels):,} meta images are taken out of the training images: their labels are as "
            f"given and trusted, though nobody has checked them{advice}"
        ]

    @property
    def held_out(self) -> dict[str, Examples]:
        """All examples that are not trained on, by what they are for: "meta", "validation", "test" and others."""
        named = {"meta": Examples(self.meta_images, self.meta_labels), "validation": self.validation}
        named |= {"test": Examples(self.test_images, self.test_labels), **self.other_tests}
        return {name: examples for name, examples in named.items() if examples is not None}

    @property
    def reading(self) -> image_files.Transform | None:
        """From a file to an image; None where the images come from no files."""
        return next(
            (
                images.transform
                for images in (self.test_images, self.train_images)
                if isinstance(images, image_files.ImageFiles)
            ),
            self.transform,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return tuple(self.train_images.shape[1:])


# Fields that a source and its split have alike.
_INHERITED = (
    *("name", "test_images", "test_labels", "class_names", "mean", "std"),
    *("crop_padding", "flip", "padding_mode", "other_tests", "left_out"),
    *("test_is_drawn", "not_read", "conflicts", "transform"),
)


def make_dataset(source: Source, data: DataConfig, seed: int) -> Dataset:
    """Splits a source: a clean meta set first, then the long tail and the limit on the rest, then noise on its labels.

    Each of them draws from another random stream, so that neither the noise nor the limit changes the meta set. Of what
    is left a share may be held out last, with the labels that it was given, to choose the epoch by.
    The meta set is class-balanced and taken out of the training set, as in Shu et al., "Meta-Weight-Net" (2019).

    Args:
        source: the data set.
        data: the flags of the data: noise, long tail, `train_limit`, `validation_share` and `meta_per_class`. Of a
            source with a meta set all of that is taken, whatever the number.
        seed: the seed of the run.

    Returns:
        The dataset.

    Raises:
        errors.InputError: a class has too few images for the meta set, nothing or less than
            `train_limit` remains for training, or the data set does not allow the noise.
    """
    given_meta = _given_meta_set(source, data.meta_per_class, seed)
    meta_per_class = 0 if given_meta else data.meta_per_class
    trusted = _trusted(source, meta_per_class)
    published = None
    if data.noise_protocol == "mw_net":
        published = _published_labels(source, data, meta_per_class, seed)
        meta_index = published[0][_may_be_trained_on(source)[published[0]]]
    else:
        rng = streams.generator(seed, "meta set")
        meta_index = trusted[balance.draw(source.train_labels[trusted], meta_per_class, rng)]
    rest = np.setdiff1d(np.flatnonzero(_may_be_trained_on(source)), meta_index)
    rest, copies = _without_copies(source, meta_index, rest)
    if data.imbalance != 1:
        rest = _long_tail(source, data, rest, streams.generator(seed, "long tail"))
    train_index = _limited(source, meta_index, rest, data.train_limit, streams.generator(seed, "train limit"))
    if published is not None:
        labels = published[1][train_index]
    else:
        labels = _noisy_labels(source, data, train_index, streams.generator(seed, "label noise"))
    taken_out = Examples(source.train_images[meta_index], source.train_labels[meta_index])
    meta, meta_index = given_meta or (taken_out, meta_index)
    judging = _judging(source, data.validation_share, len(train_index), streams.generator(seed, "validation"))
    judging_index, train_index = train_index[judging], train_index[~judging]
    judged = Examples(source.train_images[judging_index], labels[judging])
    labels = labels[~judging]
    return Dataset(
        train_images=source.train_images[train_index],
        train_labels=labels,
        train_true_labels=_true_labels(source, data, train_index),
        train_index=train_index,
        meta_images=meta.images,
        meta_labels=meta.labels.astype(np.int32),
        meta_index=meta_index,
        meta_is_checked=given_meta is not None or _labels_are_known(source, data),
        validation=judged if len(judging_index) else source.validation,
        files=_files(source, train_index, meta_index, judging_index),
        notes=(*source.notes, *copies),
        **{name: getattr(source, name) for name in _INHERITED},
    )


def _judging(source: Source, share: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Which of so many training examples choose the epoch and are not trained on, bool [count]."""
    chosen = np.zeros(count, bool)
    size = round(share * count)
    if share and source.validation is not None:
        raise errors.InputError(
            f"option `validation_share`={share} with {source.name}, which has a validation set: expected 0"
        )
    if share and not 0 < size < count:
        raise errors.InputError(
            f"option `validation_share`={share} of {count} training images is {size}: expected some, and not all"
        )
    chosen[rng.permutation(count)[:size]] = True
    return chosen


def _files(
    source: Source, train_index: np.ndarray, meta_index: np.ndarray, judging_index: np.ndarray
) -> dict[str, np.ndarray]:
    """The files of the decoded images of each part of the split."""
    if not source.files:
        return {}
    # The positions of a meta set that the source has count on from the end of its training set.
    drawn_from = np.concatenate([source.files["training"], source.files.get("meta", np.zeros(0, "S1"))])
    drawn = {"training": drawn_from[train_index], "meta": drawn_from[meta_index]}
    if len(judging_index):
        drawn["validation"] = drawn_from[judging_index]
    return {**source.files, **drawn}


def _true_labels(source: Source, data: DataConfig, train_index: np.ndarray) -> np.ndarray | None:
    labels = source.train_labels[train_index].astype(np.int32)
    is_clean = source.train_is_clean
    if is_clean is not None:
        return np.where(is_clean[train_index], labels, np.int32(UNKNOWN))
    return labels if _labels_are_known(source, data) else None


def _labels_are_known(source: Source, data: DataConfig) -> bool:
    """Whether it is known which labels are right; noise that is added to labels takes them for the truth."""
    return source.labels_are_true or source.train_is_clean is not None or data.noise != "none"


def _may_be_trained_on(source: Source) -> np.ndarray:
    """Training images that are in no other set, bool [N]."""
    return np.ones(len(source.train_labels), bool) if source.not_trained_on is None else ~source.not_trained_on


def _without_copies(source: Source, meta_index: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Those of the positions `rest` whose images are not in the meta set drawn from them, and a sentence."""
    if source.same_image is None:
        return rest, []
    copies = np.isin(source.same_image[rest], source.same_image[meta_index])
    if not copies.any():
        return rest, []
    said = f"{copies.sum():,} training images are copies of images that are drawn for the meta set; they are taken out"
    return rest[~copies], [said]


def _has_one_label(source: Source) -> np.ndarray:
    """Training images without a copy of another label, bool [N]."""
    if source.same_image is None or not source.conflicts:
        return np.ones(len(source.train_labels), bool)
    _, group = np.unique(source.same_image, return_inverse=True)
    pairs = np.unique(np.stack([group, source.train_labels]), axis=1)
    return np.bincount(pairs[0])[group] == 1


def _trusted(source: Source, per_class: int) -> np.ndarray:
    """Positions of the training images that the meta set is drawn from."""
    clean = source.train_is_clean
    usable = _may_be_trained_on(source) & _has_one_label(source)
    positions = np.flatnonzero(usable if clean is None else usable & clean)
    what = "training" if clean is None else "rightly labelled training"
    _check_meta(source.train_labels[positions], per_class, source, what)
    return positions


def _given_meta_set(source: Source, per_class: int, seed: int) -> tuple[Examples, np.ndarray] | None:
    """The meta set of a source that has one, and its positions, counted from the end of the training set."""
    if source.meta is None:
        return None
    first = len(source.train_labels)
    if not source.meta_is_pool:
        return source.meta, first + np.arange(len(source.meta.labels), dtype=np.int64)
    if per_class and not len(source.meta.labels):
        raise errors.InputError(
            f"{source.name}: which labels are right is not known in this form of it, expected "
            "option `meta_per_class`=0 with option `method`=cross_entropy"
        )
    _check_meta(source.meta.labels, per_class, source, "trusted")
    chosen = balance.draw(source.meta.labels, per_class, streams.generator(seed, "meta set"))
    return Examples(source.meta.images[chosen], source.meta.labels[chosen]), first + chosen


def _published_labels(
    source: Source, data: DataConfig, meta_per_class: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Meta positions, rising, and the label of every training image by its position."""
    if source.train_is_clean is not None:
        raise errors.InputError(
            f"option `noise_protocol`=mw_net with {source.name}, whose labels are noisy as they come: expected "
            "independent"
        )
    meta, train, noisy = mw_net_protocol.split_and_corrupt(
        source.train_labels,
        _classes(source),
        meta_per_class=meta_per_class,
        kind=data.noise,
        rate=data.noise_rate,
        seed=seed,
    )
    labels = source.train_labels.astype(np.int32)
    labels[train] = noisy
    return np.sort(meta).astype(np.int64), labels


def _noisy_labels(source: Source, data: DataConfig, train_index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    true_labels = source.train_labels[train_index].astype(np.int32)
    classes = _classes(source)
    if data.noise == "none":
        return true_labels.copy()
    if data.noise == "file":
        return noise_file.read(data.noise_file, data.noise_key, source.train_labels, classes.count)[train_index]
    if data.noise == "symmetric":
        return noise_lib.symmetric(true_labels, data.noise_rate, classes.count, data.noise_includes_true_label, rng)
    matrix = noise_lib.transition_matrix(data.noise, data.noise_rate, classes, data.superclasses, rng)
    return noise_lib.draw(true_labels, matrix, rng)


def _classes(source: Source) -> noise_lib.Classes:
    return source.classes or noise_lib.Classes(len(source.class_names))


def _long_tail(source: Source, data: DataConfig, rest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Those of the positions `rest` that the long tail keeps, rising."""
    labels = source.train_labels[rest]
    available = source.train_labels if data.imbalance_head == "whole" else labels
    counts = long_tail.class_counts(
        int((available == 0).sum()), len(source.class_names), data.imbalance, data.imbalance_shape
    )
    return rest[long_tail.keep(labels, counts, rng)]


def _check_meta(labels: np.ndarray, per_class: int, source: Source, what: str) -> None:
    counts = np.bincount(labels, minlength=len(source.class_names))
    for c, class_name in enumerate(source.class_names):
        if counts[c] < per_class:
            raise errors.InputError(
                f"class {c} ({class_name}) of {source.name} has {counts[c]} {what} images, expected at least the "
                f"{per_class} that the meta set asks of each class"
            )


def _limited(
    source: Source, meta_index: np.ndarray, rest: np.ndarray, limit: int, rng: np.random.Generator
) -> np.ndarray:
    """Those of the positions `rest` that the limit leaves, int64, rising."""
    if rest.size == 0:
        raise errors.InputError(
            f"the meta set of {len(meta_index)} images takes all {len(source.train_labels)} training images of "
            f"{source.name}, expected a smaller one"
        )
    if limit > rest.size:
        raise errors.InputError(
            f"train_limit is {limit}, expected at most the {rest.size} training images of {source.name} that the meta "
            "set leaves"
        )
    if limit:
        rest = rest[balance.subset(source.train_labels[rest], limit, rng)]
    return rest.astype(np.int64)
