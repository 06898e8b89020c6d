"""Batches as a pure function of the seed and the step.

No iterator state needs to be saved: a run that is resumed at step t asks for the batches from t on, and gets those that
the uninterrupted run would have had.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data import augment, image_files, streams

# Batches made side by side, and kept ready.
_AHEAD = 4


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """The number of full batches in an epoch; the remainder is left out, and differs from epoch to epoch.

    Args:
        num_examples: how many examples there are.
        batch_size: how many make a batch.

    Returns:
        At least 1.

    Raises:
        errors.InputError: the batch size is not positive, or larger than the number of examples.
    """
    if batch_size < 1:
        raise errors.InputError(f"the batch size is {batch_size}, expected 1 or more")
    if batch_size > num_examples:
        raise errors.InputError(
            f"the batch size is {batch_size}, expected at most the {num_examples} examples there are"
        )
    return num_examples // batch_size


def epoch_order(num_examples: int, seed: int, stream: str, epoch: int) -> np.ndarray:
    """The order of the examples in one epoch: a permutation [num_examples], int64, pure in all arguments."""
    return streams.generator(seed, stream, "order", epoch).permutation(num_examples)


def batches(
    images: np.ndarray | image_files.ImageFiles,
    labels: np.ndarray,
    *,
    batch_size: int,
    first_step: int,
    last_step: int,
    seed: int,
    stream: str,
    crop_padding: int,
    flip: bool,
    padding_mode: str = "zero",
) -> tf.data.Dataset:
    """The training batches of the global steps `first_step` to `last_step - 1`, augmented.

    Step t belongs to epoch t // steps_per_epoch. The batch of a step does not depend on `first_step`.

    Args:
        images: uint8 [N, H, W, C], or files, whose own transform crops them.
        labels: class ids [N].
        batch_size: n, the global batch size.
        first_step: the first global step.
        last_step: the global step before which to stop.
        seed: the seed of the run.
        stream: what the batches are for, such as "train" or "meta"; another stream has another order.
        crop_padding: see `augment.crop_and_flip`.
        flip: see `augment.crop_and_flip`.
        padding_mode: see `augment.crop_and_flip`.

    Returns:
        A dataset of `(images uint8 [n, H, W, C], labels int32 [n], index int64 [n])`, all shapes static, where index
        is the position in `images`.

    Raises:
        errors.InputError: images and labels differ in number, the batch size is larger than it, the steps are
            negative or fall, or the padding or the seed is negative.
    """
    dataset = _steps(images, labels, batch_size, range(first_step, last_step), seed, stream)
    if isinstance(images, image_files.ImageFiles):
        return _distributable(_load_batches(dataset, images, labels, batch_size, flip)).prefetch(_AHEAD)
    all_images, all_labels = _on_host(images, labels)

    # Converted by AutoGraph, an InputError would reach the user as another exception.
    @tf.autograph.experimental.do_not_convert
    def assemble(index: tf.Tensor, augment_seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        chosen = tf.gather(all_images, index)
        chosen = augment.crop_and_flip(
            chosen, padding=crop_padding, flip=flip, seed=augment_seed, padding_mode=padding_mode
        )
        return chosen, tf.gather(all_labels, index), index

    dataset = dataset.map(assemble, num_parallel_calls=_AHEAD, deterministic=True)
    return _distributable(dataset).prefetch(_AHEAD)


def evaluation_batches(
    images: np.ndarray | image_files.ImageFiles, labels: np.ndarray, *, batch_size: int
) -> tf.data.Dataset:
    """All examples once, in order, not augmented, in batches of one static size.

    Args:
        images: uint8 [N, H, W, C], or files.
        labels: class ids [N].
        batch_size: n.

    Returns:
        A dataset of `(images uint8 [n, H, W, C], labels int32 [n], weight float32 [n])`; weight is 1, and 0 for the
        zeros that fill up the last batch.

    Raises:
        errors.InputError: images and labels differ in number, or the batch size is not positive.
    """
    _check_arrays(images, labels, "evaluation")
    if batch_size < 1:
        raise errors.InputError(f"evaluation: the batch size is {batch_size}, expected 1 or more")
    if isinstance(images, image_files.ImageFiles):
        return _distributable(_load_in_order(images, labels, batch_size)).prefetch(_AHEAD)
    all_images, all_labels = _on_host(images, labels)

    @tf.autograph.experimental.do_not_convert
    def assemble(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        batch_labels = all_labels[start : start + batch_size]
        present = tf.ones_like(batch_labels, tf.float32)
        filled = []
        for rows in (all_images[start : start + batch_size], batch_labels, present):
            padding = [[0, batch_size - tf.shape(rows)[0]]] + [[0, 0]] * (rows.shape.rank - 1)
            filled.append(tf.ensure_shape(tf.pad(rows, padding), [batch_size, *rows.shape[1:]]))
        return tuple(filled)

    dataset = tf.data.Dataset.range(0, len(images), batch_size)
    dataset = dataset.map(assemble, num_parallel_calls=_AHEAD, deterministic=True)
    return _distributable(dataset).prefetch(_AHEAD)


def pairs(training: tf.data.Dataset, meta: tf.data.Dataset) -> tf.data.Dataset:
    """Training and meta batches of the same steps, as `FaMUS.fit` takes them.

    Args:
        training: a dataset of `(images, labels, index)`.
        meta: another one, perhaps with another batch size.

    Returns:
        A dataset of `((images, labels, index), (meta_images, meta_labels, meta_index))`.
    """
    return tf.data.Dataset.zip((training, meta))


def _steps(
    images: np.ndarray | image_files.ImageFiles,
    labels: np.ndarray,
    batch_size: int,
    steps: range,
    seed: int,
    stream: str,
) -> tf.data.Dataset:
    """For each step positions int64 [n] and an augmentation seed int64 [2]; raises what `batches` says."""
    _check_arrays(images, labels, stream)
    try:
        steps_per_epoch(len(images), batch_size)
    except errors.InputError as error:
        raise errors.InputError(f"{stream}: {error}") from error
    if not 0 <= steps.start <= steps.stop:
        raise errors.InputError(f"the steps go from {steps.start} to {steps.stop}, expected 0 <= first <= last")
    streams.sequence(seed, stream)  # Inside the generator, a bad seed would surface as an error of TensorFlow.
    generator = functools.partial(_positions, len(images), batch_size, steps, seed, stream)
    signature = (tf.TensorSpec([batch_size], tf.int64), tf.TensorSpec([2], tf.int64))
    dataset = tf.data.Dataset.from_generator(generator, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(steps.stop - steps.start))


def _load_batches(
    dataset: tf.data.Dataset, images: image_files.ImageFiles, labels: np.ndarray, batch_size: int, flip: bool
) -> tf.data.Dataset:
    """Batches of files at the positions and with the seeds of `dataset`, decoded side by side."""
    paths, all_labels = _on_host(images.paths, labels)

    def spread(index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        own = tf.stack([tf.zeros_like(index), tf.range(batch_size, dtype=tf.int64)], axis=1)
        return tf.gather(paths, index), tf.gather(all_labels, index), index, seed + own

    def load(path: tf.Tensor, label: tf.Tensor, index: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return image_files.load_for_training(path, seed, images.transform, flip), label, index

    dataset = dataset.map(spread).unbatch()
    dataset = dataset.map(load, num_parallel_calls=_cores(), deterministic=True)
    return dataset.batch(batch_size, drop_remainder=True)


def _load_in_order(images: image_files.ImageFiles, labels: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """All files once, and zeros with weight 0 up to whole batches."""
    paths, all_labels = _on_host(images.paths, labels)
    count, shape = len(images), images.shape[1:]

    def load(position: tf.Tensor) -> tuple[tf.Tensor, ...]:
        present = position < count
        image = tf.cond(
            present,
            lambda: image_files.load_for_evaluation(paths[position], images.transform),
            lambda: tf.zeros(shape, tf.uint8),
        )
        label = tf.cond(present, lambda: all_labels[position], lambda: 0)
        return tf.ensure_shape(image, shape), label, tf.cast(present, tf.float32)

    dataset = tf.data.Dataset.range(count + -count % batch_size)
    dataset = dataset.map(load, num_parallel_calls=_cores(), deterministic=True)
    return dataset.batch(batch_size, drop_remainder=True)


def _cores() -> int:
    """Cores that this process may use; the tuner, which would choose, is off."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def positions(
    num_examples: int, batch_size: int, first_step: int, last_step: int, seed: int, stream: str
) -> Iterator[np.ndarray]:
    """The examples' positions in the batches of those steps, int64 [n] each; arguments as in `batches`."""
    for index, _ in _positions(num_examples, batch_size, range(first_step, last_step), seed, stream):
        yield index


def _positions(
    num_examples: int, batch_size: int, steps: range, seed: int, stream: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each step the positions of its examples, int64 [n], and its augmentation seed, int64 [2]."""
    per_epoch = steps_per_epoch(num_examples, batch_size)
    order = None
    for step in steps:
        epoch, batch = divmod(step, per_epoch)
        if order is None or batch == 0:
            order = epoch_order(num_examples, seed, stream, epoch)
        augment_seed = streams.sequence(seed, stream, "augment", step).generate_state(2)
        yield order[batch * batch_size : (batch + 1) * batch_size], augment_seed.astype(np.int64)


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
