"""Independent random streams, each named by what it is for."""

from __future__ import annotations

import zlib

import numpy as np

from famus_tf import errors


def sequence(seed: int, *purpose: str | int) -> np.random.SeedSequence:
    """A seed sequence that is a pure function of the seed and the purpose.

    Two purposes give independent streams, so a new consumer of random numbers never shifts those of another.

    Args:
        seed: the seed of the run, not negative.
        *purpose: what the numbers are for: names, and numbers such as an epoch, not negative.

    Returns:
        A `numpy.random.SeedSequence`.

    Raises:
        errors.InputError: the seed is negative or not a whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise errors.InputError(f"the seed is {seed!r}, expected a whole number not less than 0")
    # Python's own hash of a string changes from process to process; a checksum does not.
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in purpose]
    return np.random.SeedSequence(entropy=int(seed), spawn_key=tuple(words))


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator over `sequence(seed, *purpose)`; see there for the arguments and errors."""
    return np.random.default_rng(sequence(seed, *purpose))
