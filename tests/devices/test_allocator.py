"""The allocator's settings: made in a process of their own, and left alone where the user has made some."""

import os
import subprocess
import sys

import pytest

# Page faults while a block of 24 MB is taken, filled and given back, again and again.
_FAULTS = """
import ctypes, resource, sys
from famus_tf.devices import allocator
made = allocator.keep_freed_memory() if sys.argv[1] == "keep" else None
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def fill():
    for size in (24, 40):
        block = libc.malloc(size * 2**20)
        ctypes.memset(block, 1, size * 2**20)
        libc.free(block)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    fill()
print(made, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _run(argument, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRE"))}
    result = subprocess.run(
        [sys.executable, "-c", _FAULTS, argument], capture_output=True, text=True, check=True, env=kept | environment
    )
    made, faults = result.stdout.split()
    return made, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux") or not hasattr(os, "confstr"), reason="needs glibc")
def test_freed_memory_is_kept():
    if "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""):
        pytest.skip("needs glibc")
    made, faults = _run("keep")
    assert made == "True" and faults < 1000
    assert _run("leave")[1] > 10 * 1000  # 40 MB are 10,000 pages of 4 KiB, asked for ten times


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_the_users_own_settings_stay(name):
    value = {"MALLOC_ARENA_MAX": "4", "GLIBC_TUNABLES": "glibc.malloc.arena_max=4", "LD_PRELOAD": ""}[name]
    assert _run("keep", **{name: value})[0] == "False"
