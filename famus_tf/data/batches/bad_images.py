"""Image files that are missing or broken: named behind TensorFlow's error, which does not, or passed over."""

from __future__ import annotations

import csv
import logging
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data import dataset as datasets
from famus_tf.data.formats import listing
from famus_tf.data.images import decoders, image_files
from famus_tf.data.source import Images
from famus_tf.files import plain_text, whole_files

_LOG = logging.getLogger(__name__)

# What reading and decoding can end with.
_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,
    tf.errors.DataLossError,
    tf.errors.UnknownError,
)
# Files that may have been read ahead of the batch that fails, and are looked at together.
_LOOKED_AT = 4096
_LARGEST_SHARE = 0.01
_HEADER = ("image", "reason")
_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}  # a file's name may be any bytes
_STEM = "bad_images"


def list_file(folder: pathlib.Path, worker: int) -> pathlib.Path:
    """Where a worker, counted from 0, lists the images that it has skipped."""
    return folder / (f"{_STEM}.{worker}.csv" if worker else f"{_STEM}.csv")


def all_listed(folder: pathlib.Path) -> dict[str, str]:
    """{path: what is wrong} of the images that any worker of a run has skipped.

    Raises:
        errors.InputError: a list is not as a run writes it.
    """
    listed = {}
    for path in sorted(folder.glob(f"{_STEM}*.csv")):
        listed |= _read(path)
    return listed


class BadImages:
    """The image files of a run that cannot be read.

    Where they are skipped, another image of the class stands in for a bad one in training (`sampling.stand_ins`), and
    an evaluation goes without it. Each is found once: it is looked at when a batch fails, and then kept in a list.

    Args:
        dataset: what is trained and tested on. Of the files that it has left out already nothing is read.
        skip: whether bad ones are passed over; else the first one is an error.
        list_file: CSV file of `image` and `reason`, read now if it is there and kept up to date; None for no file.

    Attributes:
        reasons: {path: what is wrong}, in the order in which they were found.

    Raises:
        errors.InputError: more than 1% of the images are bad, the list cannot be written; or, unless they are skipped,
            any is bad, as soon as it is read.
    """

    def __init__(self, dataset: datasets.Dataset, *, skip: bool, list_file: pathlib.Path | None = None) -> None:
        images = [dataset.train_images, *(examples.images for examples in dataset.held_out.values())]
        # Files that were decoded into arrays count as those that are still to be read do.
        self._total = sum(map(len, images)) + len(dataset.left_out)
        files = [part for part in images if isinstance(part, image_files.ImageFiles)]
        self._skip = skip
        self._list_file = list_file
        self.reasons: dict[str, str] = dict(dataset.left_out)
        self._positions: dict[int, np.ndarray] = {}
        if not skip:
            return
        listed = _read(list_file) if list_file and list_file.exists() else {}
        bits = files[0].transform.bits if files else decoders.ALL_BITS
        bad = {path: reason for path, reason in listed.items() if _is_bad(path, bits)}
        for images in files:
            absent = listing.missing(os.fsdecode(path) for path in images.paths)
            bad |= {os.fsdecode(images.paths[position]): "there is no such file" for position in absent}
        self._add(bad)

    def positions(self, images: Images) -> np.ndarray:
        """Positions of the known bad ones in `images`, which are of the dataset, int64, rising."""
        if not isinstance(images, image_files.ImageFiles):
            return np.zeros(0, np.int64)
        # Once for each set of images: to look for many among a million takes seconds.
        if id(images) not in self._positions:
            self._positions[id(images)] = _positions_of(self.reasons, images)
        return self._positions[id(images)]

    def batches(
        self,
        images: Images,
        make: Callable[[int, np.ndarray], Iterable[Any]],
        read: Callable[[int], Iterable[np.ndarray]],
        first: int = 0,
    ) -> Iterator[Any]:
        """Iterates over batches; where one cannot be made, finds out why, and goes on with what stands in.

        Args:
            images: what the batches are made of.
            make: function of the number of a batch and the positions of bad images -> the batches from that one on.
            read: function of the number of a batch -> for it and those after it the positions of the images in it.
            first: number of the first batch.
        """
        number = first
        batches = iter(make(first, self.positions(images)))
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except _ERRORS:
                if not self._find(images, read(number)):
                    raise
                batches = iter(make(number, self.positions(images)))
                continue
            yield batch
            number += 1

    def _find(self, images: Images, batches: Iterable[np.ndarray]) -> bool:
        """Whether one of the next images that are read is bad and was not known as such."""
        if not isinstance(images, image_files.ImageFiles):
            return False
        positions = np.zeros(0, np.int64)
        for batch in batches:
            positions = np.union1d(positions, batch)
            if len(positions) >= _LOOKED_AT:
                break
        looked_at = images[positions]
        _, broken = image_files.scan(looked_at)
        new = {path: reason for path, reason in broken.items() if path not in self.reasons}
        if new and not self._skip:
            path, reason = next(iter(new.items()))
            raise errors.InputError(
                f"{path}: {reason}; expected every image of the set to be readable, or option `on_bad_image`=skip"
            )
        self._positions[id(images)] = np.union1d(self.positions(images), positions[_positions_of(broken, looked_at)])
        self._add(new)
        return bool(new)

    def _add(self, reasons: Mapping[str, str]) -> None:
        self.reasons |= reasons
        if reasons:
            path, reason = next(iter(reasons.items()))
            text = plain_text.escaped(f"{path}: {reason}")
            _LOG.warning(f"{len(self.reasons):,} image files are skipped so far; the last: {text}")
        if self._list_file and (self.reasons or self._list_file.exists()):
            self._write()
        if len(self.reasons) > _LARGEST_SHARE * self._total:
            path, reason = next(iter(self.reasons.items()))
            where = f", all that were found in {self._list_file}" if self._list_file else ""
            raise errors.InputError(
                f"{len(self.reasons):,} of {self._total:,} images cannot be read, such as {path}: {reason}{where}; "
                f"expected at most {_LARGEST_SHARE:.0%}"
            )

    def _write(self) -> None:
        with whole_files.written(self._list_file) as fresh, open(fresh, "w", newline="", **_ENCODING) as file:
            csv.writer(file).writerows([_HEADER, *self.reasons.items()])


def _read(path: pathlib.Path) -> dict[str, str]:
    expected = f"the columns {' and '.join(_HEADER)}, as a run writes them"
    with errors.reading(path, expected), open(path, newline="", **_ENCODING) as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != _HEADER or any(len(row) != 2 for row in rows):
        raise errors.InputError(f"{path}: expected {expected}")
    return dict(rows[1:])


def _positions_of(paths: Iterable[str], images: image_files.ImageFiles) -> np.ndarray:
    """Positions of the images that have one of those paths, int64, rising."""
    wanted = np.array([os.fsencode(path) for path in paths], "S") if paths else np.zeros(0, "S1")
    return np.flatnonzero(np.isin(images.paths, wanted))


def _is_bad(path: str, bits: int) -> bool:
    try:
        image_files.decode(path, bits)
    except errors.InputError:
        return True
    return False
