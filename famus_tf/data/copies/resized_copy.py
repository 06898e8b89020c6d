"""A copy of a data set's image files, scaled down once, which training decodes several times as fast."""

from __future__ import annotations

import dataclasses
import functools
import json
import os

import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.data.copies import in_memory
from famus_tf.data.formats import listing
from famus_tf.data.images import decoders, image_files, image_kinds, parallel, scaling
from famus_tf.data.source import Examples, Images, Source

# At 95 the files are 1.4 times as large, and take a third more time to decode.
JPEG_QUALITY = 90
_MANIFEST = "prepared.json"
_PARTIAL = ".partial"
_NAMED = 5
_LOOKED_AT_FIRST = 64


@dataclasses.dataclass(frozen=True)
class Report:
    """What `make` has done.

    Attributes:
        scaled: images written in a smaller size.
        copied: images that are not larger, copied byte by byte.
        there: images that an earlier call has written.
        outside: images of the set that lie elsewhere, and are left as they are.
        broken: {path: what is wrong} of images left out.
    """

    scaled: int
    copied: int
    there: int
    outside: int
    broken: dict[str, str]


def default_folder(data_dir: str, resize: int) -> str:
    """Beside the data: where a copy is looked for, and made, unless another place is given."""
    return f"{data_dir.rstrip(os.sep)}_short{resize}"


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
    when it is whole, so that an interrupted call can be made again.

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
        one = functools.partial(_make_one, data_dir, folder, _files(source)[0].transform)
        outcomes = list(parallel.in_order(one, names, progress(source.name, len(names)) if progress else None))
        broken = {
            os.path.join(data_dir, name): outcome
            for name, outcome in zip(names, outcomes, strict=True)
            if outcome not in ("scaled", "copied", "there")
        }
        if broken and not skip_bad:
            some = "; ".join(f"{path}: {reason}" for path, reason in list(broken.items())[:_NAMED])
            raise errors.InputError(
                f"{len(broken):,} of {len(names):,} images cannot be read, all others are done: {some}; mend them, or "
                "leave them out with option `on_bad_image`=skip"
            )
        _write(folder, _MANIFEST, json.dumps({"resize": resize, "quality": JPEG_QUALITY, "files": len(names)}).encode())
    except OSError as error:
        raise errors.InputError(f"{folder}: cannot write there ({error.strerror or error})") from error
    counts = {kind: outcomes.count(kind) for kind in ("scaled", "copied", "there")}
    return Report(**counts, outside=outside, broken=broken)


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
    swap = functools.partial(_swapped, data_dir=data_dir, folder=place)
    changed = {name: Examples(swap(part.images), part.labels) for name, part in source.other_tests.items()}
    parts = {name: getattr(source, name) for name in ("meta", "validation")}
    return (
        dataclasses.replace(
            source,
            train_images=swap(source.train_images),
            test_images=swap(source.test_images),
            other_tests=changed,
            **{name: part and Examples(swap(part.images), part.labels) for name, part in parts.items()},
        ),
        f"{place}: its scaled images are read",
    )


def _files(source: Source) -> list[image_files.ImageFiles]:
    held_out = [part.images for part in (source.meta, source.validation, *source.other_tests.values()) if part]
    images = [source.train_images, source.test_images, *held_out]
    return [part for part in images if isinstance(part, image_files.ImageFiles)]


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


def _relative(path: bytes, prefix: bytes) -> bytes | None:
    """The path below the folder `prefix`, or None where it lies elsewhere."""
    below = path[len(prefix) :]
    return below if path.startswith(prefix) and b".." not in below.split(b"/") else None


def _names(source: Source, data_dir: str) -> tuple[list[str], int]:
    """The images below `data_dir`, each once, and how many lie elsewhere."""
    prefix = os.fsencode(os.path.join(data_dir, ""))
    names = {}
    outside = 0
    for images in _files(source):
        for path in images.paths:
            name = _relative(path, prefix)
            if name is None:
                outside += 1
            else:
                names[os.fsdecode(name)] = None
    return list(names), outside


def _make_one(data_dir: str, folder: str, transform: image_files.Transform, name: str) -> str:
    """ "scaled", "copied", "there", or what is wrong with the image."""
    if os.path.exists(os.path.join(folder, name)):
        return "there"
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


def _swapped(images: Images, *, data_dir: str, folder: str) -> Images:
    if not isinstance(images, image_files.ImageFiles):
        return images
    prefix, start = (os.fsencode(os.path.join(place, "")) for place in (data_dir, folder))
    paths = list(images.paths)
    candidates = []
    positions = []
    for position, path in enumerate(paths):
        name = _relative(path, prefix)
        if name is not None:
            candidates.append(start + name)
            positions.append(position)
    absent = set(listing.missing(os.fsdecode(path) for path in candidates))
    for number, (position, path) in enumerate(zip(positions, candidates, strict=True)):
        if number not in absent:
            paths[position] = path
    return image_files.ImageFiles(np.array(paths), images.transform)
