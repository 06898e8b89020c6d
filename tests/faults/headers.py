"""Reads thousands of image files whose headers hypothesis has made up, and checks how each ends.

    python -m tests.faults.headers --examples=5000

Each is a whole file of some kind with fields of its header set to other values, check sums with them, or with bytes
changed, cut out or cut off. Right is: read in both ways, as batches are made and as inspection reads, in the size that
Pillow shows; or refused by both in one line. An abort ends the command.
"""

import argparse
import collections
import faulthandler
import io
import os
import pathlib
import struct
import sys
import tempfile

import hypothesis
import PIL.Image
import PIL.ImageOps
import tensorflow as tf
from hypothesis import strategies

from famus_tf import errors
from famus_tf.data.images import image_files, image_kinds
from tests.faults import image_samples, mutate

_LARGEST_RSS = 2**31
_KINDS = ("JPEG", "PNG", "BMP", "GIF", "WebP", "TIFF")
# What is wrong with the others is said of the changed ones too.
_WRONG = ("in its header", "cut", "bytes", "denies", "fails", "floats")
_SAMPLES = {
    kind: data
    for kind, data in image_samples.make().items()
    if kind.startswith(_KINDS) and not any(word in kind for word in _WRONG)
}
_EXTREMES = [2**bits - less for bits in (8, 12, 15, 16, 24, 31, 32) for less in (0, 1)]
_NUMBERS = strategies.one_of(strategies.integers(0, 9), strategies.integers(0, 300), strategies.sampled_from(_EXTREMES))
# Of a BMP, with their forms.
_BMP_FIELDS = (
    *((10, "<I"), (14, "<I"), (18, "<I"), (22, "<I"), (26, "<H")),
    *((28, "<H"), (30, "<I"), (46, "<I"), (54, "<I")),
)
_TRANSFORM = image_files.Transform(16, 12)


def _with_field(data, position, form, value):
    """The field at a position set to a value, as far as it fits."""
    size = struct.calcsize(form)
    if position + size > len(data):
        return data
    return data[:position] + struct.pack(form, value % 2 ** (8 * size)) + data[position + size :]


@strategies.composite
def _fields(draw):
    """A whole file with some of its header's fields set to made-up values."""
    kind = draw(strategies.sampled_from(sorted(_SAMPLES)))
    data = _SAMPLES[kind]
    places = _places(kind, data)
    for position, form in draw(strategies.lists(strategies.sampled_from(places), min_size=1, max_size=3)):
        data = _with_field(data, position, form, draw(_NUMBERS))
    if kind.startswith("PNG") and len(data) > 33:
        data = image_samples.png_with_header(data, 0, b"")
    return data


def _places(kind, data):
    """(position, form) of the fields in the header that say what is to be decoded."""
    if kind.startswith("PNG"):
        return [(16, ">I"), (20, ">I"), *((place, ">B") for place in (24, 25, 26, 27, 28))]
    if kind.startswith("BMP"):
        return list(_BMP_FIELDS)
    if kind.startswith("GIF"):
        frame = max(data.find(b"\x2c", 13), 13)
        return [(6, "<H"), (8, "<H"), (10, "<B"), (frame + 9, "<B"), *((frame + place, "<H") for place in (1, 3, 5, 7))]
    if kind.startswith("WebP"):
        return [(4, "<I"), (16, "<I"), *((place, "<B") for place in range(20, 60))]
    if kind.startswith("TIFF"):
        start = struct.unpack_from("<I", data, 4)[0]
        entries = [start + 2 + 12 * number for number in range(12)]
        forms = ((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"))
        return [(4, "<I"), *((entry + place, form) for entry in entries for place, form in forms)]
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"), 2)
    exif = max(data.find(b"Exif\0\0"), 2)
    wide = [(frame + place, ">H") for place in (2, 5, 7)]
    return [*wide, *((frame + place, ">B") for place in (4, 9, 11)), *((exif + place, ">B") for place in range(-2, 40))]


@strategies.composite
def _bytes_changed(draw):
    """A whole file with bytes near its start changed, cut out or put in, or its end cut off."""
    data = bytearray(_SAMPLES[draw(strategies.sampled_from(sorted(_SAMPLES)))])
    for _ in range(draw(strategies.integers(1, 2))):
        start = draw(strategies.integers(0, min(len(data), 120)))
        new = draw(strategies.binary(max_size=8))
        stop = start + draw(strategies.integers(0, 8))
        data[start:stop] = new
    cut = draw(strategies.sampled_from([0, 0, 0, 1])) * draw(strategies.integers(0, len(data)))
    return bytes(data[: len(data) - cut])


FILES = strategies.one_of(_fields(), _bytes_changed())


@tf.function(autograph=False)
def _load(path):
    return image_files.load_for_evaluation(path, _TRANSFORM)


def _shown_size(data):
    """Height and width as Pillow shows it, or None where Pillow does not."""
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            return PIL.ImageOps.exif_transpose(image).size[::-1]
    except Exception:
        return None


def check(path, data):
    """Reads one file, which is written to `path`, and returns "read" or "refused".

    Raises:
      AssertionError: it ends in another way.
    """
    pathlib.Path(path).write_bytes(data)
    try:
        image = image_files.decode(path)
    except errors.InputError as error:
        said = str(error).removeprefix(f"{path}: ")
        assert said.startswith("not a readable image (") and "\n" not in said and len(said) < 300, said
        image = None
    try:
        part = _load(tf.constant(os.fsencode(path)))
    except tf.errors.OpError:
        part = None
    assert (image is None) == (part is None), "one way reads it, the other does not"
    if image is None:
        return "refused"
    assert image.shape[0] * image.shape[1] <= image_kinds.MOST_PIXELS and part.shape == (12, 12, 3)
    shown = _shown_size(data)
    assert shown in (None, image.shape[:2]), f"{image.shape}, shown as {shown}"
    return "read"


def run(examples, seed):
    """How many files were read and refused.

    Args:
      examples: how many files.
      seed: of what is made up.
    """
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "image")

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(FILES)
        def each(data):
            counts[check(path, data)] += 1

        each()
    return counts


def main():
    """Reads them and shows the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulthandler.enable()
    counts = run(arguments.examples, arguments.seed)
    peak = mutate.peak_rss()
    print(f"{counts['read']:,} files read, {counts['refused']:,} refused; most memory {peak / 2**20:,.0f} MiB")
    return 1 if peak > _LARGEST_RSS else 0


if __name__ == "__main__":
    sys.exit(main())
