"""Reads a folder of image files in every way that the program has, and writes which of them each way refuses.

    python -m tests.faults.read_images FOLDER RESULTS

FOLDER has train/, test/ as `--dataset=folder` expects. A process of its own: a file could abort it.
"""

import dataclasses
import json
import os
import pathlib
import sys

import numpy as np
import tensorflow as tf

from famus_tf.config.data import DataConfig
from famus_tf.data.copies import in_memory, resized_copy
from famus_tf.data.images import image_files
from famus_tf.data.sets import own_images
from tests.faults import image_samples


def _names(broken):
    return {os.path.basename(path): reason for path, reason in broken.items()}


def _difference(path):
    """The largest from Pillow's pixels in levels, None where Pillow refuses the file, or what is wrong."""
    data = pathlib.Path(path).read_bytes()
    try:
        found = image_files.decode_data(tf.constant(data), 3).numpy()
    except (tf.errors.OpError, ValueError) as error:
        return image_files.what_is_wrong(error, data)
    try:
        expected = image_samples.pixels(data)
    except Exception:
        return None
    return int(np.abs(found.astype(int) - expected).max()) if found.shape == expected.shape else 255


def _streamed(paths, transform):
    broken, load = {}, image_files.load_for_evaluation
    step = tf.function(lambda path: load(path, transform), autograph=False)
    for path in paths:
        try:
            step(tf.constant(path))
        except tf.errors.OpError as error:
            broken[path] = image_files.what_is_wrong(error)
    return broken


def main(folder, results):
    """Writes a JSON of {way: {file: what is wrong}} and the differences to Pillow's pixels."""
    source = own_images.load_folder(folder, DataConfig(image_size=12, resize=16))
    images = source.train_images
    paths = [os.fsdecode(path) for path in images.paths]
    found = {"inspect": image_files.scan(images)[1], "prepare": resized_copy.make(source, folder, skip_bad=True).broken}
    memory = in_memory.load(dataclasses.replace(source, in_memory=True), skip_bad=True)
    found["train in memory"] = memory.left_out
    found["train streamed"] = _streamed(paths, images.transform)
    found = {way: _names(broken) for way, broken in found.items()}
    found["difference"] = {os.path.basename(path): _difference(path) for path in paths}
    pathlib.Path(results).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
