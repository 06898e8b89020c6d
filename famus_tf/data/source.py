"""What a data set is as it comes: images in arrays or files, and labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from famus_tf.data.formats import class_folders
from famus_tf.data.images import image_files
from famus_tf.data.labels import noise as noise_lib
from famus_tf.files import plain_text

Images = np.ndarray | image_files.ImageFiles
# The true label of an image that is known to be of another class than the given one, while nobody knows of which.
UNKNOWN = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Images with labels that are not trained on.

    Attributes:
        images: uint8 [n, H, W, C], or files.
        labels: int32 [n].
    """

    images: Images
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, order=True)
class Conflict:
    """One place of an image that has different labels in different places.

    Attributes:
        image: which of these images, from 0.
        set: "training", "test" and so on.
        path: the file.
        label: the name of its class there.
    """

    image: int
    set: str
    path: str
    label: str


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set as it comes, with true labels.

    Attributes:
        name: its name.
        train_images: uint8 [N, H, W, C], or files.
        train_labels: int32 [N].
        test_images: uint8 [M, H, W, C], or files.
        test_labels: int32 [M].
        class_names: one for each class id; kept as `plain_text.escaped` shows them.
        mean, std: per channel, of the training images, in units of 0..255.
        crop_padding: pixels of padding for the random crop.
        flip: whether a mirrored image is of the same class.
        padding_mode: of the crop; see `augment.crop_and_flip`.
        classes: what label noise needs to know of them; None for their number alone.
        labels_are_true: whether the training labels are known to be right.
        train_is_clean: which of the training labels are right, bool [N], where that is known but not the true labels;
            the meta set is drawn from those.
        meta: trusted examples; None where the meta set is taken out of the training set.
        meta_is_pool: whether the meta set is drawn from `meta`, as it would be from the training set, or is all of it.
            An empty pool says that no label can be trusted.
        validation: examples to choose the epoch by; None where there are none.
        other_tests: further test sets of the same classes, by name.
        in_memory: whether files are small enough to be held decoded; see `in_memory.load`.
        left_out: image files that are no longer in it because they cannot be read, {path: what is wrong}.
        test_is_drawn: whether the test set is drawn out of the training images.
        notes: sentences for the user: what was read as what, and what was not read.
        not_read: files beside the images that are not read: how many of each kind.
        files: of images that were decoded, the files that they come from: "training", "meta", "validation", "test" or
            the name of a further test set -> bytes [n].
        transform: what was done to the files of images that were decoded; None where they come from no files.
        not_trained_on: training images that are in another set as well, bool [N]; None where there are none.
        same_image: a number for each training image, the same for files of the same bytes, int64 [N]; None where that
            is not known.
        conflicts: images that have different labels in different places.
    """

    name: str
    train_images: Images
    train_labels: np.ndarray
    test_images: Images
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool
    padding_mode: str = "zero"
    classes: noise_lib.Classes | None = None
    labels_are_true: bool = True
    train_is_clean: np.ndarray | None = None
    meta: Examples | None = None
    meta_is_pool: bool = False
    validation: Examples | None = None
    other_tests: Mapping[str, Examples] = dataclasses.field(default_factory=dict)
    in_memory: bool = False
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    test_is_drawn: bool = False
    notes: tuple[str, ...] = ()
    not_read: Mapping[class_folders.LeftOut, int] = dataclasses.field(default_factory=dict)
    files: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    transform: image_files.Transform | None = None
    not_trained_on: np.ndarray | None = None
    same_image: np.ndarray | None = None
    conflicts: tuple[Conflict, ...] = ()

    def __post_init__(self) -> None:
        # They are printed, drawn and written in many places, and some come from the names of folders and from lists.
        object.__setattr__(self, "class_names", tuple(map(plain_text.escaped, self.class_names)))


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
        counts = np.zeros(256, np.int64)  # exact; in chunks, because `bincount` makes eight bytes of each one
        for start in range(0, len(images), 4096):
            counts += np.bincount(images[start : start + 4096, ..., channel].ravel(), minlength=256)
        mean = float(np.average(levels, weights=counts))
        means.append(mean)
        deviations.append(float(np.sqrt(np.average((levels - mean) ** 2, weights=counts))))
    return tuple(means), tuple(deviations)
