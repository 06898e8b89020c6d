"""Small images in files, decoded once and kept, so that the pipeline for arrays serves them, many times as fast."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.batches import pipeline
from famus_tf.data.images import image_files
from famus_tf.data.source import Examples, Source

LARGEST_BYTES = 4 * 2**30
_BATCH = 256
# Files that are looked at together where a batch cannot be read.
_LOOKED_AT = 4096

Progress = Callable[[str, int], Callable[[int], None] | None]


def load(source: Source, *, skip_bad: bool, progress: Progress | None = None) -> Source:
    """Replaces the image files of a source by arrays, where it says so and they are small enough.

    Images that are not square once their shorter side is scaled are cut in the middle. The padding of the random crop
    becomes the source's `crop_padding`.

    Args:
        source: with `in_memory`, all its images are files of one transform; else it is given back as it is, and also
            where the arrays would be larger than `LARGEST_BYTES`.
        skip_bad: whether a file that cannot be read is left out, with its label; else it is an error.
        progress: function of what is read and the number of files -> function of the number of files done, or None.

    Returns:
        The source with arrays, which `left_out` tells of the files left out.

    Raises:
        errors.InputError: a file cannot be read, unless such files are left out; or a part has no other.
    """
    parts = _parts(source)
    if not source.in_memory or sum(_bytes(examples.images) for examples in parts.values()) > LARGEST_BYTES:
        return source
    left_out = dict(source.left_out)
    kept = {}
    files = {}
    for name, examples in parts.items():
        seen = progress(name, len(examples.labels)) if progress else None
        images, readable, broken = _decode(examples.images, skip_bad, seen)
        files[name] = examples.images.paths[readable]
        if not readable.any() and len(readable):
            path, reason = next(iter(broken.items()))
            raise errors.InputError(
                f"none of the {len(readable):,} {name} images can be read, such as {path}: {reason}"
            )
        parts[name] = Examples(images, examples.labels[readable])
        kept[name] = readable
        left_out |= broken
    of_training = {
        name: None if (value := getattr(source, name)) is None else value[kept["training"]]
        for name in ("train_is_clean", "not_trained_on", "same_image")
    }
    return dataclasses.replace(
        source,
        train_images=parts["training"].images,
        train_labels=parts["training"].labels,
        **of_training,
        test_images=parts["test"].images,
        test_labels=parts["test"].labels,
        meta=parts.get("meta"),
        validation=parts.get("validation"),
        other_tests={name: parts[name] for name in source.other_tests},
        crop_padding=source.train_images.transform.padding,
        in_memory=False,
        left_out=left_out,
        files=files,
        transform=source.train_images.transform,
    )


def _parts(source: Source) -> dict[str, Examples]:
    parts = {
        "training": Examples(source.train_images, source.train_labels),
        "test": Examples(source.test_images, source.test_labels),
        "meta": source.meta,
        "validation": source.validation,
        **source.other_tests,
    }
    return {name: examples for name, examples in parts.items() if examples is not None}


def _bytes(images: image_files.ImageFiles) -> int:
    return int(np.prod(images.shape, dtype=np.int64))


def _decode(
    images: image_files.ImageFiles, skip_bad: bool, seen: Callable[[int], None] | None
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Arrays of those that can be read, which these are, bool [N], and {path: what is wrong} of the others."""
    decoded = np.zeros(images.shape, np.uint8)
    readable = np.ones(len(images), bool)
    broken = {}
    done = 0
    while done < len(images):
        rest = done + np.flatnonzero(readable[done:])
        try:
            for first, batch in enumerate(_batches(images[rest])):
                positions = rest[first * _BATCH : (first + 1) * _BATCH]
                decoded[positions] = batch
                done = positions[-1] + 1
                if seen:
                    seen(int(done))
            break
        except tf.errors.OpError:
            looked_at = rest[rest >= done][:_LOOKED_AT]
            _, unreadable = image_files.scan(images[looked_at])
            if not unreadable:
                raise
            if not skip_bad:
                path, reason = next(iter(unreadable.items()))
                raise errors.InputError(
                    f"{path}: {reason}; expected every image of the set to be readable, or option `on_bad_image`=skip"
                ) from None
            broken |= unreadable
            readable[looked_at] = [os.fsdecode(path) not in unreadable for path in images.paths[looked_at]]
    return (decoded if readable.all() else decoded[readable]), readable, broken


def _batches(images: image_files.ImageFiles) -> tf.data.Dataset:
    # The labels are not of interest here, nor is padding of the last batch.
    whole = pipeline.evaluation_batches(images, np.zeros(len(images), np.int32), batch_size=_BATCH)
    return (batch.numpy()[: len(images) - number * _BATCH] for number, (batch, _, _) in enumerate(whole))
