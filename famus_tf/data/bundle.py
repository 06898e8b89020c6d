"""What a data set is, and its split into a noisy training set and a small clean meta set."""

from __future__ import annotations

import dataclasses

import numpy as np

from famus_tf import errors
from famus_tf.data import noise as noise_lib
from famus_tf.data import streams

NOISES = ("none", "symmetric")


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set as it comes, with true labels.

    Attributes:
        name: its name.
        train_images: uint8 [N, H, W, C].
        train_labels: int32 [N].
        test_images: uint8 [M, H, W, C].
        test_labels: int32 [M].
        class_names: one for each class id.
        mean: per channel, of the training images, in units of 0..255.
        std: per channel, of the training images, in units of 0..255.
        crop_padding: pixels of zero padding for the random crop.
        flip: whether a mirrored image is of the same class.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """What a run trains, selects and tests on.

    Attributes:
        name: the source's name.
        train_images: uint8 [N, H, W, C].
        train_labels: the given labels, perhaps wrong, int32 [N].
        train_true_labels: int32 [N], or None where nobody knows them.
        train_index: the position in the source's training set, int64 [N], rising.
        meta_images: uint8 [m, H, W, C]; disjoint from the training images.
        meta_labels: true labels, int32 [m].
        meta_index: the position in the source's training set, int64 [m], rising.
        test_images: uint8 [M, H, W, C].
        test_labels: int32 [M].
        class_names: one for each class id.
        mean: per channel, in units of 0..255.
        std: per channel, in units of 0..255.
        crop_padding: pixels of zero padding for the random crop.
        flip: whether to mirror images at random.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    train_true_labels: np.ndarray | None
    train_index: np.ndarray
    meta_images: np.ndarray
    meta_labels: np.ndarray
    meta_index: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return tuple(self.train_images.shape[1:])


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel.

    Args:
        images: uint8 [N, H, W, C], N > 0.

    Returns:
        Mean and standard deviation, C numbers each, in units of 0..255.
    """
    levels = np.arange(256, dtype=np.float64)
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        counts = np.zeros(256, np.int64)
        # Counting levels is exact; in chunks, because `bincount` makes eight bytes of each one.
        for start in range(0, len(images), 4096):
            counts += np.bincount(images[start : start + 4096, ..., channel].ravel(), minlength=256)
        mean = float(np.average(levels, weights=counts))
        means.append(mean)
        deviations.append(float(np.sqrt(np.average((levels - mean) ** 2, weights=counts))))
    return tuple(means), tuple(deviations)


def make_bundle(
    source: Source,
    *,
    meta_per_class: int,
    noise: str,
    noise_rate: float,
    noise_includes_true_label: bool,
    train_limit: int | None,
    seed: int,
) -> Bundle:
    """Splits a source: a clean meta set first, then a limit on the rest, then noise on its labels.

    Each of the three draws from a random stream of its own, so that neither the noise nor the limit changes the meta
    set. The meta set is class-balanced and taken out of the training set, as in Shu et al., "Meta-Weight-Net" (2019).

    Args:
        source: the data set.
        meta_per_class: the number of meta images of each class; 0 for an empty meta set.
        noise: one of `NOISES`.
        noise_rate: in [0, 1]; not used with "none".
        noise_includes_true_label: see `noise.symmetric`.
        train_limit: the number of training images to keep, as equally many of each class as possible; 0 or None keeps
            all.
        seed: the seed of the run.

    Returns:
        The bundle.

    Raises:
        errors.InputError: a number is negative, a class has too few images for the meta set, nothing or less than
            `train_limit` remains for training, or the noise is unknown.
    """
    limit = train_limit or 0
    for name, value in (("meta_per_class", meta_per_class), ("train_limit", limit)):
        if value < 0:
            raise errors.InputError(f"{name} is {value}, expected 0 or more")
    if noise not in NOISES:
        raise errors.InputError(f"there is no label noise {noise!r}, expected one of {', '.join(NOISES)}")

    meta_index = _draw_meta(source, meta_per_class, streams.generator(seed, "meta set"))
    train_index = _draw_train(source, meta_index, limit, streams.generator(seed, "train limit"))
    true_labels = source.train_labels[train_index].astype(np.int32)
    labels = true_labels.copy()
    if noise == "symmetric":
        rng = streams.generator(seed, "label noise")
        labels = noise_lib.symmetric(true_labels, noise_rate, len(source.class_names), noise_includes_true_label, rng)
    inherited = ("name", "test_images", "test_labels", "class_names", "mean", "std", "crop_padding", "flip")
    return Bundle(
        train_images=source.train_images[train_index],
        train_labels=labels,
        train_true_labels=true_labels,
        train_index=train_index,
        meta_images=source.train_images[meta_index],
        meta_labels=source.train_labels[meta_index].astype(np.int32),
        meta_index=meta_index,
        **{field: getattr(source, field) for field in inherited},
    )


def _draw_meta(source: Source, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of `per_class` images of each class, int64, rising."""
    chosen = [np.zeros(0, np.int64)]
    for c, class_name in enumerate(source.class_names):
        members = np.flatnonzero(source.train_labels == c)
        if len(members) < per_class:
            raise errors.InputError(
                f"class {c} ({class_name}) of {source.name} has {len(members)} training images, expected at least the "
                f"{per_class} that the meta set asks of each class"
            )
        chosen.append(rng.choice(members, per_class, replace=False))
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _draw_train(source: Source, meta_index: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of the training images that the meta set and the limit leave, int64, rising."""
    total = len(source.train_labels)
    rest = np.setdiff1d(np.arange(total), meta_index)
    if rest.size == 0:
        raise errors.InputError(
            f"the meta set of {len(meta_index)} images takes all {total} training images of {source.name}, expected a "
            "smaller one"
        )
    if limit > rest.size:
        raise errors.InputError(
            f"train_limit is {limit}, expected at most the {rest.size} training images of {source.name} that the meta "
            "set leaves"
        )
    if limit:
        rest = rest[_balanced_subset(source.train_labels[rest], limit, rng)]
    return rest.astype(np.int64)


def _balanced_subset(labels: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """Positions in `labels` of `limit` examples, as equally many of each class as possible, rising."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = np.zeros_like(counts)
    unsettled = np.ones(len(classes), bool)
    # A class with less than an equal share gives all it has, which raises the share of the others.
    while True:
        remaining = limit - shares[~unsettled].sum()
        share = remaining // max(unsettled.sum(), 1)
        small = unsettled & (counts <= share)
        if not small.any():
            break
        shares[small] = counts[small]
        unsettled &= ~small
    shares[unsettled] = share
    extra = rng.permutation(np.flatnonzero(unsettled))[: limit - shares.sum()]
    shares[extra] += 1
    chosen = [rng.choice(np.flatnonzero(labels == c), n, replace=False) for c, n in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(chosen))
