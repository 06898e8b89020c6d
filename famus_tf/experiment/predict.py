"""`--mode=predict`: what an exported network says of images that have no labels."""

import csv
import os
import pathlib

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.formats import leftovers, listing, text_lines
from famus_tf.data.images import image_files, parallel
from famus_tf.evaluation import saved_model
from famus_tf.experiment import build_data
from famus_tf.files import whole_files

_TOP = 5
_HEAD = ("path", "class_id", "class_name", "probability")
_SEPARATORS = "\t,;|: "


def predict(config):
    """Writes a line for each image: the class that the network predicts, or why it cannot be read."""
    flags = config.report
    export = pathlib.Path(config.run.workdir) / "export"
    classify, names = saved_model.load_classifier(export)
    about = saved_model.preprocessing_of(export)
    paths = find_images(pathlib.Path(flags.images))
    transform = image_files.Transform(
        about["shorter_side"],
        about["height"],
        width=about["width"],
        channels=about["channels"],
        mode=about["mode"],
        bits=about["bits"],
    )
    output = pathlib.Path(flags.output or "predictions.csv")
    if output.exists() and output.samefile(flags.images):
        raise errors.InputError(f"--output={output}: is the list of --images; expected another file to write")
    broken = _write(output, paths, transform, classify, names, config.run.eval_batch_size)
    print(f"{output}: predictions for {len(paths) - len(broken):,} of {len(paths):,} images")
    for path, reason in broken[:10]:
        print(f"  not read: {path}: {reason}")
    if len(broken) > 10:
        print(f"  and {len(broken) - 10:,} more; the column error has them")


def find_images(place):
    """The image files of a folder and the folders in it, or those that a list names.

    Args:
      place: `pathlib.Path` of a folder, an image, or a list; in a list each line is a path, relative ones from the
        list's folder, perhaps with more behind a separator.

    Returns:
      List of str, in the order of the list, or sorted.

    Raises:
      InputError: there is no such place, or no image in it.
    """
    if place.is_dir():
        found, seen = [], set()
        for folder, folders, files in os.walk(place, followlinks=True):
            if os.path.realpath(folder) in seen:  # a link to a folder that was looked into
                folders.clear()
                continue
            seen.add(os.path.realpath(folder))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [os.path.join(folder, name) for name in sorted(files) if _is_wanted(name)]
        if not found:
            raise errors.InputError(f"--images={place}: no image in it; expected files ending in .jpg, .png or so")
        return found
    if not place.exists():
        raise errors.InputError(f"--images={place}: there is no such folder or list")
    if listing.is_image(place.name):
        return [str(place)]
    lines = [line for _, line in text_lines.numbered(str(place), "a list of paths, as a text in UTF-8", any_bytes=True)]
    if lines and not _exists(place, lines[0]) and not listing.is_image(_name_in(lines[0])):
        del lines[0]  # a header
    if not lines:
        raise errors.InputError(f"--images={place}: is empty; expected a path in each line")
    return [os.path.join(place.parent, line if _exists(place, line) else _name_in(line)) for line in lines]


def _is_wanted(name):
    return listing.is_image(name) and not name.startswith(".") and not leftovers.file(name)


def _exists(place, line):
    return os.path.exists(os.path.join(place.parent, line))


def _name_in(line):
    """The path in a line with further columns: up to the first separator behind an image's ending."""
    ends = [k for k, character in enumerate(line) if character in _SEPARATORS and listing.is_image(line[:k].strip('"'))]
    return line[: ends[0]].strip('"') if ends else line.strip('"')


def _write(output, paths, transform, classify, names, batch_size):
    broken = []
    count = min(_TOP, len(names))
    head = [*_HEAD, *(f"{what}_{k}" for k in range(1, count + 1) for what in ("class", "probability")), "error"]
    seen = build_data.progress_bar("", len(paths))

    def load(path):
        try:
            return image_files.load_for_evaluation(tf.constant(os.fsencode(path)), transform).numpy()
        except (tf.errors.OpError, ValueError, OSError) as error:
            return image_files.what_is_wrong(error)

    with (
        whole_files.written(output) as place,
        open(place, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        batch = []

        def flush():
            for line in _lines(batch, classify, names, count, len(head)):
                writer.writerow(line)
            batch.clear()

        for path, image in zip(paths, parallel.in_order(load, paths, seen), strict=True):
            if isinstance(image, str):
                broken.append((path, image))
            batch.append((path, image))
            if len(batch) == batch_size:
                flush()
        flush()
    return broken


def _lines(batch, classify, names, count, width):
    """A row for each (path, image or what is wrong with it)."""
    images = [image for _, image in batch if not isinstance(image, str)]
    probabilities = iter(classify(tf.constant(np.stack(images))).numpy() if images else [])
    for path, image in batch:
        if isinstance(image, str):
            yield [path, *[""] * (width - 2), image]
            continue
        row = next(probabilities)
        best = np.argsort(-row, kind="stable")[:count]
        top = [part for k in best for part in (names[k], f"{row[k]:.6g}")]
        yield [path, int(best[0]), names[best[0]], f"{row[best[0]]:.6g}", *top, ""]
