"""Batches as a pure function of the seed and the step.

No iterator state needs to be saved: a run that is resumed at step t asks for the batches from t on, and gets those that
the uninterrupted run would have had.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data import streams
from famus_tf.data.batches import batch_spec, sampling
from famus_tf.data.images import augment, image_files, strong_augment

# What is added to a view's seed for random numbers that its crop has not drawn.
_STRONG = np.array([2**40, 0])
# Batches made side by side, and kept ready.
_AHEAD = 4


def training_batches(
    images: np.ndarray | image_files.ImageFiles,
    labels: np.ndarray,
    spec: batch_spec.BatchSpec,
    first_step: int,
    last_step: int,
    bad: np.ndarray | None = None,
    share: batch_spec.Share = batch_spec.WHOLE,
) -> tf.data.Dataset:
    """The training batches of the global steps `first_step` to `last_step - 1`, augmented.

    The batch of a step does not depend on `first_step`.

    Args:
        images: uint8 [N, H, W, C], or files, whose own transform crops them.
        labels: class ids [N].
        spec: what the batches are.
        first_step, last_step: the first global step, and the one before which to stop.
        bad: positions of examples in whose place others stand; see `sampling.stand_ins`.
        share: the part of each batch that is made.

    Returns:
        A dataset of `(images uint8 [n, H, W, C], labels int32 [n], index int64 [n])`, all shapes static; index is the
        position in `images`, n the share of the batch. With several views images are [n, views, H, W, C].

    Raises:
        errors.InputError: images and labels differ in number, or a number cannot be used.
    """
    dataset = _steps(images, labels, spec, range(first_step, last_step), bad)
    part = share.rows(spec.size)
    if isinstance(images, image_files.ImageFiles):
        return _distributable(_load_batches(dataset, images, labels, part, spec)).prefetch(_AHEAD)
    all_images, all_labels = _on_host(images, labels)
    change = functools.partial(
        augment.crop_and_flip, padding=spec.crop_padding, flip=spec.flip, padding_mode=spec.padding_mode
    )

    rows = _seeds_of_rows(tf.range(part.start, part.stop, dtype=tf.int64))

    # Converted by AutoGraph, an InputError would reach the user as another exception.
    @tf.autograph.experimental.do_not_convert
    def assemble(index: tf.Tensor, augment_seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        chosen = tf.gather(all_images, index)
        seeds = _seeds_of_views(augment_seed, spec.views)
        # Cut after the crop, whose random numbers are drawn for the whole batch.
        views = [change(chosen, seed=one)[part] for one in seeds]
        if spec.strong is not None:
            of_views = zip(views, seeds, strict=True)
            views = [strong_augment.apply(view, one + rows + _STRONG, spec.strong) for view, one in of_views]
        return _stacked(views, axis=1), tf.gather(all_labels, index)[part], index[part]

    return _distributable(_mapped(dataset, assemble)).prefetch(_AHEAD)


def _mapped(dataset: tf.data.Dataset, function: Callable[..., tuple[tf.Tensor, ...]]) -> tf.data.Dataset:
    return dataset.map(function, num_parallel_calls=_AHEAD, deterministic=True)


def evaluation_batches(
    images: np.ndarray | image_files.ImageFiles,
    labels: np.ndarray,
    *,
    batch_size: int,
    first_batch: int = 0,
    bad: np.ndarray | None = None,
    share: batch_spec.Share = batch_spec.WHOLE,
    subset: np.ndarray | None = None,
) -> tf.data.Dataset:
    """All examples, or a subset of them, once, in order, not augmented, in batches of one static size.

    Args:
        images: uint8 [N, H, W, C], or files.
        labels: class ids [N].
        batch_size: n.
        first_batch: the first batch, counted from 0.
        bad: positions of examples that are not read.
        share: as in `training_batches`.
        subset: positions of the examples that are evaluated, int [k]; None: all N.

    Returns:
        A dataset of `(images uint8 [n, H, W, C], labels int32 [n], weight float32 [n])`; weight is 1, and 0 for the
        zeros that stand for bad examples and fill up the last batch. n is the share of the batch.

    Raises:
        errors.InputError: images and labels differ in number, or the batch size is not positive.
    """
    _check_arrays(images, labels, "evaluation")
    if batch_size < 1:
        raise errors.InputError(f"evaluation: the batch size is {batch_size}, expected 1 or more")
    part = share.rows(batch_size)
    positions = np.arange(len(images)) if subset is None else subset
    is_good = np.ones(len(images), bool)
    if bad is not None:
        is_good[bad] = False
    # Nothing is read of what fills up the last batch.
    filling = np.zeros(-len(positions) % batch_size, np.int64)
    is_read = np.concatenate([is_good[positions], filling > 0]).reshape(-1, batch_size)[first_batch:, part]
    rows = np.concatenate([positions, filling]).reshape(-1, batch_size)[first_batch:, part]
    if isinstance(images, image_files.ImageFiles):
        loaded = _load_in_order(images, labels, rows.ravel(), is_read.ravel())
        return _distributable(loaded.batch(rows.shape[1], drop_remainder=True)).prefetch(_AHEAD)
    all_images, all_labels = _on_host(images, labels)

    @tf.autograph.experimental.do_not_convert
    def assemble(index: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        chosen = tf.gather(all_images, index)
        present = tf.reshape(weight > 0, [-1, 1, 1, 1])
        chosen_labels = tf.gather(all_labels, index)
        zero = tf.zeros([], tf.uint8)
        return tf.where(present, chosen, zero), tf.where(weight > 0, chosen_labels, 0), weight

    dataset = tf.data.Dataset.from_tensor_slices((rows, is_read.astype(np.float32)))
    return _distributable(_mapped(dataset, assemble)).prefetch(_AHEAD)


def pairs(training: tf.data.Dataset, meta: tf.data.Dataset) -> tf.data.Dataset:
    """Training and meta batches of the same steps, as `FaMUS.fit` takes them.

    Args:
        training: a dataset of `(images, labels, index)`.
        meta: another one, perhaps with another batch size.

    Returns:
        A dataset of `((images, labels, index), (meta_images, meta_labels, meta_index))`.
    """
    return tf.data.Dataset.zip((training, meta))


def _seeds_of_views(seed: tf.Tensor, views: int) -> list[tf.Tensor]:
    """The first view has the seed that it would have alone."""
    return [seed + tf.constant([view, 0], tf.int64) for view in range(views)]


def _seeds_of_rows(row: tf.Tensor) -> tf.Tensor:
    """What is added to a view's seed for each of a batch's rows, int64 [n] -> [n, 2]."""
    return tf.stack([tf.zeros_like(row), row], axis=1)


def _stacked(views: list[tf.Tensor], axis: int) -> tf.Tensor:
    """Several views of the same images along a new axis; one view as it is."""
    return views[0] if len(views) == 1 else tf.stack(views, axis=axis)


def _steps(
    images: np.ndarray | image_files.ImageFiles,
    labels: np.ndarray,
    spec: batch_spec.BatchSpec,
    steps: range,
    bad: np.ndarray | None,
) -> tf.data.Dataset:
    """For each step positions int64 [n] and an augmentation seed int64 [2]; raises what `training_batches` says."""
    _check_arrays(images, labels, spec.stream)
    spec.check(len(images))
    if not 0 <= steps.start <= steps.stop:
        raise errors.InputError(f"the steps go from {steps.start} to {steps.stop}, expected 0 <= first <= last")
    # Inside the generator, a bad seed would surface as an error of TensorFlow.
    streams.sequence(spec.seed, spec.stream)
    generator = functools.partial(
        sampling.batch_positions, labels, spec.size, steps, spec.seed, spec.stream, spec.sampling, bad, spec.subset
    )
    signature = (tf.TensorSpec([spec.size], tf.int64), tf.TensorSpec([2], tf.int64))
    dataset = tf.data.Dataset.from_generator(generator, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(steps.stop - steps.start))


def _load_batches(
    dataset: tf.data.Dataset,
    images: image_files.ImageFiles,
    labels: np.ndarray,
    rows: slice,
    spec: batch_spec.BatchSpec,
) -> tf.data.Dataset:
    """Batches of files at the positions and with the seeds of `dataset`, of each those rows, decoded side by side."""
    paths, all_labels = _on_host(images.paths, labels)
    shape = (*([spec.views] if spec.views > 1 else []), *images.shape[1:])

    def load(path_and_seed: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        path, seed = path_and_seed

        def view(one: tf.Tensor) -> tf.Tensor:
            image = image_files.load_for_training(path, one, images.transform, spec.flip)
            if spec.strong is None:
                return image
            return strong_augment.of_image(tf.ensure_shape(image, images.shape[1:]), one + _STRONG, spec.strong)

        return _stacked([view(one) for one in _seeds_of_views(seed, spec.views)], axis=0)

    def assemble(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        index = index[rows]
        seeds = seed + _seeds_of_rows(tf.range(rows.start, rows.stop, dtype=tf.int64))
        chosen = tf.map_fn(
            load,
            (tf.gather(paths, index), seeds),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )
        return chosen, tf.gather(all_labels, index), index

    # A batch to each core: handing over single images costs an eighth of the time that their decoding takes.
    return dataset.map(assemble, num_parallel_calls=_cores(), deterministic=True)


def _load_in_order(
    images: image_files.ImageFiles, labels: np.ndarray, positions: np.ndarray, is_read: np.ndarray
) -> tf.data.Dataset:
    """The files at those positions, one by one, and zeros with weight 0 in place of those that are not read."""
    paths, all_labels = _on_host(images.paths, labels)
    shape = images.shape[1:]

    def load(position: tf.Tensor, present: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = tf.cond(
            present,
            lambda: image_files.load_for_evaluation(paths[position], images.transform),
            lambda: tf.zeros(shape, tf.uint8),
        )
        label = tf.cond(present, lambda: all_labels[position], lambda: 0)
        return tf.ensure_shape(image, shape), label, tf.cast(present, tf.float32)

    dataset = tf.data.Dataset.from_tensor_slices((positions, is_read))
    return dataset.map(load, num_parallel_calls=_cores(), deterministic=True)


def _cores() -> int:
    """Cores that this process may use; the tuner, which would choose, is off."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_arrays(images: np.ndarray, labels: np.ndarray, stream: str) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise errors.InputError(
            f"{stream}: the images have shape {images.shape} and dtype {images.dtype}, expected uint8 [N, H, W, C]"
        )
    if labels.shape != (len(images),):
        raise errors.InputError(
            f"{stream}: the labels have shape {labels.shape}, expected ({len(images)},), one for each image"
        )


def _on_host(images: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    # Without this the set would take accelerator memory, and every batch would come back from there to be gathered.
    with tf.device("CPU:0"):
        return tf.constant(images), tf.constant(labels, tf.int32)


def _distributable(dataset: tf.data.Dataset) -> tf.data.Dataset:
    # There are no files to give each worker its own of; the default policy would try, and warn.
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # With a tuner, deleting an iterator can hang for good in TensorFlow 2.21: seen where the process had been
    # suspended, or had run for long. The tuner's thread sleeps on, and the iterator waits for it.
    options.autotune.enabled = False
    return dataset.with_options(options)
