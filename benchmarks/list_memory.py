"""How much memory an epoch over a long list of image files takes, at every tenth of it.

    python -m benchmarks.list_memory --entries=1000000 --json=benchmarks/results/list_memory.json

The images are small, so that a million of them take minutes: few files, each under thousands of names.
"""

import argparse
import os
import pathlib
import sys
import tempfile

import keras
import numpy as np
import PIL.Image

from benchmarks import record
from famus_tf.config.data import DataConfig
from famus_tf.data.batches import batch_spec, pipeline, sampling
from famus_tf.data.sets import own_images
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table

_FILES = 500
_PER_FOLDER = 1000
_BATCH = 256
_CLASSES = 10
_MEGABYTE = 2**20


def make_list(folder, entries):
    """Writes images under `entries` names, and the list of them.

    Args:
      folder: `pathlib.Path`, empty.
      entries: int.

    Returns:
      The path of the list.
    """
    rng = np.random.default_rng(0)
    (folder / "files").mkdir()
    for number in range(min(_FILES, entries)):
        pixels = rng.integers(0, 256, (5, 5, 3), np.uint8)
        image = PIL.Image.fromarray(pixels).resize((48, 40), PIL.Image.Resampling.BILINEAR)
        image.save(folder / "files" / f"{number}.jpg", quality=90)
    with open(folder / "train.txt", "w", encoding="utf-8") as file:
        for number in range(entries):
            name = f"{number // _PER_FOLDER:04d}/{number:07d}.jpg"
            if number % _PER_FOLDER == 0:
                (folder / os.path.dirname(name)).mkdir()
            os.link(folder / "files" / f"{number % _FILES}.jpg", folder / name)
            file.write(f"{name} {number % _CLASSES}\n")
    return folder / "train.txt"


def measure(folder, entries):
    """Goes through one epoch of such a list.

    Args:
      folder: `pathlib.Path`, empty.
      entries: int, at least ten batches of 256.

    Returns:
      Dict of `listed`, the process's resident bytes when the list has been read, and `tenths`, those after each tenth
      of the epoch, list of ten.
    """
    path = str(make_list(folder, entries))
    source = own_images.load_list(str(folder), DataConfig(train_list=path, test_list=path, image_size=32, resize=40))
    listed = resident_bytes()
    tenths = []
    steps = sampling.steps_per_epoch(entries, _BATCH)
    spec = batch_spec.BatchSpec("train", _BATCH, seed=0, flip=True)
    batches = pipeline.training_batches(source.train_images, source.train_labels, spec, 0, steps)
    progress = keras.utils.Progbar(steps, unit_name="batch", verbose=int(sys.stdout.isatty()))
    for step, _ in enumerate(batches, start=1):
        progress.update(step)
        if step == steps * (len(tenths) + 1) // 10:
            tenths.append(resident_bytes())
    return {"listed": listed, "tenths": tenths}


def resident_bytes():
    """Memory of this process that is not swapped out."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(argv=None):
    """Runs one command line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.list_memory", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000, help="images in the list")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args(argv)
    if arguments.entries < 10 * _BATCH:
        print(
            f"benchmarks.list_memory: error: --entries={arguments.entries}: expected {10 * _BATCH} or more",
            file=sys.stderr,
        )
        return 2
    kept = record.Record(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(pathlib.Path(folder), arguments.entries)
    rows = [("the list has been read", f"{result['listed'] / _MEGABYTE:,.0f}")]
    rows += [
        (f"{tenth} tenths of the epoch", f"{size / _MEGABYTE:,.0f}")
        for tenth, size in enumerate(result["tenths"], start=1)
    ]
    print(table.format_table([("resident when", "MiB"), *rows], markdown=True))
    growth = (result["tenths"][-1] - result["tenths"][0]) / _MEGABYTE
    print(f"from the first tenth to the last: {growth:+,.0f} MiB over {arguments.entries:,} entries")
    if arguments.json:
        try:
            kept.write(arguments.json, results=result)
        except InputError as error:
            print(f"benchmarks.list_memory: error: --json={error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
