"""Keeps the C library from giving memory back to the system after every batch, only to ask for it again."""

import ctypes
import os
import sys

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD = -1
_TOP_PAD = -2
_MMAP_THRESHOLD = -3
_KEPT = 256 * 2**20
_LARGEST = 2**30


def keep_freed_memory():
    """Tells glibc to keep freed memory for the next allocation.

    A batch of images of 224x224 is 20 MB; to have the system make and zero its pages anew took half as long as decoding
    the images into them. It holds for this process and from now on. Without glibc, or where the user has set its
    environment variables or preloads another allocator, nothing is changed.

    Returns:
      Whether the settings were made.
    """
    configured = "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    if configured or "LD_PRELOAD" in os.environ or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(
        mallopt(name, value)
        for name, value in (
            (_MMAP_THRESHOLD, _LARGEST),
            (_TRIM_THRESHOLD, 2**31 - 1),
            (_TOP_PAD, _KEPT),
        )
    )
