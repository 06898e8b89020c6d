"""The same to many things, several at a time, in threads."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")


def in_order(
    function: Callable[[_Thing], _Result],
    things: Sequence[_Thing],
    seen: Callable[[int], None] | None = None,
    part_size: int = 512,
) -> Iterator[_Result]:
    """The function's results, in the order of the things.

    Args:
        function: what is done to each; most of it outside of Python's lock, as reading and TensorFlow's operations are.
        things: what it is done to.
        seen: called with the number of things done, after each part.
        part_size: number of things handed over at once; a million would wait in memory.

    Yields:
        One result for each. An exception ends it, when what has been begun is done.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 * cores()) as pool:
        for start in range(0, len(things), part_size):
            part = things[start : start + part_size]
            yield from pool.map(function, part)
            if seen:
                seen(start + len(part))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
