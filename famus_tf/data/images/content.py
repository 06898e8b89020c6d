"""Which image files have the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from famus_tf.data.images import parallel

_AT_A_TIME = 256
_END = 4096

_Result = TypeVar("_Result")


def groups(paths: np.ndarray, progress: Callable[[str, int], Callable[[int], None] | None] | None = None) -> np.ndarray:
    """A number for each file, the same for those of the same bytes.

    Read are the sizes of all files, the ends of those that share one, and the whole of those that share both.

    Args:
        paths: bytes [N]; a file that cannot be read, or is empty, is like no other.
        progress: function of what is done and the number of files -> function of the number of files done, or None.

    Returns:
        int64 [N].
    """
    unique, of_path = np.unique(paths, return_inverse=True)
    sizes = np.array(_of_each(_size, unique, progress("compared", len(unique)) if progress else None), np.int64)
    _, group = np.unique(np.where(sizes > 0, sizes, -1 - np.arange(len(unique))), return_inverse=True)
    for digest in (_digest_of_end, _digest_of_all):
        shared = np.flatnonzero(np.bincount(group)[group] > 1) if len(group) else group
        found = b"".join(_of_each(digest, unique[shared]))
        keys = np.column_stack([group[shared].astype(np.uint64), np.frombuffer(found, np.uint64).reshape(-1, 2)])
        _, refined = np.unique(keys, axis=0, return_inverse=True)
        group[shared] = len(unique) + refined.ravel()
        _, group = np.unique(group, return_inverse=True)
    return group[of_path].astype(np.int64)


def _of_each(
    function: Callable[[bytes], _Result], paths: np.ndarray, seen: Callable[[int], None] | None = None
) -> list[_Result]:
    """The function's results; several files to a task, as each takes little."""

    def of_some(start: int) -> list[_Result]:
        return [function(path) for path in paths[start : start + _AT_A_TIME]]

    def seen_of_some(done: int) -> None:
        seen(min(done * _AT_A_TIME, len(paths)))

    parts = parallel.in_order(of_some, range(0, len(paths), _AT_A_TIME), seen_of_some if seen else None)
    return [result for part in parts for result in part]


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _digest_of_end(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
            return hashlib.blake2b(file.read(_END), digest_size=16).digest()
    except OSError:
        return _of_no_other(path)


def _digest_of_all(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, _blake2b).digest()
    except OSError:
        return _of_no_other(path)


def _blake2b() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _of_no_other(path: bytes) -> bytes:
    """For a file that has gone meanwhile."""
    return hashlib.blake2b(path, digest_size=16, person=b"gone").digest()
