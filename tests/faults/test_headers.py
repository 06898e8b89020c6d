"""200 of the files with made-up headers of `tests.faults.headers`, in a process of their own: a file could abort it."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_200_headers():
    command = [sys.executable, "-m", "tests.faults.headers", "--examples=200"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    read, refused = map(int, re.search(r"^(\d+) files read, (\d+) refused", ended.stdout, re.MULTILINE).groups())
    assert read + refused == 200 and min(read, refused) >= 20
