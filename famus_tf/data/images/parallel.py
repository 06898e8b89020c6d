"""The same to many things, several at a time, in threads."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_AT_A_TIME = 512

_Thing = TypeVar("_Thing")
_Result = TypeVar("_Result")


def in_order(
    function: Callable[[_Thing], _Result], things: Sequence[_Thing], seen: Callable[[int], None] | None = None
) -> Iterator[_Result]:
    """The function's results, in the order of the things.

    Args:
        function: what is done to each; most of it outside of Python's lock, as reading and TensorFlow's operations are.
        things: what it is done to.
        seen: called with the number of things done, now and then.

    Yields:
        One result for each. An exception ends it, when what has been begun is done.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 * cores()) as pool:
        # In parts: a million tasks handed over at once would wait in memory.
        for start in range(0, len(things), _AT_A_TIME):
            part = things[start : start + _AT_A_TIME]
            yield from pool.map(function, part)
            if seen:
                seen(start + len(part))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
