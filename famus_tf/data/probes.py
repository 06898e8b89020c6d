"""Trusted examples that take part in training like all others, so that others can be compared with them."""

from __future__ import annotations

import dataclasses

import numpy as np

from famus_tf import errors
from famus_tf.data import streams
from famus_tf.data.dataset import Dataset
from famus_tf.data.images import image_files
from famus_tf.data.source import Images


def with_probes(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Moves a share of the meta set to the end of the training set.

    Args:
        dataset: its meta set is trusted.
        share: of each class of the meta set, a fraction, rounded; of a class with 2 images or more 1 at least stays.
            With 0 nothing moves.
        seed: of the run.

    Returns:
        The dataset with `num_probes` of them, and a meta set without them.

    Raises:
        errors.InputError: no class has 2 trusted images, so that none could be moved; or the images of the training and
            the meta set are kept in different ways.
    """
    if not share:
        return dataset
    rng = streams.generator(seed, "probes")
    moved = []
    for label in range(dataset.num_classes):
        of_class = np.flatnonzero(dataset.meta_labels == label)
        count = min(max(round(share * len(of_class)), 1), len(of_class) - 1)
        moved.append(rng.permutation(of_class)[: max(count, 0)])
    probes = np.sort(np.concatenate(moved))
    if not len(probes):
        raise errors.InputError(
            f"option `probe_share`={share}: found {len(dataset.meta_labels)} trusted images in {dataset.num_classes} "
            "classes, expected 2 or more of a class, or 0, which trains on none of them"
        )
    stays = np.setdiff1d(np.arange(len(dataset.meta_labels)), probes)
    true_labels = dataset.train_true_labels
    if true_labels is not None:
        true_labels = np.concatenate([true_labels, dataset.meta_labels[probes]])
    files = dict(dataset.files)
    if files:
        files["training"] = np.concatenate([files["training"], files["meta"][probes]])
        files["meta"] = files["meta"][stays]
    return dataclasses.replace(
        dataset,
        train_images=_joined(dataset.train_images, dataset.meta_images[probes]),
        train_labels=np.concatenate([dataset.train_labels, dataset.meta_labels[probes]]),
        train_true_labels=true_labels,
        train_index=np.concatenate([dataset.train_index, dataset.meta_index[probes]]),
        meta_images=dataset.meta_images[stays],
        meta_labels=dataset.meta_labels[stays],
        meta_index=dataset.meta_index[stays],
        files=files,
        num_probes=len(probes),
    )


def _joined(images: Images, more: Images) -> Images:
    if isinstance(images, image_files.ImageFiles) and isinstance(more, image_files.ImageFiles):
        if images.transform == more.transform:
            return image_files.ImageFiles(np.concatenate([images.paths, more.paths]), images.transform)
    elif isinstance(images, np.ndarray) and isinstance(more, np.ndarray):
        return np.concatenate([images, more])
    raise errors.InputError(
        "option `probe_share` with training and meta images that are not kept alike, in memory or in files read in one "
        "way: expected 0"
    )
