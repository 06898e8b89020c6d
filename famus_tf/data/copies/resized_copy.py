"""A copy of a data set's image files, scaled down once, which training decodes several times as fast."""

from __future__ import annotations

import dataclasses
import functools
import json
import os

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.copies import in_memory, originals
from famus_tf.data.formats import listing
from famus_tf.data.images import decoders, image_files, image_kinds, parallel, scaling
from famus_tf.data.source import Examples, Images, Source

# At 95 the files are 1.4 times as large, and take a third more time to decode.
JPEG_QUALITY = 90
_MANIFEST = "prepared.json"
_PARTIAL = ".partial"
_ANEW = "anew: "
_NAMED = 5
_LOOKED_AT_FIRST = 64


@dataclasses.dataclass(frozen=True)
class Report:
    """What `make` has done.

    Attributes:
        scaled: images written in a smaller size.
        copied: images that are not larger, copied byte by byte.
        there: images that an earlier call has written.
        renewed: those of `scaled` and `copied` of which there was a copy, and whose original has changed since.
        outside: images of the set that lie elsewhere, and are left as they are.
        broken: {path: what is wrong} of images left out.
    """

    scaled: int
    copied: int
    there: int
    renewed: int
    outside: int
    broken: dict[str, str]


def default_folder(data_dir: str, resize: int) -> str:
    """Beside the data: where a copy is looked for, and made, unless another place is given."""
    # Of "." and ".." the folder's name is not known yet, and "._short256" would be a hidden folder inside.
    hidden = os.path.basename(os.path.normpath(data_dir)) in (os.curdir, os.pardir)
    place = os.path.abspath(data_dir) if hidden else data_dir.rstrip(os.sep)
    return f"{place}_short{resize}"


def make(
    source: Source,
    data_dir: str,
    folder: str = "",
    *,
    skip_bad: bool = False,
    progress: in_memory.Progress | None = None,
) -> Report:
    """Writes the copy, or the rest of it; the original is only read.

    Each image whose shorter side has more pixels than the source's `Transform.resize` is scaled to that, as training
    would scale it; a JPEG is written as one of quality 90, all else as PNG. Names stay, and a file has its name only
    when it is whole, so that an interrupted call can be made again. A copy whose original has changed is made anew.

    Args:
        source: all its images of one `resize`.
        data_dir: the folder of the original; images elsewhere are left as they are.
        folder: where to; empty for `default_folder`.
        skip_bad: whether images that cannot be read are left out; else they are an error, when all others are done.
        progress: as in `in_memory.load`.

    Raises:
        errors.InputError: the images are no files, the folder is part of the original or holds another copy, nothing
            can be written there, or images cannot be read.
    """
    resize = _resize(source)
    if resize is None:
        raise errors.InputError(f"{source.name} has no image files to prepare; expected a data set that has")
    if not data_dir:
        raise errors.InputError(
            "option `mode`=prepare: expected option `data_dir`, the folder whose images are to be copied"
        )
    folder = folder or default_folder(data_dir, resize)
    _check_apart(data_dir, folder)
    _check_resize(folder, resize)
    names, outside = _names(source, data_dir)
    try:
        os.makedirs(folder, exist_ok=True)
        known = originals.read(folder)
        states: dict[str, list[int] | None] = {}
        one = functools.partial(_make_one, data_dir, folder, _files(source)[0].transform, known, states)
        outcomes = list(parallel.in_order(one, names, progress(source.name, len(names)) if progress else None))
        broken = {
            os.path.join(data_dir, name): outcome
            for name, outcome in zip(names, outcomes, strict=True)
            if outcome.removeprefix(_ANEW) not in ("scaled", "copied", "there")
        }
        if broken and not skip_bad:
            raise errors.InputError(_of_broken(broken, len(names)))
        whole = {name: state for name, state in states.items() if state and os.path.join(data_dir, name) not in broken}
        originals.write(folder, whole)
        _write(folder, _MANIFEST, json.dumps({"resize": resize, "quality": JPEG_QUALITY, "files": len(names)}).encode())
    except OSError as error:
        raise errors.InputError(f"{folder}: cannot write there ({error.strerror or error})") from error
    renewed = sum(outcome.startswith(_ANEW) for outcome in outcomes)
    outcomes = [outcome.removeprefix(_ANEW) for outcome in outcomes]
    counts = {kind: outcomes.count(kind) for kind in ("scaled", "copied", "there")}
    return Report(**counts, renewed=renewed, outside=outside, broken=broken)


def is_any_larger(source: Source) -> bool:
    """Whether an image of the source is larger than training needs it; else a copy would be of no use.

    True also where `make` has something to say: of a file that cannot be read, or a source without files.
    """
    resize = _resize(source)
    if resize is None:
        return True
    paths = [path for images in _files(source) for path in images.paths]
    # A few from everywhere first: as a rule one of them is larger, and the others need not be looked at.
    few = paths[:: max(len(paths) // _LOOKED_AT_FIRST, 1)]
    return any(any(side > resize for side in parallel.in_order(_shorter_side, part)) for part in (few, paths))


def _shorter_side(path: bytes) -> int:
    try:
        with open(path, "rb") as file:
            return min(decoders.size_of(file.read()))
    except (OSError, errors.InputError):
        return image_kinds.MOST_PIXELS


def take_up(source: Source, data_dir: str, folder: str = "") -> tuple[Source, str]:
    """Lets the source read a finished copy where there is one of its size; an image that is not in it stays as it is.

    Args:
        source: any.
        data_dir: the folder of the original.
        folder: the copy's; empty for `default_folder`.

    Returns:
        The source, and a sentence about what is read; empty where there is no copy.

    Raises:
        errors.InputError: `folder` is given and is not there.
    """
    resize = _resize(source)
    if resize is None or not data_dir:
        return source, ""
    place = folder or default_folder(data_dir, resize)
    if not os.path.isdir(place):
        if folder:
            raise errors.InputError(
                f"option `prepared_dir`={folder}: expected a folder that option `mode`=prepare has written"
            )
        return source, ""
    manifest = _manifest(place)
    if manifest is None:
        return source, f"{place}: not finished, so the original images are read; option `mode`=prepare goes on with it"
    if manifest["resize"] != resize:
        return source, f"{place}: of {manifest['resize']} pixels, so the original images are read, scaled to {resize}"
    known = originals.read(place)
    outdated: set[str] = set()
    swap = functools.partial(_swapped, data_dir=data_dir, folder=place, known=known, outdated=outdated)
    other_tests = {name: Examples(swap(part.images), part.labels) for name, part in source.other_tests.items()}
    parts = {name: getattr(source, name) for name in ("meta", "validation")}
    swapped = dataclasses.replace(
        source,
        train_images=swap(source.train_images),
        test_images=swap(source.test_images),
        other_tests=other_tests,
        **{name: part and Examples(swap(part.images), part.labels) for name, part in parts.items()},
    )
    said = f"{place}: its scaled images are read"
    if outdated:
        said += (
            f"; {len(outdated):,} images have changed since, such as {min(outdated)}, and are read from {data_dir}: "
            "option `mode`=prepare makes their copies anew"
        )
    return swapped, said


def _files(source: Source) -> list[image_files.ImageFiles]:
    held_out = [part.images for part in (source.meta, source.validation, *source.other_tests.values()) if part]
    images = [source.train_images, source.test_images, *held_out]
    return [part for part in images if isinstance(part, image_files.ImageFiles)]


def _of_broken(broken: dict[str, str], count: int) -> str:
    some = "; ".join(f"{path}: {reason}" for path, reason in list(broken.items())[:_NAMED])
    return (
        f"{len(broken):,} of {count:,} images cannot be read, all others are done: {some}; mend them, or leave them "
        "out with option `on_bad_image`=skip"
    )


def _resize(source: Source) -> int | None:
    """The one size of the shorter side, or None where there are no files."""
    sizes = {part.transform.resize for part in _files(source)}
    if len(sizes) > 1:
        raise errors.InputError(f"{source.name} has images scaled to {sorted(sizes)}, expected one size")
    return next(iter(sizes), None)


def _check_apart(data_dir: str, folder: str) -> None:
    original, copy = (os.path.join(os.path.realpath(place), "") for place in (data_dir, folder))
    if original.startswith(copy) or copy.startswith(original):
        raise errors.InputError(
            f"option `prepared_dir`={folder}: is part of {data_dir} or holds it, expected a folder apart from the "
            "original"
        )


def _check_resize(folder: str, resize: int) -> None:
    manifest = _manifest(folder)
    if manifest is not None and manifest["resize"] != resize:
        raise errors.InputError(
            f"{folder}: holds images of {manifest['resize']} pixels, expected {resize}; "
            "give another option `prepared_dir`"
        )


class _Below:
    """Finds the path below a folder, however the folder and the path are written.

    Args:
        folder: relative or absolute, perhaps by a link.
    """

    def __init__(self, folder: str) -> None:
        self._plain = os.fsencode(os.path.join(folder, ""))
        # What the folder is called in full, by its links and without.
        self._whole = tuple(
            os.fsencode(os.path.join(place(folder), "")) for place in (os.path.abspath, os.path.realpath)
        )

    def __call__(self, path: bytes) -> bytes | None:
        """The rest of the path, or None where it lies elsewhere."""
        below = path[len(self._plain) :]
        if path.startswith(self._plain) and not {b"..", b".", b""} & set(below.split(b"/")):
            return below
        path = os.path.abspath(path)
        return next((path[len(whole) :] for whole in self._whole if path.startswith(whole)), None)


def _names(source: Source, data_dir: str) -> tuple[list[str], int]:
    """The images below `data_dir`, each once, and how many lie elsewhere."""
    below = _Below(data_dir)
    names = {}
    outside = 0
    for images in _files(source):
        for path in images.paths:
            name = below(path)
            if name is None:
                outside += 1
            else:
                names[os.fsdecode(name)] = None
    return list(names), outside


def _make_one(
    data_dir: str,
    folder: str,
    transform: image_files.Transform,
    known: originals.Originals,
    states: dict[str, list[int] | None],
    name: str,
) -> str:
    """ "scaled", "copied", "there", or what is wrong with the image; the first two after `_ANEW` for another copy."""
    # Before it is read, so that what changes meanwhile is another state.
    states[name] = originals.state(os.path.join(data_dir, name))
    if not os.path.exists(os.path.join(folder, name)):
        return _copy_one(data_dir, folder, transform, name)
    if known.is_current(data_dir, name):
        return "there"
    return _ANEW + _copy_one(data_dir, folder, transform, name)


def _copy_one(data_dir: str, folder: str, transform: image_files.Transform, name: str) -> str:
    try:
        with open(os.path.join(data_dir, name), "rb") as file:
            data = file.read()
    except OSError as error:
        return str(error.strerror)
    try:
        image = image_files.decode_data(tf.constant(data), 0, transform.bits)
    except (tf.errors.OpError, ValueError) as error:
        return image_files.what_is_wrong(error, data)
    if min(image.shape[:2]) <= transform.resize:
        _write(folder, name, data)
        return "copied"
    image = scaling.short_side(image, transform.resize)
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    encoded = tf.io.encode_jpeg(image, quality=JPEG_QUALITY) if is_jpeg else tf.io.encode_png(image)
    _write(folder, name, encoded.numpy())
    return "scaled"


def _write(folder: str, name: str, data: bytes) -> None:
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + _PARTIAL, "wb") as file:
        file.write(data)
    os.replace(path + _PARTIAL, path)


def _manifest(folder: str) -> dict | None:
    """What the finished copy in the folder is, or None."""
    path = os.path.join(folder, _MANIFEST)
    if not os.path.lexists(path):
        return None
    with errors.reading(path, "it as option `mode`=prepare has written it"):
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        manifest["resize"] = int(manifest["resize"])
        return manifest


def _swapped(images: Images, *, data_dir: str, folder: str, known: originals.Originals, outdated: set[str]) -> Images:
    """The images with the copies' paths, where there are copies; those of other originals go to `outdated`."""
    if not isinstance(images, image_files.ImageFiles):
        return images
    below, start = _Below(data_dir), os.fsencode(os.path.join(folder, ""))
    paths = list(images.paths)
    found = [(position, name) for position, path in enumerate(paths) if (name := below(path)) is not None]
    absent = set(listing.missing(os.fsdecode(start + name) for _, name in found))
    present = [pair for number, pair in enumerate(found) if number not in absent]
    current = known.are_current(data_dir, [os.fsdecode(name) for _, name in present])
    for (position, name), is_current in zip(present, current, strict=True):
        if is_current:
            paths[position] = start + name
        else:
            outdated.add(os.fsdecode(name))
    return image_files.ImageFiles(np.array(paths), images.transform)
