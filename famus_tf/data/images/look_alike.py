"""Image files that look alike, whatever their size and kind: the differences of neighbours in a small grey picture.

Each of 8 x 8 bits says whether one of 8 x 9 cells is brighter than its left neighbour ("dHash"). Two pictures are alike
where at most four bits differ.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np

from famus_tf import errors
from famus_tf.data.images import image_files, parallel

_ROWS, _COLUMNS = 8, 9
_MOST_BITS = 4
# Two fingerprints that differ in up to four bits are the same in one of five parts.
_PARTS = np.array_split(np.arange(_ROWS * (_COLUMNS - 1)), _MOST_BITS + 1)
# Of red, green and blue, as a grey copy has it.
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])
# Grey levels between the darkest and the brightest cell; of flatter pictures the bits say nothing.
_LEAST_CONTRAST = 8
_COMPARED = 4096


def fingerprints(paths: np.ndarray, seen: Callable[[int], None] | None = None) -> np.ndarray:
    """64 bits of each file.

    Args:
        paths: bytes [N].
        seen: called with the number of files read so far, now and then.

    Returns:
        bool [N, 64], all False for a file that cannot be read and for a picture without contrast.
    """
    found = list(parallel.in_order(_fingerprint, paths, seen))
    return np.stack(found) if found else np.zeros((0, _ROWS * (_COLUMNS - 1)), bool)


def pairs(bits: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Two positions, rising, and how many bits differ, of all that look alike.

    Args:
        bits: as `fingerprints` gives them; of those that are all False nothing is said.
    """
    positions = np.flatnonzero(bits.any(axis=1))
    found = set()
    for part in _PARTS:
        keys = bits[np.ix_(positions, part)] @ (1 << np.arange(len(part)))
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        for members in np.split(positions[order], starts[1:]):
            found.update(_close(members, bits))
    yield from sorted(found)


def _close(members: np.ndarray, bits: np.ndarray) -> Iterator[tuple[int, int, int]]:
    members = np.sort(members)
    for number, first in enumerate(members[:-1]):
        # So many alike in one part are one motif, and pairs of all with all would fill the memory.
        others = members[number + 1 : number + 1 + _COMPARED]
        differ = (bits[others] != bits[first]).sum(axis=1)
        for other, count in zip(others[differ <= _MOST_BITS], differ[differ <= _MOST_BITS], strict=True):
            yield int(first), int(other), int(count)


def _fingerprint(path: bytes) -> np.ndarray:
    nothing = np.zeros(_ROWS * (_COLUMNS - 1), bool)
    try:
        image = image_files.decode(os.fsdecode(path))
    except errors.InputError:
        return nothing
    cells = image @ (_BRIGHTNESS if image.shape[2] == 3 else np.ones(1))
    for axis, count in enumerate((_ROWS, _COLUMNS)):
        cells = _means(cells, count, axis)
    return (cells[:, 1:] > cells[:, :-1]).ravel() if np.ptp(cells) >= _LEAST_CONTRAST else nothing


def _means(values: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Means of `count` equal parts along an axis."""
    size = values.shape[axis]
    values = values.repeat(-(-count // size), axis)
    starts = np.linspace(0, values.shape[axis], count + 1).astype(int)
    lengths = np.expand_dims(np.diff(starts), 1 - axis)
    return np.add.reduceat(values, starts[:-1], axis) / lengths
