"""Reads thousands of damaged files with the program's own readers and counts how that ends.

    python -m tests.faults.mutate --count=10000 --seed=0 --json=benchmarks/results/mutated_files.json

Each file is a whole one of some format in which bytes are changed, cut out, doubled or made up. Right is "ok", it was
read, or "refused", an `InputError` of one line. Workers are processes, so that an abort or a hang is seen and counted.
"""

import argparse
import collections
import faulthandler
import multiprocessing
import os
import pathlib
import re
import shutil
import sys
import tempfile

FAULTS = ("traceback", "abort", "hang", "memory")
_LARGEST_RSS = 2**31
_SECONDS = 60
_WORDS = (
    *(b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"),
    *(b"\n", b"-1", b"9" * 30, b"1e23", b"[" * 99),
)


def mutated(data, rng):
    """The bytes with one change or up to eight, more often near the start, where headers are."""
    data = bytearray(data)
    for _ in range(1 if rng.random() < 0.6 else int(rng.integers(2, 9))):
        near = len(data) if rng.random() < 0.7 else min(64, len(data))
        start = int(rng.integers(0, near + 1))
        length = int(rng.integers(1, 17))
        way = int(rng.integers(0, 6))
        if way == 0 and start < len(data):
            data[start] ^= 1 << int(rng.integers(0, 8))
        elif way == 1:
            data[start : start + length] = rng.bytes(length)
        elif way == 2:
            word = _WORDS[int(rng.integers(0, len(_WORDS)))]
            data[start : start + len(word)] = word
        elif way == 3:
            del data[start : start + length]
        elif way == 4:
            data[start:start] = data[start : start + 8 * length]
        elif rng.random() < 0.3:
            del data[start:]
    return bytes(data)


def peak_rss():
    """The most memory that this process has held, in bytes.

    `getrusage` does not serve: in a new process it starts at the peak of the process that started it.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024 * int(found.group(1))


def _work(seed, folder, connection):
    """Reads the files that are asked for by number; replies with their format and how each ended."""
    import numpy as np

    from famus_tf import errors
    from tests.faults import file_samples

    sys.setrecursionlimit(1000)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    faulthandler.disable()
    samples = file_samples.make(folder)
    connection.send("ready")
    while True:
        number = connection.recv()
        rng = np.random.default_rng((seed, number))
        name = list(samples)[number % len(samples)]
        sample = samples[name]
        path = pathlib.Path(folder, f"file{sample.ending}")
        path.write_bytes(mutated(sample.data, rng))
        ended, said = "ok", ""
        try:
            sample.read(str(path))
        except errors.InputError as error:
            ended, said = ("refused", "") if "\n" not in str(error) else ("traceback", repr(error))
        except BaseException as error:
            ended, said = "traceback", f"{type(error).__name__}: {error}"[:300]
        if peak_rss() > _LARGEST_RSS:
            ended = "memory"
        connection.send((name, ended, said.replace(f"{folder}/", "")))


class _Worker:
    """One process; a new one after a fault of it."""

    def __init__(self, seed):
        self._seed, self._process = seed, None

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self.folder = tempfile.mkdtemp()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(self._seed, self.folder, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._connection.recv()

    def stop(self):
        """Ends the process and removes its files."""
        if self._process:
            self._process.kill()
            self._process.join()
            shutil.rmtree(self.folder, ignore_errors=True)
            self._process = None

    def read(self, number):
        """(format, how it ended, what was said, the file's path) of one file."""
        if self._process is None:
            self._start()
        self._connection.send(number)
        name, said = "?", ""
        try:
            name, ended, said = self._connection.recv() if self._connection.poll(_SECONDS) else ("?", "hang", "")
        except (EOFError, ConnectionResetError):
            ended = "abort"
        return name, ended, said


def run(count, seed, keep=None, progress=None):
    """Reads `count` files.

    Args:
      count: how many files.
      seed: of what is done to them; file `k` of a seed is always the same.
      keep: folder for the files that end in a fault, or None.
      progress: called with the number of files read and of faults, or None.

    Returns:
      {format: {how it ended: how often}} and a list of the faults.
    """
    counts, faults, worker = collections.defaultdict(collections.Counter), [], _Worker(seed)
    try:
        for number in range(count):
            name, ended, said = worker.read(number)
            counts[name][ended] += 1
            if ended in FAULTS:
                faults.append({"number": number, "format": name, "ended": ended, "said": said})
                for path in pathlib.Path(worker.folder).glob("file.*") if keep else ():
                    pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, pathlib.Path(keep, f"{number}_{path.name}"))
                if ended != "traceback":
                    worker.stop()
            if progress:
                progress(number + 1, len(faults))
    finally:
        worker.stop()
    return {name: dict(found) for name, found in sorted(counts.items())}, faults


def main():
    """Reads them, shows the counts and writes them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="folder for the files that end in a fault")
    parser.add_argument("--json", help="file for the counts")
    arguments = parser.parse_args()

    from benchmarks import record

    kept = record.Record(arguments)

    def progress(done, faults):
        if done % 50 == 0 or done == arguments.count:
            bar = "#" * (30 * done // arguments.count)
            print(f"\r[{bar:30}] {done:,} of {arguments.count:,}, {faults} faults", end="", file=sys.stderr, flush=True)

    counts, faults = run(arguments.count, arguments.seed, arguments.keep, progress)
    total = sum((collections.Counter(found) for found in counts.values()), collections.Counter())
    print("\n" + ", ".join(f"{ended}: {total[ended]:,}" for ended in ("ok", "refused", *FAULTS)))
    if arguments.json:
        kept.write(arguments.json, counts=counts, total=dict(total), faults=faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
