"""Lists of images that are in the data more than once: with different labels, or looking alike."""

import collections
import csv
import os
import pathlib

import numpy as np

from famus_tf.data.images import image_files, look_alike
from famus_tf.data.source import Examples
from famus_tf.files import plain_text, whole_files

CONFLICTS = "conflicting_labels.csv"
LOOK_ALIKE = "look_alike.csv"
_SHOWN = 10


def write_conflicts(workdir, conflicts):
    """Writes `conflicting_labels.csv`, a row for each place of each image that has different labels.

    Args:
      workdir: the run directory.
      conflicts: of a `data.dataset.Dataset`.

    Returns:
      A sentence about the list, empty where there is none.

    Raises:
      InputError: it cannot be written.
    """
    if not conflicts:
        return ""
    path = pathlib.Path(workdir, CONFLICTS)
    _write(path, ("image", "set", "label", "path"), ((row.image, row.set, row.label, row.path) for row in conflicts))
    return f"images with different labels are listed in {path}"


def write_look_alikes(workdir, dataset, progress=None):
    """Looks for images that look alike in different sets, or with different labels, and writes `look_alike.csv`.

    Args:
      workdir: the run directory.
      dataset: `data.dataset.Dataset`.
      progress: function of what is read and the number of files -> function of the number read, or None.

    Returns:
      Lines of text about the pairs.

    Raises:
      InputError: it cannot be written.
    """
    parts = {"training": Examples(dataset.train_images, dataset.train_labels), **dataset.held_out}
    parts = {name: part for name, part in parts.items() if isinstance(part.images, image_files.ImageFiles)}
    if not parts:
        return "option `near_duplicates`: the images are no files, so none are compared"
    paths = np.concatenate([part.images.paths for part in parts.values()])
    labels = np.concatenate([part.labels for part in parts.values()])
    sets = np.repeat(list(parts), [len(part.labels) for part in parts.values()])
    bits = look_alike.fingerprints(paths, progress("compared", len(paths)) if progress else None)

    def place(k):
        return str(sets[k]), dataset.class_names[labels[k]], os.fsdecode(paths[k])

    pairs = [
        (differ, *place(first), *place(second))
        for first, second, differ in look_alike.pairs(bits)
        if sets[first] != sets[second] or labels[first] != labels[second]
    ]
    flat = int((~bits.any(axis=1)).sum())
    rest = f"; {flat:,} without contrast, or broken, are not compared" if flat else ""
    if not pairs:
        return f"no images look alike in different sets or with different labels{rest}"
    path = pathlib.Path(workdir, LOOK_ALIKE)
    _write(path, ("bits", "set", "label", "path", "other_set", "other_label", "other_path"), pairs)
    counts = collections.Counter(f"{pair[1]} and {pair[4]}" for pair in pairs)
    named = ", ".join(f"{count:,} in {name}" for name, count in counts.most_common())
    lines = [
        f"pairs of images that look alike, in different sets or with different labels: {named}; all in {path}{rest}"
    ]
    lines += [f"  {pair[2]!r} in {pair[3]}, {pair[5]!r} in {pair[6]}" for pair in pairs[:_SHOWN]]
    return "\n".join(map(plain_text.escaped, lines))


def _write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        whole_files.written(path) as place,
        open(place, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
