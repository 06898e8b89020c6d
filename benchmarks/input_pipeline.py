"""How many images each pipeline makes ready in a second of one core.

    python -m benchmarks.input_pipeline --json=benchmarks/results/input_pipeline.json

CPU time of all threads counts, not the clock's, which on a shared machine says little. The JPEGs are parts of real
photographs, encoded as `--mode=prepare` encodes its copies; those of 256x341 are what it makes of larger ones.
"""

import argparse
import itertools
import pathlib
import sys
import tempfile
import time

import numpy as np
import PIL.Image
import tensorflow as tf
from sklearn.datasets import load_sample_images

from benchmarks import record
from famus_tf.data.batches import batch_spec, pipeline
from famus_tf.data.copies import resized_copy
from famus_tf.data.images import image_files
from famus_tf.devices import allocator
from famus_tf.errors import InputError
from famus_tf.files import closed_pipe
from famus_tf.reports import compare as table

_BATCH = 128


def _arrays(size, count):
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return images, {"crop_padding": 4, "padding_mode": "zero"}


def _files(folder, count, shape, transform):
    """JPEGs of one shape, parts of scikit-learn's two photographs; each is in the list many times."""
    rng = np.random.default_rng(0)
    photographs = [PIL.Image.fromarray(image) for image in load_sample_images().images]
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        width = int(photograph.width * rng.uniform(0.6, 0.85))
        height = width * shape[0] // shape[1]
        left, top = (int(rng.integers(0, room + 1)) for room in (photograph.width - width, photograph.height - height))
        part = photograph.crop((left, top, left + width, top + height))
        pixels = np.asarray(part.resize(shape[::-1], PIL.Image.Resampling.BILINEAR))
        encoded = tf.io.encode_jpeg(pixels, quality=resized_copy.JPEG_QUALITY)
        (folder / f"{number}.jpg").write_bytes(encoded.numpy())
    paths = [str(folder / f"{number}.jpg") for number in range(count)] * 40
    return image_files.ImageFiles(np.array(paths), transform), {"crop_padding": 0}


def _make(name, folder, count):
    """Images, and the pipeline's arguments for them."""
    makers = {
        "32x32 in memory, crop and flip": lambda: _arrays(32, 50_000),
        "JPEG 256x341 of --mode=prepare, crop 224 and flip": lambda: _files(
            folder, count, (256, 341), image_files.Transform(256, 224)
        ),
        "JPEG 300x400, scaled to 256, crop 224 and flip": lambda: _files(
            folder, count, (300, 400), image_files.Transform(256, 224)
        ),
    }
    return makers[name]()


PIPELINES = (
    "32x32 in memory, crop and flip",
    "JPEG 256x341 of --mode=prepare, crop 224 and flip",
    "JPEG 300x400, scaled to 256, crop 224 and flip",
)


def measure(name, seconds, files=300, warm_batches=10):
    """Images per second of CPU time and of the clock.

    Args:
      name: one of `PIPELINES`.
      seconds: for how long, by the clock.
      files: number of different JPEGs.
      warm_batches: batches before the measurement.

    Returns:
      Dict of `images`, `cpu_seconds`, `seconds`, `per_cpu_second`, `per_second`.
    """
    with tempfile.TemporaryDirectory() as folder:
        images, options = _make(name, pathlib.Path(folder), files)
        labels = np.zeros(len(images), np.int32)
        spec = batch_spec.BatchSpec("train", _BATCH, seed=0, flip=True, **options)
        batches = iter(pipeline.training_batches(images, labels, spec, 0, 1_000_000))
        for _ in itertools.islice(batches, warm_batches):
            pass
        start = time.perf_counter()
        start_cpu = time.process_time()
        count = 0
        while time.perf_counter() - start < seconds:
            next(batches)
            count += _BATCH
        elapsed, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "images": count,
        "cpu_seconds": cpu,
        "seconds": elapsed,
        "per_cpu_second": count / cpu,
        "per_second": count / elapsed,
    }


def main(argv=None):
    """Runs one command line and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.input_pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each is measured")
    parser.add_argument("--files", type=int, default=300, help="number of different JPEGs")
    parser.add_argument("--warm_batches", type=int, default=10, help="batches before the measurement")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args(argv)
    if arguments.seconds <= 0:
        print(f"benchmarks.input_pipeline: error: --seconds={arguments.seconds}: expected more than 0", file=sys.stderr)
        return 2
    allocator.keep_freed_memory()  # as the command does before it trains
    kept = record.Record(arguments)
    sizes = arguments.seconds, arguments.files, arguments.warm_batches
    results = {name: measure(name, *sizes) for name in PIPELINES}
    header = ("pipeline", "images per CPU-second", "images per second")
    rows = []
    for name, result in results.items():
        rows.append((name, f"{result['per_cpu_second']:,.0f}", f"{result['per_second']:,.0f}"))
    print(table.format_table([header, *rows], markdown=True))
    if arguments.json:
        try:
            kept.write(arguments.json, results=results)
        except InputError as error:
            print(f"benchmarks.input_pipeline: error: --json={error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(closed_pipe.status_of(main))
